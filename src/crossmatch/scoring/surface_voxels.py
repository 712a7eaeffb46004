"""Which voxels of a mask are its surface. Shapes: a mask is a bool array (*S) of any rank."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def surface_voxels(mask: NDArray[Any], ignored: NDArray[Any] | None = None) -> NDArray[np.intp]:
    """Indices (N, rank) of the object's voxels that have background, or the outside of the image, across a face.

    A single slice with a third axis of one voxel has no faces above and below.

    Args:
        mask: (*S) bool, the object.
        ignored: (*S) bool, voxels of which nobody knows whether they are the object. They are not background, so a
            voxel is no surface because of them alone. None of them may be in the mask.
    """
    long = [axis for axis in range(mask.ndim) if mask.shape[axis] > 1]
    faces = long if len(long) > 1 else range(mask.ndim)  # a single slice has none above and below
    offset: list[int] = []
    around: list[slice] = []  # the object's box and, within the image, one voxel more on every side
    beyond: list[tuple[int, int]] = []  # where that voxel lies outside of the image
    for axis in range(mask.ndim):  # crop to the object's box
        others = tuple(other for other in range(mask.ndim) if other != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        if len(inside) == 0:
            return np.empty((0, mask.ndim), np.intp)
        first, end, size = int(inside[0]), int(inside[-1]) + 1, mask.shape[axis]
        offset.append(first)
        around.append(slice(max(0, first - 1), end + 1))
        beyond.append((int(first == 0), int(end == size)))
        mask = mask[(slice(None),) * axis + (slice(first, end),)]
    padded = np.pad(mask, 1)  # the box has background all round, also at the image's border
    if ignored is not None:
        padded |= np.pad(ignored[tuple(around)], beyond)
    interior = np.ones(mask.shape, bool)
    centre = (slice(1, -1),) * mask.ndim
    for axis in faces:
        for side in (slice(None, -2), slice(2, None)):
            interior &= padded[(*centre[:axis], side, *centre[axis + 1 :])]
    border: NDArray[np.intp] = np.argwhere(mask & ~interior) + np.array(offset)
    return border
