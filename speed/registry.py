"""What reading through the registry of formats costs beside calling a format's own reader.

    python speed/registry.py [--rounds 9] [--reads 200]

A tiny file (4 x 4 x 4 voxels) shows the cost of the way through the registry: the look-up by ending, the seal on test
cases, the messages for damaged files. A scan of usual size (256 x 256 x 64, int16, compressed) shows what that is of
real work. `formats.read` and the NIfTI module's `read` alternate in this process; nibabel alone is the plain reference.
Printed are medians and ranges in milliseconds of processor time, so that other work on the machine counts little; the
last line is JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from crossmatch import formats
from crossmatch.formats import new_volume, nifti
from timing import run, spread

SIZES = {"tiny": (4, 4, 4), "scan": (256, 256, 64)}
FEWER = 100  # times fewer reads of the scan


def milliseconds(work: Callable[[], object], count: int) -> float:
    """Processor time of one call, the mean of `count`."""
    start = time.process_time()
    for _ in range(count):
        work()
    return 1000 * (time.process_time() - start) / count


def plain(path: Path) -> object:
    """Voxels and affine, by nibabel alone."""
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--reads", type=int, default=200, help="of the tiny file in a round")
    options = parser.parse_args()
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        for name, shape in SIZES.items():
            path = Path(place, f"{name}.nii.gz")
            smooth = np.add.outer(np.add.outer(np.arange(shape[0]), np.arange(shape[1])), np.arange(shape[2]))
            noise = np.random.default_rng(0).integers(0, 40, shape)
            formats.write(path, (smooth + noise).astype(np.int16), like=new_volume(np.zeros(shape), np.eye(4)))
            count = max(1, options.reads // (FEWER if name == "scan" else 1))
            works: dict[str, Callable[[], object]] = {
                "registry": lambda path=path: formats.read(path),  # type: ignore[misc]
                "module": lambda path=path: nifti.read(path),  # type: ignore[misc]
                "nibabel": lambda path=path: plain(path),  # type: ignore[misc]
            }
            turns = [{key: milliseconds(work, count) for key, work in works.items()} for _ in range(options.rounds + 1)]
            times = {key: [turn[key] for turn in turns[1:]] for key in works}  # the first round warms up
            ratios = [turn["registry"] / turn["module"] for turn in turns[1:]]
            added = 1000 * (statistics.median(times["registry"]) - statistics.median(times["module"]))
            print(f"{name}: {' x '.join(map(str, shape))} voxels")
            for key, values in times.items():
                print(f"  {key:9} {spread(values, '.3f')} ms")
            print(f"  registry / module {spread(ratios, '.3f')}, {added:+.0f} microseconds")
            result |= {f"{name}_ratio": statistics.median(ratios), f"{name}_added_us": added}
    print(json.dumps(result))


if __name__ == "__main__":
    run(main)
