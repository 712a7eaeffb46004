"""One case as a store keeps it: its channels as integers with their windows, and its label, in items.

A channel whose lowest and highest value lie so far apart that whole numbers of 16 bits would leave its other voxels few
levels is kept as float32, scaled as for prediction: one voxel of 1e9 among values up to 500 is enough for that.

Shapes: I items (see `items.py`), C channels, *N an item's size in the store.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmatch import formats
from crossmatch.batches.intensity import (
    WHOLE_RANGE,
    Normalise,
    Window,
    above,
    colour_windows,
    few_levels,
    near_zero,
    scale,
    window,
)
from crossmatch.batches.items import stored_shape, to_items
from crossmatch.batches.resample import resize_image, resize_labels
from crossmatch.dataset.dataset import Case
from crossmatch.dataset.orientation import Frame, into_frame, read_label, turn_voxels
from crossmatch.dataset.spread import spread
from crossmatch.formats import Volume

SEEN = 100_000  # voxels of a channel, from all over it, that tell its usual grey values
_LEVELS = 65535  # int16 holds integers of this range exactly; others are rounded to this many levels of their window


class StoredItems(NamedTuple):
    """What a store keeps of one case."""

    voxels: NDArray[np.int16] | NDArray[np.float32]  # (C, I, *N)
    windows: tuple[Window, ...]  # one a channel, in units of the stored numbers
    label: NDArray[np.uint8] | None  # (I, *N)


class Reading(NamedTuple):
    """How cases are read: the arguments of `load_store`. Call it with a case; several threads may do so at once."""

    dims: int
    slice_axis: int
    normalise: Normalise
    labels: Mapping[str, int] | None
    fixed: Sequence[Window]
    spacing_mm: Sequence[float]
    frame: Frame | None
    size: tuple[int, ...]  # that items are resized to; empty: their own

    def __call__(self, case: Case, *, with_label: bool) -> StoredItems:
        """Read one case; its label is opened only where it is wanted."""
        stored, path = formats.read_channels(case.images), case.images[0]
        volumes, turn = into_frame(stored, self.frame, path)
        first = volumes[0]
        _, *axes = stored_shape(
            first.shape, first.spacing_mm, self.spacing_mm, self.dims, self.slice_axis, path, self.size
        )
        size = tuple(axes)
        fixed = self.fixed or colour_windows([volume.voxels for volume in volumes], self.normalise)
        integers, seen = zip(
            *(
                _channel(volume, self.dims, self.slice_axis, self.normalise, size, path, fixed[k] if fixed else None)
                for k, volume in enumerate(volumes)
            ),
            strict=True,
        )
        label = None
        if with_label and case.label is not None:
            drawn = turn_voxels(read_label(case.label, stored[0], self.labels).voxels, turn)
            items = to_items(drawn, self.dims, self.slice_axis, case.label)
            label = np.stack([resize_labels(item, size) for item in items]).astype(np.uint8)
        return StoredItems(np.stack(integers), seen, label)


def _channel(
    volume: Volume,
    dims: int,
    slice_axis: int,
    normalise: Normalise,
    size: tuple[int, ...],
    path: Path,
    fixed: Window | None,
) -> tuple[NDArray[np.int16] | NDArray[np.float32], Window]:
    """One channel of a scan as items (I, *N), int16 or float32, and its window in units of the stored numbers."""
    items = to_items(near_zero(volume.voxels, normalise), dims, slice_axis, path)
    as_stored = items.shape[1:] == size
    if as_stored:
        seen = window(items, normalise, fixed)
        if not _too_coarse(items, seen, normalise):
            return _to_int16(items, seen)
    scaled = to_items(scale(volume.voxels, normalise, fixed), dims, slice_axis, path)
    if as_stored:
        return scaled.astype(np.float32, copy=False), window(scaled, "none")
    resized = np.stack([resize_image(item, size) for item in scaled])
    if _too_coarse(scaled, window(scaled, "none"), normalise):
        return resized, window(resized, "none")
    return _to_int16(resized, window(resized, "none"))


def _too_coarse(items: NDArray[np.generic], seen: Window, normalise: Normalise) -> bool:
    """Whether 65,535 levels of the window are too few for the usual grey values among them; see `few_levels`.

    Windows that leave out what lies far from the others are never too wide.
    """
    if normalise not in WHOLE_RANGE or _fits_int16(items):
        return False
    picked = items[np.unravel_index(spread(items.size, SEEN), items.shape)].astype(np.float64)
    picked = picked[picked != 0]  # scans of which little is not 0 are usual
    return picked.size > 0 and few_levels(seen.low, seen.high, *np.percentile(picked, (0.5, 99.5)).tolist())


def _fits_int16(items: NDArray[np.generic]) -> bool:
    return np.issubdtype(items.dtype, np.integer) and int(items.max()) - int(items.min()) <= _LEVELS


def _to_int16(items: NDArray[np.generic], seen: Window) -> tuple[NDArray[np.int16], Window]:
    """Items of one channel and their window -> int16 voxels, and the window in units of these."""
    low, high, zero, unit = seen
    if _fits_int16(items):
        base, step = float(items.min()), 1.0
        stored = above(items, int(items.min())) - 2**15
    else:  # values beyond the window are cut off anyway, so all levels are used within it
        base, step = low, (high - low) / _LEVELS
        stored = np.rint((items.astype(np.float64).clip(low, high) - base) / step) - 2**15
    low, high, zero = ((value - base) / step - 2**15 for value in (low, high, zero))
    return stored.astype(np.int16), Window(low, high, zero, unit / step)
