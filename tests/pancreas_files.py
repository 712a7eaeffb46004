"""Tiny scans of Pancreas-CT for tests, as TCIA gives them."""

from pathlib import Path

import numpy as np

from tiny import write_nifti
from tiny_dicom import write_series


def write_scan(
    source: Path,
    number: str,
    hu: np.ndarray,
    label: np.ndarray,
    *,
    spacing: tuple[float, float] = (1.0, 1.0),
    step: float = 1.0,
    header: np.ndarray | None = None,
    labels: str = "TCIA_pancreas_labels-02-05-2017",
) -> Path:
    """One scan and its label; `header` is the label's affine, by default the scan's own. Returns the series."""
    series = source / "Pancreas-CT" / f"PANCREAS_{number}" / "11-24-2015-18957" / "Pancreas-99667"
    write_series(series, (hu + 1024).astype(np.int16), spacing=spacing, step=step, origin=(-60.0, -50.0, 30.0))
    own = np.array([[-spacing[0], 0, 0, 60.0], [0, -spacing[1], 0, 50.0], [0, 0, step, 30.0], [0, 0, 0, 1]])
    write_nifti(source / labels / f"label{number}.nii.gz", label, own if header is None else header)
    return series


def scan_voxels(shape: tuple[int, int, int] = (12, 10, 6), seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """HU from -1000 to 400, and a label of one box."""
    hu = np.random.default_rng(seed).integers(-1000, 400, shape)
    label = np.zeros(shape, np.uint8)
    label[tuple(slice(n // 3, n // 2 + 1) for n in shape)] = 1
    return hu, label
