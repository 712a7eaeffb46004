"""Items: what one sample is cut from, a slice for a 2D recipe and a volume for a 3D one.

Shapes: *S is a scan in its file's axis order; it has I items of (*S'), or (*N) at the recipe's voxel size.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmatch.batches.resample import new_size
from crossmatch.errors import UserError


def to_items(voxels: NDArray[np.generic], dims: int, slice_axis: int, path: Path) -> NDArray[np.generic]:
    """A scan (*S) as items (I, *S'): the scan itself, or its slices along `slice_axis` if `dims` is one axis less."""
    if _is_whole(voxels.ndim, dims, path):
        return voxels[np.newaxis]
    return np.moveaxis(voxels, slice_axis, 0)


def from_items(items: NDArray[np.generic], ndim: int, slice_axis: int) -> NDArray[np.generic]:
    """Inverse of `to_items`: (I, *S') back to a scan of `ndim` axes."""
    return items[0] if items.ndim - 1 == ndim else np.moveaxis(items, 0, slice_axis)


def stored_shape(
    shape: Sequence[int],
    spacing_mm: Sequence[float] | None,
    wanted_mm: Sequence[float],
    dims: int,
    slice_axis: int,
    path: Path,
    size: tuple[int, ...] = (),
) -> tuple[int, ...]:
    """(I, *N): how many items a scan has, and their voxels along each axis.

    Args:
        shape, spacing_mm: of the scan; the spacing is None if its file does not state it.
        wanted_mm: the voxel size of the recipe, one number for each axis of the item; empty: items stay as stored.
        dims: axes of an item.
        slice_axis: the axis along which a scan of one axis more is cut into slices.
        path: of the scan, for messages.
        size: that items are resized to, whatever their own; empty: not resized.

    Raises:
        UserError: the scan has neither `dims` axes nor one more, or its voxel size is needed and unknown.
    """
    whole = _is_whole(len(shape), dims, path)
    axes = [axis for axis in range(len(shape)) if whole or axis != slice_axis]
    count = 1 if whole else shape[slice_axis]
    if size:
        return count, *size
    if not wanted_mm:
        return count, *(shape[axis] for axis in axes)
    if spacing_mm is None:
        raise UserError(
            f"{path} does not state its voxel size, or contradicts itself about it, so it cannot be resampled to "
            "data.spacing_mm: store the scan with its spacing (or train on scans as they are, with --set "
            "data.spacing_mm=[])."
        )
    return count, *new_size([shape[axis] for axis in axes], [spacing_mm[axis] for axis in axes], wanted_mm)


def _is_whole(ndim: int, dims: int, path: Path) -> bool:
    """Whether a scan of `ndim` axes is one item; else it is a stack of slices. UserError if it is neither."""
    if ndim not in (dims, dims + 1):
        raise UserError(f"{path} has {ndim} axes, but the recipe's data.size has {dims}: choose a recipe for it.")
    return ndim == dims
