"""Scales grey values for the network. Training and prediction call the same functions."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Normalise = Literal["minmax", "percentile", "colour", "zscore", "ct", "none"]
UNBOUNDED: tuple[Normalise, ...] = ("zscore", "ct", "none")  # these leave grey values outside [0, 1]


class Window(NamedTuple):
    """Grey values of one channel of one scan: cut to [low, high], then (value - zero) / unit."""

    low: float
    high: float  # above low
    zero: float
    unit: float


def _whole_range(voxels: NDArray[Any]) -> tuple[float, float]:
    return float(voxels.min()), float(voxels.max())


# (channel's voxels) -> (low, high), beyond which values are cut off. minmax: as the community's ACDC files; percentile:
# for scans with outliers. colour: what 8 or 16 bits can hold, so that channels keep their ratio (values up to 1 are
# shares already). These make the ends 0 and 1. none: values as stored, for datasets whose importer has
# normalised them (LA, Pancreas-CT). zscore: mean 0 and standard deviation 1 of the voxels that are not 0.
_ENDS: dict[str, Callable[[NDArray[Any]], tuple[float, float]]] = {
    "minmax": _whole_range,
    "percentile": lambda voxels: tuple(np.percentile(voxels, [0.5, 99.5]).tolist()),
    "colour": lambda voxels: (0.0, 1.0 if voxels.max() <= 1 else 255.0 if voxels.max() <= 255 else 65535.0),
    "zscore": _whole_range,
    "none": _whole_range,
}


def window(voxels: NDArray[Any], normalise: Normalise, fixed: Window | None = None) -> Window:
    """How the grey values of one channel of one scan are scaled.

    Args:
        fixed: for ``ct``, whose window is one for all scans: see `foreground_window`.
    """
    if normalise == "ct":
        if fixed is None:
            raise TypeError("ct needs the window of the dataset")
        return fixed
    low, high = _ENDS[normalise](voxels)
    if high <= low:  # a constant channel, or equal percentiles
        low, high = _whole_range(voxels)
    high = high if high > low else low + 1.0
    if normalise == "none":
        return Window(low, high, 0.0, 1.0)
    if normalise == "zscore":
        seen = voxels[voxels != 0]
        mean, spread = float(seen.mean(dtype=np.float64)), float(seen.std(dtype=np.float64))
        return Window(low, high, mean, spread or 1.0)
    return Window(low, high, low, high - low)


def foreground_window(values: Sequence[NDArray[Any]]) -> Window:
    """The window of ``ct`` for one channel, from the foreground voxels of the labelled training scans, all together.

    Values are cut to their 0.5th and 99.5th percentile; then their mean becomes 0 and their standard deviation 1.
    Source: Isensee et al., nnU-Net, Nature Methods 18, 203-211, 2021.
    """
    whole = np.concatenate([part.astype(np.float32).ravel() for part in values])
    low, high = np.percentile(whole, [0.5, 99.5]).tolist()
    mean, spread = float(whole.mean(dtype=np.float64)), float(whole.std(dtype=np.float64))
    return Window(low, high if high > low else low + 1.0, mean, spread or 1.0)


def scale(voxels: NDArray[Any], normalise: Normalise, fixed: Window | None = None) -> NDArray[np.float32]:
    """One channel of one scan -> float32, as `window` says, values beyond it cut off."""
    low, high, zero, unit = window(voxels, normalise, fixed)
    scaled = (voxels.astype(np.float32) - np.float32(zero)) * np.float32(1 / unit)
    return np.clip(scaled, np.float32((low - zero) / unit), np.float32((high - zero) / unit), out=scaled)
