"""What `gpu.py` measures, each in a process of its own: a step in several ways, what it is made of, and a scan."""

import argparse
import statistics
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from crossmatch.batches.prefetch import drawing
from crossmatch.formats import new_volume
from crossmatch.inference.predictor import Predictor
from crossmatch.networks.segmenter import to_channels_last
from crossmatch.networks.vnet import VNet
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.devices import uses_bf16
from reference_step import reference_loss
from step_parts import make_batches, make_step, random_network, random_store

TENTHS = 10
MODES: dict[str, dict[str, bool]] = {
    "eager": {},
    "graphed": {"graphs": True},
    "graphed, cudnn.benchmark": {"graphs": True},
    "eager, cudnn.benchmark": {},
    "compiled": {"compiled": True},
    "compiled and graphed": {"compiled": True, "graphs": True},
}


class Bench:
    """One recipe's step on a device."""

    def __init__(self, recipe: Recipe, device: torch.device, mode: str = "eager") -> None:
        self.recipe, self.device = recipe, device
        torch.backends.cudnn.benchmark = "benchmark" in mode
        self.batches = make_batches(recipe, random_store(recipe, device), device)
        self.step = make_step(recipe, self.batches, device, **MODES[mode])

    def take(self, count: int) -> list[Tensor]:
        """Totals of so many steps; the host does not wait."""
        with drawing(self.batches, self.recipe.train.steps) as draw:
            return [self.step(draw(self.step.state.step))["total"].clone() for _ in range(count)]

    def clock(self, work: Callable[[], object]) -> float:
        """Milliseconds until the device has done what was asked of it."""
        wait = partial(torch.cuda.synchronize, self.device) if self.device.type == "cuda" else lambda: None
        wait()
        start = time.perf_counter()
        work()
        wait()
        return 1000 * (time.perf_counter() - start)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def in_mode(bench: Bench, steps: int) -> dict[str, Any]:
    """Time and memory of a step; capture and compilation are in the first ten."""
    first: list[Tensor] = []
    warm_up = bench.clock(lambda: first.extend(bench.take(10)))
    count = max(1, steps // TENTHS)
    rows = [bench.clock(lambda: bench.take(count)) / count for _ in range(TENTHS)]
    found: dict[str, Any] = {"ms": spread(rows), "first_ten_s": warm_up / 1000, "losses": [float(v) for v in first]}
    found["schedule_minutes"] = found["ms"]["median"] * bench.recipe.train.steps / 60_000
    if bench.device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        found |= dict(zip(("allocated_gb", "reserved_gb"), (value / 2**30 for value in memory), strict=True))
    return found


def waits(bench: Bench) -> str:
    """The first place where an eager step makes the host wait, or none."""
    with drawing(bench.batches, bench.recipe.train.steps) as draw:
        drawn = draw(bench.step.state.step)
        torch.cuda.set_sync_debug_mode("error")
        try:
            bench.step(drawn)
        except RuntimeError as error:
            if "synchroniz" not in str(error):
                raise
            places = traceback.extract_tb(error.__traceback__)
            return " > ".join(f"{Path(place.filename).name}:{place.lineno}" for place in places[-6:])
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return "none"


def convolutions(bench: Bench) -> float:
    """Milliseconds of the kernels of every convolution of one step, forward and backward."""
    seen: list[tuple[nn.Module, Tensor, bool]] = []
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    half = torch.bfloat16 if uses_bf16(bench.recipe.train.precision, bench.device) else torch.float32

    def note(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        seen.append((module, inputs[0], torch.is_grad_enabled()))

    hooks = [m.register_forward_hook(note) for m in bench.step.state.method.modules() if isinstance(m, kinds)]
    bench.take(1)
    for hook in hooks:
        hook.remove()
    calls = [
        (module.to(half), torch.randn_like(image, dtype=half).requires_grad_(learns and image.requires_grad), learns)
        for module, image, learns in seen
    ]
    seen.clear()

    def all_of_them() -> None:
        for module, image, learns in calls:
            with torch.set_grad_enabled(learns):
                out = module(image)
            if learns:
                out.backward(out.detach())

    all_of_them()
    if bench.device.type != "cuda":
        return bench.clock(all_of_them)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        bench.clock(all_of_them)
    return sum(event.self_device_time_total for event in found.key_averages()) / 1000


def reference(bench: Bench) -> dict[str, Any]:
    """The plain step in turn with ours."""
    recipe, batches = bench.recipe, bench.batches
    plain = random_network(recipe).to(bench.device)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3)
    torch.backends.cudnn.allow_tf32 = False  # which ours, in bfloat16, does not use

    def step() -> None:
        total = reference_loss(plain, batches(bench.step.state.step), recipe.method.settings, recipe.dice)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    rows = [(bench.clock(lambda: bench.take(1)), bench.clock(step)) for _ in range(6)][1:]
    return {"reference_ms": spread([b for _, b in rows]), "ratio": spread([a / b for a, b in rows])}


def around(bench: Bench) -> dict[str, Any]:
    """What an eager step is made of, and compares with; floor last, it changes the weights' type."""
    bench.take(5)
    found: dict[str, Any] = {"drawing_ms": spread([bench.clock(partial(bench.batches.draw, k)) for k in range(20)])}
    if bench.device.type == "cuda":
        found["waits"] = waits(bench)
    found |= reference(bench)
    return found | {"convolutions_ms": convolutions(bench)}


def one_scan(bench: Bench) -> dict[str, float]:
    """Seconds of a scan of LA's size, by the network and patch of `la_8` and the default windows."""
    torch.manual_seed(0)
    network = to_channels_last(VNet(3, 1, 2)).to(bench.device).eval()
    recipe = load_recipe("la_8", ["predict.stride=even"])
    predictor = Predictor(network, recipe, 2, bench.device, bf16=uses_bf16(recipe.train.precision, bench.device))
    scan = new_volume(np.random.default_rng(0).normal(size=(200, 150, 88)).astype(np.float32))
    return spread([bench.clock(lambda: predictor([scan], Path("scan.nii.gz"))) / 1000 for _ in range(4)][1:])


def one_part(name: str, options: argparse.Namespace) -> Any:
    """What a process of its own measures: ``acdc_3: graphed``, ``acdc_3: around`` or ``acdc_3: scan``."""
    recipe, _, what = name.partition(": ")
    bench = Bench(load_recipe(recipe, options.set), torch.device(options.device), what if what in MODES else "eager")
    if what in MODES:
        return in_mode(bench, options.steps)
    return {"around": around, "scan": one_scan}[what](bench)
