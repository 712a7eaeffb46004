"""Tiny patients of ACDC for tests, in the two layouts in which people have them."""

from pathlib import Path

import numpy as np

from pair_files import write_pair
from tiny import write_nifti

AFFINE = np.array([[-1.5, 0, 0, 120.0], [0, -1.25, 0, 95.0], [0, 0, 10.0, -30.0], [0, 0, 0, 1]])


def write_patient(
    folder: Path, patient: str, ed: int = 1, es: int = 10, seed: int = 1
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """One patient as the challenge gives it: {frame number: (image, label)}."""
    rng = np.random.default_rng(seed)
    frames = {}
    for frame in (ed, es):
        image = rng.integers(0, 900, (7, 6, 3)).astype(np.int16)
        label = rng.integers(0, 4, (7, 6, 3)).astype(np.uint8)
        write_nifti(folder / patient / f"{patient}_frame{frame:02d}.nii.gz", image, AFFINE)
        write_nifti(folder / patient / f"{patient}_frame{frame:02d}_gt.nii.gz", label, AFFINE)
        frames[frame] = image, label
    write_nifti(folder / patient / f"{patient}_4d.nii.gz", np.zeros((7, 6, 3, 2), np.int16), AFFINE)
    text = f"ED: {ed}\nES: {es}\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n"
    (folder / patient / "Info.cfg").write_text(text)
    return frames


def community_case(seed: int, largest: int = 700) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integers, the float image made of them, the label; all (slice, row, column)."""
    rng = np.random.default_rng(seed)
    k = rng.integers(0, largest + 1, (3, 6, 7))
    k[0, 0, :2] = 0, largest
    return k, (k.astype(np.float64) / largest).astype(np.float32), rng.integers(0, 4, (3, 6, 7)).astype(np.uint8)


def write_volume(path: Path, seed: int) -> None:
    """One volume as the community has it."""
    _, image, label = community_case(seed)
    write_pair(path, image, label)
