"""What the voxels of one file show: grey-value statistics of an image, voxels of each label value.

A file that shows something wrong gives None, and a sentence in the list of problems.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crossmatch.dataset.fingerprint import Intensity
from crossmatch.errors import listed
from crossmatch.formats import Array


def intensity_of(path: Path, voxels: Array, problems: list[str]) -> Intensity | None:
    """Grey-value statistics of one image, which must be finite and not constant."""
    bad = voxels.size - int(np.isfinite(voxels).sum()) if voxels.dtype.kind == "f" else 0
    if bad:
        problems.append(f"{path} has {bad} voxels that are NaN or infinite: replace them (for instance by 0)")
        return None
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        problems.append(f"{path} is constant, every voxel is {low:g}: export it again, or take the case out")
        return None
    p00_5, p99_5 = (float(value) for value in np.percentile(voxels, (0.5, 99.5)))
    mean, std = float(voxels.mean(dtype=np.float64)), float(voxels.std(dtype=np.float64))
    return Intensity(low, high, mean, std, p00_5, p99_5)


def count_labels(path: Path, voxels: Array, labels: Mapping[str, int], problems: list[str]) -> tuple[int, ...] | None:
    """How many voxels each declared label value has; None, and a problem, where the file holds other values."""
    values, counts = np.unique(voxels, return_counts=True)
    declared = ", ".join(f"{value} {name}" for name, value in labels.items())
    if voxels.dtype.kind == "f" and not (np.isfinite(values) & (values == np.round(values))).all():
        odd = next(value for value in values.tolist() if value != round(value, 0) or not np.isfinite(value))
        problems.append(f"{path} holds {odd:g}, which is no whole number: store label values ({declared})")
        return None
    found = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    unknown = sorted(set(found) - set(labels.values()))
    if unknown:
        problems.append(
            f"{path} holds the label {'value' if len(unknown) == 1 else 'values'} {listed(unknown)}, but "
            f"dataset.json declares {declared}: correct the file or the labels in dataset.json"
        )
        return None
    return tuple(found.get(value, 0) for value in labels.values())
