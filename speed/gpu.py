"""All that is worth knowing of a GPU in one call of under eight minutes: the training step in 2D and 3D, and one scan.

    python speed/gpu.py --out gpu.json [--seconds 460] [--recipes acdc_3 la_8] [--steps 100]

For each recipe, at its full size, on voxels of noise:

- eager and graphed, each with and without cuDNN's search for algorithms, compiled, and compiled and graphed:
  milliseconds a step with the host's work (median and range over tenths of `--steps`), seconds of the first ten steps,
  memory, minutes that the recipe's whole schedule would take, and how far the first ten losses are from the eager ones
  (compiled code draws dropout in its own way: there they say little);
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
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from crossmatch.recipes.load import load_recipe
from gpu_parts import MODES, one_part
from timing import run


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
    order = ["eager", "graphed", "graphed, cudnn.benchmark", "around", "scan", "eager, cudnn.benchmark"]
    order += ["compiled", "compiled and graphed"]
    for what in order:
        for recipe in options.recipes[: 1 if what == "scan" else None]:
            if not cuda and ("graphed" in what or "cudnn" in what):
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
