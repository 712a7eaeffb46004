"""What a mask is like by itself: its size, its surface, its parts, and whether it meets the scan's edge.

And how far its size is from that of other masks.

Shapes: *S a scan as stored, 2 or 3 axes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from crossmatch.dataset.orientation import turn_into
from crossmatch.formats import Grid, Volume
from crossmatch.runs.run import Run

MOST = 2.0  # a factor of 7: beyond it a size is no worse
SMALL = 0.02  # share that is added to both, so that a few voxels more or less of a small class do not count


class MaskShape(NamedTuple):
    """The shape of one class of a mask."""

    voxels: int
    volume_ml: float | None  # None: a picture, or a voxel size that is unknown
    surface_cm2: float | None
    components: int  # connected by faces
    edge_share: float  # of the voxels, those on the outermost voxels of the scan; 0 where there is none


def mask_shapes(
    labels: NDArray[np.uint8], classes: int, spacing_mm: Sequence[float] | None, slice_axis: int | None
) -> list[MaskShape]:
    """The shape of each class but the background, in order.

    Args:
        labels: (*S).
        classes: K, background included.
        spacing_mm: of the voxels.
        slice_axis: of a stack of slices, whose ends are no edge: hearts go on beyond them; None: none is.
    """
    shapes = []
    for value, place in enumerate(find_objects(labels, max_label=classes - 1), start=1):
        if place is None:
            size = None if spacing_mm is None or labels.ndim < 3 else 0.0
            shapes.append(MaskShape(0, size, size, 0, 0.0))
            continue
        mask = labels[place] == value
        voxels = int(mask.sum())
        volume = surface = None
        if spacing_mm is not None and labels.ndim == 3:
            volume = voxels * float(np.prod(spacing_mm)) / 1000
            surface = _surface_mm2(mask, spacing_mm) / 100
        edge = np.zeros(mask.shape, bool)
        for axis, (part, n) in enumerate(zip(place, labels.shape, strict=True)):
            if axis == slice_axis or n == 1:
                continue
            first, last = (np.take(mask, [k], axis) for k in (0, -1))
            if part.start == 0:
                np.moveaxis(edge, axis, 0)[0] |= np.squeeze(first, axis)
            if part.stop == n:
                np.moveaxis(edge, axis, 0)[-1] |= np.squeeze(last, axis)
        shapes.append(MaskShape(voxels, volume, surface, int(label(mask)[1]), float(edge.sum()) / voxels))
    return shapes


def shapes_in(run: Run, labels: NDArray[np.uint8], grid: Volume | Grid) -> list[MaskShape]:
    """`mask_shapes` of a scan's mask (*S): the stack's axis is the one along which a 2D run takes slices."""
    stack = run.recipe.dims == 2 and labels.ndim == 3
    axis = turn_into(run.frame, grid).axes[run.data["slice_axis"]] if stack else None
    return mask_shapes(labels, run.classes, grid.spacing_mm, axis)


def unlikeness(shapes: Sequence[MaskShape], known: Sequence[Sequence[MaskShape]]) -> NDArray[np.float64]:
    """(L,): how unlike that of known masks (M, L) the size of each class of a mask is; 0: alike, or nothing to compare.

    It is the factor, as a logarithm, by which the volume lies outside of the range of the known ones, and the factor
    from the class's share of all classes to its mean share in the known ones. Neither counts for more than `MOST`.
    Where a voxel size is unknown, voxels are compared.
    """
    in_ml = all(shape.volume_ml is not None for one in (shapes, *known) for shape in one)
    sizes = np.array([[shape.volume_ml if in_ml else shape.voxels for shape in one] for one in (shapes, *known)], float)
    shares = sizes / np.maximum(sizes.sum(1, keepdims=True), 1e-9)
    found = np.zeros(len(shapes))
    for k in range(len(shapes)):
        there = sizes[1:, k] > 0
        if sizes[0, k] == 0 or not there.any():
            continue
        least, most = sizes[1:, k][there].min(), sizes[1:, k][there].max()
        outside = max(0.0, np.log(least / sizes[0, k]), np.log(sizes[0, k] / most))
        share = abs(np.log((shares[0, k] + SMALL) / (shares[1:, k][there].mean() + SMALL)))
        found[k] = min(outside, MOST) + min(share, MOST)
    return found


def _surface_mm2(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """The area of all voxel faces between the mask and what is not the mask."""
    area = float(np.prod(spacing_mm))
    padded = np.pad(mask, 1).astype(np.int8)
    return sum(float(np.abs(np.diff(padded, axis=axis)).sum()) * area / mm for axis, mm in enumerate(spacing_mm))
