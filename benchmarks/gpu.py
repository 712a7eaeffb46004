"""All that is worth knowing of a GPU in one call of under eight minutes: the training step in 2D and 3D, and one scan.

    python benchmarks/gpu.py --out gpu.json [--seconds 460] [--recipes acdc_3 la_8] [--steps 100]

For each recipe, at its full size, on voxels of noise:

- eager, graphed, eager with cuDNN's search for algorithms, compiled, and compiled and graphed: milliseconds a step with
  the host's work (median and range over tenths of `--steps`), seconds of the first ten steps, memory, minutes that the
  recipe's whole schedule would take, and how far the first ten losses are from the eager ones (compiled code draws
  dropout in its own way: there they say little);
- the host's own part of a step, drawing; where an eager step makes the host wait for the device, if it does;
- the kernels of the step's convolutions alone, forward and backward: the floor, and its share of each step;
- the reference step written from the equations (`reference_step.py`), float32 (no TF32), eager, alternating with ours.

And a scan of LA's size by the default windows. Each part is a process of its own: one that fails, or is stopped when
`--seconds` are over, is written down as such, and costs the others nothing. The JSON is written anew after each part.
`--device cpu` with a small recipe tries the script itself.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
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

from crossmatch.config import Recipe
from crossmatch.data.files import new_volume
from crossmatch.data.prefetch import drawing
from crossmatch.devices import uses_bf16
from crossmatch.networks.layers import to_channels_last
from crossmatch.networks.vnet import VNet
from crossmatch.predictor import Predictor
from crossmatch.recipe import load_recipe
from reference_step import reference_loss
from step_parts import make_batches, make_step, random_network, random_store
from timing import run

TENTHS = 10
MODES: dict[str, dict[str, bool]] = {
    "eager": {},
    "graphed": {"graphs": True},
    "eager, cudnn.benchmark": {},
    "compiled": {"compiled": True},
    "compiled and graphed": {"compiled": True, "graphs": True},
}


class Bench:
    """One recipe's step on a device."""

    def __init__(self, recipe: Recipe, device: torch.device, mode: str = "eager") -> None:
        self.recipe, self.device = recipe, device
        torch.backends.cudnn.benchmark = "benchmark" in mode
        self.batches = make_batches(recipe, random_store(recipe.dims, device), device)
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
        total = reference_loss(plain, batches(bench.step.state.step), recipe.method_settings, recipe.dice)
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
    predictor = Predictor(network, load_recipe("la_8", ["predict.stride=[]"]), 2, bench.device)
    scan = new_volume(np.random.default_rng(0).normal(size=(200, 150, 88)).astype(np.float32))
    return spread([bench.clock(lambda: predictor([scan], Path("scan.nii.gz"))) / 1000 for _ in range(4)][1:])


def one_part(name: str, options: argparse.Namespace) -> Any:
    """What a process of its own measures: ``acdc_3: graphed``, ``acdc_3: around`` or ``acdc_3: scan``."""
    recipe, _, what = name.partition(": ")
    bench = Bench(load_recipe(recipe, options.set), torch.device(options.device), what if what in MODES else "eager")
    if what in MODES:
        return in_mode(bench, options.steps)
    return {"around": around, "scan": one_scan}[what](bench)


def compare(parts: dict[str, Any], recipes: list[str]) -> None:
    """Losses beside the eager ones, and the floor's share of each step, as far as both are there."""
    for name in recipes:
        eager, near = parts.get(f"{name}: eager"), parts.get(f"{name}: around")
        for mode in MODES:
            found = parts.get(f"{name}: {mode}")
            if isinstance(found, dict) and isinstance(eager, dict):
                off = [abs(a - b) / abs(b) for a, b in zip(found["losses"], eager["losses"], strict=True)]
                found["losses_off"] = {"first": off[0], "most": max(off)}
            if isinstance(found, dict) and isinstance(near, dict):
                found["convolutions_share"] = near["convolutions_ms"] / found["ms"]["median"]


def headline(found: Any) -> str:
    """What is read first of a part."""
    if not isinstance(found, dict) or "ms" not in found:
        return json.dumps(found)[-400:]
    memory = f", {found['reserved_gb']:.1f} GB" if "reserved_gb" in found else ""
    return f"{found['ms']['median']:.1f} ms a step{memory}, {found['schedule_minutes']:.1f} min for the whole schedule"


def main() -> None:
    """Measure, write JSON, print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--seconds", type=float, default=460.0)
    parser.add_argument("--recipes", nargs="+", default=["acdc_3", "la_8"])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, of every recipe")
    parser.add_argument("--part", help="measure this one here, and print its JSON: what the script calls itself with")
    options = parser.parse_args()
    if options.part:
        print(json.dumps(one_part(options.part, options)))
        return
    started, cuda = time.monotonic(), options.device.startswith("cuda")
    if cuda and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device; --device cpu --recipes phantom tries the script itself")
    for recipe in options.recipes:
        load_recipe(recipe, options.set)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {}
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(options.device) if cuda else platform.machine(),
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()},
        "parts": parts,
    }
    order = ["eager", "around", "graphed", "scan", "eager, cudnn.benchmark", "compiled", "compiled and graphed"]
    for what in order:
        for recipe in options.recipes[: 1 if what == "scan" else None]:
            if not cuda and what in ("graphed", "eager, cudnn.benchmark", "compiled and graphed"):
                continue
            name, left = f"{recipe}: {what}", options.seconds - (time.monotonic() - started)
            command = [sys.executable, __file__, *sys.argv[1:], "--part", name]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=max(left, 1), check=True)
                parts[name] = json.loads(done.stdout.splitlines()[-1])
            except subprocess.TimeoutExpired:
                parts[name] = "not done in time"
            except subprocess.CalledProcessError as error:
                parts[name] = f"failed: {error.stderr[-2000:]}"
            compare(parts, options.recipes)
            result["seconds"] = time.monotonic() - started
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            print(f"{result['seconds']:5.0f} s  {name}: {headline(parts[name])}", flush=True)
    sys.exit(any(isinstance(found, str) for found in parts.values()))


if __name__ == "__main__":
    run(main)
