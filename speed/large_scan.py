"""How much memory `predict` takes for a large scan that the recipe resamples, and how long.

    python speed/large_scan.py [--size 512 512 600] [--voxel 0.75 0.75 1] [--wanted 1.5 1.5 1.5] [--classes 14]

The scan is a body of noise in air, int16 in .nii.gz. The network is the V-Net of the recipe own_3d, of `--width`
filters, with random weights and windows side by side: its weights do not matter for the memory. `predict` runs in a
process of its own, whose peak is told by the operating system; `--keep FOLDER` leaves the mask there, to compare it
with that of another version. The last line is JSON.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from crossmatch import formats
from crossmatch.formats import new_volume
from crossmatch.inference.predict import Options, predict
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.checkpoint import Checkpoint, save_checkpoint
from crossmatch.runs.devices import peak_memory
from crossmatch.runs.machine import Machine
from crossmatch.runs.run import create_run
from timing import run, seconds

TARGET_GB = 6.0
CPU = torch.device("cpu")


def write_scan(path: Path, size: tuple[int, ...], voxel: tuple[float, ...]) -> None:
    """Organs are waves, so that a network of random weights finds every class in some place."""
    x, y, z = (np.linspace(-1, 1, n, dtype=np.float32) for n in size)
    voxels = np.full(size, -1000, np.int16)
    random = np.random.default_rng(0)
    for k, plane in enumerate(z):
        inside = (x[:, None] / 0.9) ** 2 + (y / 0.7) ** 2 < 1
        waves = np.sin(9 * x[:, None] + 5 * plane) * np.cos(7 * y - 4 * plane)
        grey = 60 + 400 * waves + random.normal(0, 25, size[:2])
        voxels[..., k] = np.where(inside, grey, -1000)
    formats.write(path, voxels, like=new_volume(voxels, np.diag([*voxel, 1.0])))


def write_run(folder: Path, wanted: tuple[float, ...], classes: int, width: int, patch: list[int]) -> None:
    stride = f"predict.stride={patch}"
    changes = [f"data.spacing_mm={list(wanted)}", f"network.width={width}", f"data.size={patch}", stride]
    recipe = load_recipe("own_3d", [*changes, "train.precision=float32", "predict.batch=1"])
    labels = {"background": 0, **{f"organ {k}": k for k in range(1, classes)}}
    facts = {
        "root": "scans", "name": "", "fingerprint": "", "labels": labels, "channels": ["CT"], "slice_axis": 2,
        "labelled": [], "unlabelled": 0, "validation": [],
    }  # fmt: skip
    made = create_run(folder, recipe, facts, Machine(CPU, "float32"))
    torch.manual_seed(0)
    network = made.build_network()
    with torch.no_grad():
        network.get_parameter("head.weight").mul_(5)
    facts_of_weights = {"step": recipe.train.steps, "seconds": 0.0, "best": None}
    save_checkpoint(made.checkpoint("last"), Checkpoint(facts_of_weights, network.state_dict(), {}))


def predict_here(place: Path, keep: Path) -> None:
    """What the child does."""
    torch.set_num_threads(2)
    before = peak_memory(CPU)
    took = seconds(lambda: predict(place / "run", place / "scan.nii.gz", keep, Options(device="cpu"), warn=print))
    print(json.dumps({"seconds": took, "imports_gb": before / 1e9, "peak_gb": peak_memory(CPU) / 1e9}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=(512, 512, 600))
    parser.add_argument("--voxel", type=float, nargs=3, default=(0.75, 0.75, 1.0), help="of the scan, mm")
    parser.add_argument("--wanted", type=float, nargs=3, default=(1.5, 1.5, 1.5), help="data.spacing_mm")
    parser.add_argument("--classes", type=int, default=14)
    parser.add_argument("--width", type=int, default=8, help="filters of the V-Net's first level")
    parser.add_argument("--patch", type=int, nargs=3, default=(96, 96, 96))
    parser.add_argument("--keep", type=Path, help="folder for the mask")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        predict_here(options.child, options.keep)
        return
    with tempfile.TemporaryDirectory() as name:
        place, keep = Path(name), options.keep or Path(name, "masks")
        write_scan(place / "scan.nii.gz", tuple(options.size), tuple(options.voxel))
        write_run(place / "run", tuple(options.wanted), options.classes, options.width, list(options.patch))
        command = [sys.executable, __file__, "--child", str(place), "--keep", str(keep)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        mask = formats.read(keep / "scan.nii.gz").voxels
    counts = np.bincount(mask.ravel(), minlength=options.classes)
    size, wanted = ("x".join(map(str, each)) for each in (options.size, options.wanted))
    print(f"scan of {size} voxels, {options.classes} classes, resampled to {wanted} mm")
    peak, imports = found["peak_gb"], found["imports_gb"]
    print(f"peak    {peak:.2f} GB, of which imports {imports:.2f}; target below {TARGET_GB:.0f}")
    print(f"time    {found['seconds']:.0f} s; {np.count_nonzero(counts)} classes are found")
    digest = hashlib.sha256(np.ascontiguousarray(mask)).hexdigest()
    print(json.dumps({**vars(options), "keep": None, "child": None, **found, "mask_sha256": digest}))


if __name__ == "__main__":
    run(main)
