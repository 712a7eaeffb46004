"""Grey values to [0, 1]: which values of a scan become 0 and 1. Training and prediction call the same function."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Normalise = Literal["minmax", "percentile"]

# (channel's voxels) -> (low, high). minmax: as the community's ACDC files; percentile: for scans with outliers.
_WINDOWS: dict[str, Callable[[NDArray[Any]], tuple[float, float]]] = {
    "minmax": lambda voxels: (float(voxels.min()), float(voxels.max())),
    "percentile": lambda voxels: tuple(np.percentile(voxels, [0.5, 99.5]).tolist()),
}


def window(voxels: NDArray[Any], normalise: Normalise) -> tuple[float, float]:
    """The grey values of one channel of one scan that become 0 and 1; `high` is always above `low`."""
    low, high = _WINDOWS[normalise](voxels)
    if high <= low:  # a constant channel, or one whose percentiles coincide
        low, high = _WINDOWS["minmax"](voxels)
    return low, high if high > low else low + 1.0


def scale(voxels: NDArray[Any], normalise: Normalise) -> NDArray[np.float32]:
    """One channel of one scan -> float32 in [0, 1], values beyond the window cut off."""
    low, high = window(voxels, normalise)
    scaled = (voxels.astype(np.float32) - np.float32(low)) * np.float32(1 / (high - low))
    return np.clip(scaled, 0, 1, out=scaled)
