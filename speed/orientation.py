"""What turning costs: a scan of the size of LA read from NIfTI and brought into a frame, against reading alone.

Run: python speed/orientation.py
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.dataset.orientation import into_frame, put_onto
from crossmatch.formats import new_volume

SHAPE = (576, 576, 88)
FRAME = np.diag([-0.625, -0.625, 0.625, 1.0])
TURNED = FRAME[:, [2, 0, 1, 3]] @ np.diag([1.0, -1.0, 1.0, 1.0])  # the farthest from the memory layout of the frame


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The shortest of some runs."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Print seconds, and their ratios to reading alone."""
    voxels = (np.random.default_rng(0).normal(100, 30, SHAPE)).clip(0, 255).astype(np.int16)
    with tempfile.TemporaryDirectory() as place:
        path, frame = Path(place) / "scan.nii.gz", FRAME.tolist()
        for name, affine in (("as the frame", FRAME), ("turned", TURNED)):
            formats.write(path, voxels, like=new_volume(voxels, affine))
            volume = formats.read(path)
            alone = seconds(lambda: formats.read(path))
            image = seconds(lambda one=volume: into_frame([one], frame, path))
            label = seconds(lambda one=volume: put_onto(into_frame([one], frame, path)[0][0], one, path, "its image"))
            print(f"{name}: read {alone:.3f} s, into the frame {image:.4f} s, ratio {(alone + image) / alone:.3f}")
            print(f"{name}: a label put onto its image {label - image:.4f} s")


if __name__ == "__main__":
    main()
