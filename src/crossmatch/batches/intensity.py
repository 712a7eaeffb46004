"""Scales grey values for the network. Training and prediction call the same functions."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Normalise = Literal["minmax", "percentile", "colour", "zscore", "ct", "none"]
_SHIFTED: tuple[Normalise, ...] = ("minmax", "percentile")  # of these an offset of all grey values changes nothing
_EXACT = 2**24  # float32 holds whole numbers up to here exactly
RED_GREEN_BLUE = 3  # channels of colour images
WHOLE_RANGE: tuple[Normalise, ...] = ("minmax", "zscore", "none")  # their windows reach from the minimum to the maximum
_LEVELS, _ENOUGH = 65535, 256  # of a stored window; those that usual grey values have at least
UNBOUNDED: tuple[Normalise, ...] = ("zscore", "ct", "none")  # these leave grey values outside [0, 1]


class Window(NamedTuple):
    """Grey values of one channel of one scan: cut to [low, high], then (value - zero) / unit."""

    low: float
    high: float  # above low
    zero: float
    unit: float


def _whole_range(voxels: NDArray[Any]) -> tuple[float, float]:
    return float(voxels.min()), float(voxels.max())


def _white(channels: Sequence[NDArray[Any]]) -> float:
    """What becomes 1: the largest number of 8 or 16 bits; 1 where values are shares already."""
    highest, eight_bits = max(float(one.max()) for one in channels), any(one.dtype == np.uint8 for one in channels)
    return 1.0 if highest <= 1 and not eight_bits else 255.0 if highest <= 255 else 65535.0


# (channel's voxels) -> (low, high), beyond which values are cut off. minmax: as the community's ACDC files; percentile:
# for scans with outliers. colour: what 8 or 16 bits can hold, of all channels together, see `colour_windows`. These
# make the ends 0 and 1. none: values as stored, for datasets whose importer has normalised them (LA, Pancreas-CT).
# zscore: mean 0 and standard deviation 1 of the voxels that are not 0.
_ENDS: dict[str, Callable[[NDArray[Any]], tuple[float, float]]] = {
    "minmax": _whole_range,
    "percentile": lambda voxels: tuple(np.percentile(voxels, [0.5, 99.5]).tolist()),
    "colour": lambda voxels: (0.0, _white([voxels])),
    "zscore": _whole_range,
    "none": _whole_range,
}


def near_zero(voxels: NDArray[Any], normalise: Normalise) -> NDArray[Any]:
    """Grey values of one channel of one scan, without an offset that float32 could not hold.

    Whole numbers far from 0 are shifted, exactly, so that the smallest is 0; all others stay as they are. Training and
    prediction call this first, so that both see the same grey values.
    """
    if voxels.dtype.kind not in "iu" or normalise not in _SHIFTED:
        return voxels
    low, high = int(voxels.min()), int(voxels.max())
    return voxels if low >= -_EXACT and high <= _EXACT else above(voxels, low)


def above(voxels: NDArray[Any], low: int) -> NDArray[Any]:
    """Whole numbers minus the smallest of them, exactly as int64; as float64 where their range is beyond int64."""
    if int(voxels.max()) - low >= 2**63:
        return voxels.astype(np.float64) - float(low)
    return (voxels.astype(np.uint64) - np.uint64(low % 2**64)).astype(np.int64)  # modulo 2^64


def window(voxels: NDArray[Any], normalise: Normalise, fixed: Window | None = None) -> Window:
    """How the grey values of one channel of one scan are scaled.

    Args:
        fixed: what it is, where that was decided before: for ``ct``, whose window is one for all scans (see
            `foreground_window`), and for ``colour``, whose window is one for all channels (see `colour_windows`).
    """
    if fixed is not None:
        return fixed
    if normalise == "ct":
        raise TypeError("ct needs the window of the dataset")
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


def few_levels(low: float, high: float, p00_5: float, p99_5: float) -> bool:
    """Whether 65,535 levels from the lowest to the highest value leave usual ones, between two percentiles, too few."""
    return 0 < p99_5 - p00_5 < (high - low) * _ENOUGH / _LEVELS


def foreground_window(values: Sequence[NDArray[Any]]) -> Window:
    """The window of ``ct`` for one channel, from the foreground voxels of the labelled training scans, all together.

    Values are cut to their 0.5th and 99.5th percentile; then their mean becomes 0 and their standard deviation 1.
    Source: Isensee et al., nnU-Net, Nature Methods 18, 203-211, 2021.
    """
    whole = np.concatenate([part.astype(np.float32).ravel() for part in values])
    low, high = np.percentile(whole, [0.5, 99.5]).tolist()
    mean, spread = float(whole.mean(dtype=np.float64)), float(whole.std(dtype=np.float64))
    return Window(low, high if high > low else low + 1.0, mean, spread or 1.0)


def are_colours(normalise: Normalise, channels: int) -> bool:
    """Whether the channels of images are red, green and blue in [0, 1], and change together in every view."""
    return normalise == "colour" and channels == RED_GREEN_BLUE


def colour_windows(channels: Sequence[NDArray[Any]], normalise: Normalise) -> list[Window]:
    """The windows of a scan's channels for ``colour``: one for all, so that they keep their ratio. Else none.

    A channel by itself would not do: the blue of a red picture may be so dark that it looks like shares.
    """
    if normalise != "colour":
        return []
    white = _white(channels)
    return [Window(0.0, white, 0.0, white)] * len(channels)


def scale(voxels: NDArray[Any], normalise: Normalise, fixed: Window | None = None) -> NDArray[np.float32]:
    """One channel of one scan -> float32, as `window` says, values beyond it cut off."""
    voxels = near_zero(voxels, normalise)
    low, high, zero, unit = window(voxels, normalise, fixed)
    large = voxels.dtype.kind in "iu" and max(-int(voxels.min()), int(voxels.max())) > _EXACT
    shifted = (voxels.astype(np.float64) - zero).astype(np.float32) if large else voxels.astype(np.float32)
    if not large:
        shifted -= np.float32(zero)
    shifted *= np.float32(1 / unit)  # in place: the scan may be large
    return np.clip(shifted, np.float32((low - zero) / unit), np.float32((high - zero) / unit), out=shifted)
