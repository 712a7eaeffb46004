"""Scales grey values for the network. Training and prediction call the same functions."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Normalise = Literal["minmax", "percentile", "none"]


class Window(NamedTuple):
    """Grey values of one channel of one scan: cut to [low, high], then (value - zero) / unit."""

    low: float
    high: float  # above low
    zero: float
    unit: float


# (channel's voxels) -> (low, high), which become 0 and 1. minmax: as in the community's ACDC files; percentile: for
# scans with outliers; none: values as stored, for datasets whose importer has normalised them (LA, Pancreas-CT).
_ENDS: dict[str, Callable[[NDArray[Any]], tuple[float, float]]] = {
    "minmax": lambda voxels: (float(voxels.min()), float(voxels.max())),
    "percentile": lambda voxels: tuple(np.percentile(voxels, [0.5, 99.5]).tolist()),
    "none": lambda voxels: (float(voxels.min()), float(voxels.max())),
}


def window(voxels: NDArray[Any], normalise: Normalise) -> Window:
    """How the grey values of one channel of one scan are scaled."""
    low, high = _ENDS[normalise](voxels)
    if high <= low:  # a constant channel, or equal percentiles
        low, high = _ENDS["minmax"](voxels)
    high = high if high > low else low + 1.0
    return Window(low, high, 0.0, 1.0) if normalise == "none" else Window(low, high, low, high - low)


def scale(voxels: NDArray[Any], normalise: Normalise) -> NDArray[np.float32]:
    """One channel of one scan -> float32 in [0, 1], values beyond the window cut off; for ``none`` as stored."""
    low, high, zero, unit = window(voxels, normalise)
    scaled = (voxels.astype(np.float32) - np.float32(zero)) * np.float32(1 / unit)
    return np.clip(scaled, np.float32((low - zero) / unit), np.float32((high - zero) / unit), out=scaled)
