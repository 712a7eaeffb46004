"""All that is worth knowing of a GPU in one call of under eight minutes: the training step in 2D and 3D, and one scan.

    python benchmarks/gpu.py --out gpu.json [--seconds 460] [--recipes acdc_3 la_8] [--steps 30]

For each recipe, at its full size, on voxels of noise:

- eager, eager with cuDNN's search for algorithms, graphed, compiled, and compiled and graphed: milliseconds a step with
  the host's work (median and range over tenths of `--steps`), and the peak memory;
- the host's own part of it, drawing; whether an eager step makes the host wait for the device anywhere;
- the convolutions of the step alone, forward and backward, one after the other: the floor, and the step's share of it;
- the reference step written from the equations (`reference_step.py`), float32, eager, alternating with ours;
- how far the losses of ten steps are from the eager ones, graphed and compiled;
- minutes that the recipe's whole schedule would take.

And a scan of LA's size by half-overlapping windows. Compiling takes longest and comes last. What fails, or is not
reached in `--seconds`, is written down as such; the JSON is written anew after each part. `--device cpu` with a small
recipe tries the script itself.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossmatch.config import Recipe
from crossmatch.data.files import new_volume
from crossmatch.data.views import Batches, Drawn, to_device
from crossmatch.networks.layers import to_channels_last
from crossmatch.networks.vnet import VNet
from crossmatch.predictor import Predictor
from crossmatch.recipe import load_recipe
from crossmatch.step import WARM_UP, TrainingStep
from reference_step import reference_loss
from step_parts import make_batches, make_step, random_network, random_store

Part = Callable[[str, Callable[[], Any]], None]
QUICK: dict[str, dict[str, bool]] = {"eager": {}, "eager, cudnn.benchmark": {}, "graphed": {"graphs": True}}
SLOW = {"compiled": {"compiled": True}, "compiled and graphed": {"compiled": True, "graphs": True}}
TENTHS = 10
LA_SIZE = (200, 150, 88)


class Clock:
    """Milliseconds until the device has done what was asked of it."""

    def __init__(self, device: torch.device) -> None:
        self.wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    def __call__(self, work: Callable[[], object]) -> float:
        """How long the work took."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return 1000 * (time.perf_counter() - start)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def drawn_for(step: TrainingStep, batches: Batches) -> Drawn:
    return to_device(batches.draw(step.state.step), batches.device)


def measure(step: TrainingStep, batches: Batches, steps: int, clock: Clock) -> dict[str, Any]:
    """Time and memory of a step that is warm."""
    cuda = batches.device.type == "cuda"
    first = clock(lambda: [step(drawn_for(step, batches)) for _ in range(WARM_UP + 2)])
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    count = max(1, steps // TENTHS)
    rows = [clock(lambda: [step(drawn_for(step, batches)) for _ in range(count)]) / count for _ in range(TENTHS)]
    found: dict[str, Any] = {"ms": spread(rows), "warm_up_s": first / 1000}
    return found | ({"peak_gb": torch.cuda.max_memory_allocated() / 2**30} if cuda else {})


def losses(step: TrainingStep, batches: Batches) -> list[float]:
    return [float(step(drawn_for(step, batches))["total"]) for _ in range(10)]


def waits(step: TrainingStep, batches: Batches) -> str:
    """The first place where an eager step makes the host wait, or none."""
    drawn = drawn_for(step, batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(drawn)
    except RuntimeError as error:
        return str(error)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "none"


def convolutions(step: TrainingStep, batches: Batches, clock: Clock) -> float:
    """Milliseconds of every convolution of one step, forward and backward, with nothing between."""
    seen: list[tuple[nn.Module, Tensor, bool]] = []
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)

    def note(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        seen.append((module, inputs[0], torch.is_grad_enabled()))

    hooks = [m.register_forward_hook(note) for m in step.state.method.modules() if isinstance(m, kinds)]
    step(drawn_for(step, batches))
    for hook in hooks:
        hook.remove()
    half = torch.bfloat16 if "bf16" in str(step.team.fabric.strategy.precision.precision) else torch.float32
    calls = [
        (module, torch.randn_like(image, dtype=half).requires_grad_(learns and image.requires_grad), learns)
        for module, image, learns in seen
    ]
    seen.clear()

    def all_of_them() -> None:
        for module, image, learns in calls:
            with torch.set_grad_enabled(learns), torch.autocast(image.device.type, half, enabled=half != torch.float32):
                out = module(image)
            if learns:
                out.backward(out.detach())

    return statistics.median([clock(all_of_them) for _ in range(3)][1:])


def against_reference(step: TrainingStep, batches: Batches, recipe: Recipe, clock: Clock) -> dict[str, Any]:
    plain = random_network(recipe).to(batches.device)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3)

    def reference() -> None:
        total = reference_loss(plain, batches(step.state.step), recipe.method_settings, recipe.dice)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    rows = [(clock(lambda: step(drawn_for(step, batches))), clock(reference)) for _ in range(6)][1:]
    return {"reference_ms": spread([b for _, b in rows]), "ratio": spread([a / b for a, b in rows])}


class OneRecipe:
    """Every part of one recipe."""

    def __init__(self, name: str, options: argparse.Namespace, part: Part) -> None:
        self.name, self.options, self.part = name, options, part
        self.recipe, self.device = load_recipe(name, options.set), torch.device(options.device)
        self.batches = make_batches(self.recipe, random_store(self.recipe.dims, self.device), self.device)
        self.clock, self.eager = Clock(self.device), []

    def in_modes(self, modes: dict[str, dict[str, bool]]) -> None:
        """Time of a step in several modes."""
        for mode, how in modes.items():
            if self.device.type == "cuda" or "graphs" not in how:
                self.part(f"{self.name}: {mode}", partial(self.in_mode, mode, how))

    def in_mode(self, mode: str, how: dict[str, bool]) -> dict[str, Any]:
        """Time, memory, the whole schedule's minutes, and how far its losses are from the eager ones."""
        torch.backends.cudnn.benchmark = "benchmark" in mode
        torch._dynamo.reset()
        step = make_step(self.recipe, self.batches, self.device, **how)
        found = losses(step, self.batches)
        self.eager = self.eager or found
        off = [abs(a - b) / abs(b) for a, b in zip(found, self.eager, strict=True)]
        told = measure(step, self.batches, self.options.steps, self.clock)
        minutes = told["ms"]["median"] * self.recipe.train.steps / 60_000
        torch.backends.cudnn.benchmark = False
        return told | {"schedule_minutes": minutes, "losses_off_first": off[0], "losses_off_most": max(off)}

    def around(self) -> None:
        """What an eager step is made of, and compares with."""
        batches, clock, step = self.batches, self.clock, make_step(self.recipe, self.batches, self.device)
        losses(step, batches)

        def drawing() -> dict[str, float]:
            return spread([clock(partial(batches.draw, k)) for k in range(20)])

        self.part(f"{self.name}: drawing, ms", drawing)
        if self.device.type == "cuda":
            self.part(f"{self.name}: waits", lambda: waits(step, batches))
        self.part(f"{self.name}: convolutions alone, ms", lambda: convolutions(step, batches, clock))
        self.part(f"{self.name}: reference", lambda: against_reference(step, batches, self.recipe, clock))


def one_scan(options: argparse.Namespace) -> dict[str, float]:
    device, recipe = torch.device(options.device), load_recipe("la_8", ["predict.stride=[]"])
    torch.manual_seed(0)
    network = to_channels_last(VNet(3, 1, 2)).to(device).eval()
    predictor = Predictor(network, recipe, 2, device)
    scan = new_volume(np.random.default_rng(0).normal(size=LA_SIZE).astype(np.float32))
    clock = Clock(device)
    return spread([clock(lambda: predictor([scan], Path("scan.nii.gz"))) / 1000 for _ in range(4)][1:])


def main() -> None:
    """Measure, write JSON, print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=460.0)
    parser.add_argument("--recipes", nargs="+", default=["acdc_3", "la_8"])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, of every recipe")
    options = parser.parse_args()
    started, cuda = time.monotonic(), options.device.startswith("cuda")
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()},
        "parts": {},
    }

    def part(name: str, work: Callable[[], Any]) -> None:
        try:
            late = time.monotonic() - started > options.seconds
            found = "not reached in time" if late else work()
        except Exception as error:  # a part that fails is a finding, and the others go on
            found = f"failed: {type(error).__name__}: {error}"
        result["parts"][name] = found
        result["seconds"] = time.monotonic() - started
        options.out.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{result['seconds']:5.0f} s  {name}: {json.dumps(found)[:300]}", flush=True)

    recipes = [OneRecipe(name, options, part) for name in options.recipes]
    for recipe in recipes:
        recipe.in_modes(QUICK)
        recipe.around()
    part("scan of LA's size, half overlap, s", lambda: one_scan(options))
    for recipe in recipes:
        recipe.in_modes(SLOW)


if __name__ == "__main__":
    main()
