"""The community's HDF5 files for tests."""

from pathlib import Path

import h5py
import numpy as np


def write_pair(path: Path, image: np.ndarray, label: np.ndarray) -> None:
    """`image` and `label` in one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["image"], file["label"] = image, label
