"""Tiny scans of LA for tests, in the two layouts in which people have them."""

from pathlib import Path

import h5py
import nrrd
import numpy as np

# The first two training scans, the fifth, and the first test scan.
FIRST, SECOND, FIFTH, TEST = (
    "06SR5RBREL16DQ6M8LWS",
    "0RZDK210BSMWAA6467LU",
    "1MHBF3G6DCPWHSKG7XCP",
    "UPT6DX9IQY9JAZ7HJKA7",
)
SHAPE = (160, 170, 3)
LPS = {
    "space": "left-posterior-superior",
    "space directions": np.diag([0.625, 0.625, 0.625]),
    "space origin": [-40.0, -50.0, 60.0],
}


def write_community(folder: Path, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One scan as the community has it: image and label, (x, y, z)."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(7, 6, 4)).astype(np.float32)
    label = rng.integers(0, 2, (7, 6, 4)).astype(np.uint8)
    folder.mkdir(parents=True)
    with h5py.File(folder / "mri_norm2.h5", "w") as file:
        file.create_dataset("image", data=image, compression="gzip")
        file.create_dataset("label", data=label, compression="gzip")
    return image, label


def write_challenge(folder: Path, seed: int) -> np.ndarray:
    """One scan as the challenge has it, the label 255 in x 70..79, y 10..139, all z; -> the image."""
    folder.mkdir(parents=True)
    image = np.random.default_rng(seed).integers(0, 256, SHAPE).astype(np.uint8)
    nrrd.write(str(folder / "lgemri.nrrd"), image, LPS)
    write_label(folder)
    return image


def write_label(folder: Path, value: int = 255, **changed: object) -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[70:80, 10:140] = value
    nrrd.write(str(folder / "laendo.nrrd"), label, {**LPS, **{k.replace("_", " "): v for k, v in changed.items()}})
