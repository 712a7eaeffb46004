"""Scans that lie in memory as arrays: checked, and made into the volumes that reading their files would give.

Shapes: *S a scan in the axis order of its file, 2 or 3 axes; C channels.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossmatch.dataset.orientation import turn_grid, turn_into
from crossmatch.errors import UserError
from crossmatch.formats import Volume, in_mm, new_volume, refuse_implausible, spacing_of
from crossmatch.inference.predictor import check_voxels
from crossmatch.runs.run import Run


def volumes_of(
    image: NDArray[Any], run: Run, spacing_mm: Sequence[float] | None, affine: ArrayLike | None
) -> list[Volume]:
    """The channels of a scan, (*S) each, as the run's network would get them from files.

    Args:
        image: (*S) for a network of one channel, (C, *S) for one of several.
        run: whose network is to segment it.
        spacing_mm: one number an axis of *S, or None; affine: (4, 4), voxel index to world in mm, or None.

    Raises:
        UserError: a shape, type or grid that does not fit the run, a voxel size that is needed and missing, and voxels
            that are constant or not finite.
    """
    channels = _channels(image, run)
    matrix = None if affine is None else _matrix(affine)
    spacing = _spacing(channels[0].ndim, spacing_mm, matrix)
    if spacing is None and (wanted := run.recipe.data.spacing_mm):
        raise UserError(
            f"The run {run.folder} resamples scans to {in_mm(wanted)}, so it needs the voxel size of this one: "
            "give spacing_mm, a number in mm for each axis, or affine."
        )
    volumes = [replace(new_volume(voxels, matrix), spacing_mm=spacing) for voxels in channels]
    scan = turn_grid(volumes[0], turn_into(run.frame, volumes[0])).shape
    if run.recipe.dims == 2 and len(scan) == 3 and 1 in np.delete(scan, run.data["slice_axis"]):
        raise UserError(
            f"image has the shape {image.shape}, whose slices would be one voxel wide: give a single slice as two "
            "axes, without a further one for channels or slices."
        )
    return volumes


def _channels(image: NDArray[Any], run: Run) -> list[NDArray[Any]]:
    """The channels of a scan, of the types that files give."""
    names, dims = run.data["channels"], run.recipe.dims
    several = len(names) > 1
    scan = image.shape[1:] if several else image.shape
    if len(scan) not in (dims, 3) or (several and len(image) != len(names)) or 0 in scan:
        shape = (
            f"({len(names)}, *S) with the channels {', '.join(names)} first" if several else "(*S), without channels"
        )
        axes = "2 axes (a slice) or 3 (a volume)" if dims == 2 else "3 axes"
        raise UserError(
            f"image has the shape {image.shape}, but the run {run.folder} takes {shape}, where *S has {axes}: change "
            "the array's axes, or load a run for such scans."
        )
    if image.dtype.kind not in "buif":
        raise UserError(f"image holds {image.dtype}, no grey values: give whole or floating-point numbers.")
    stored = image.astype(np.float32, copy=False) if image.dtype.kind == "f" else image
    channels = list(stored) if several else [stored]
    for voxels in channels:
        check_voxels(voxels, "image")
    return channels


def _matrix(affine: ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(affine, np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or np.linalg.det(matrix) == 0:
        raise UserError("affine must be an invertible matrix of 4 x 4 numbers, voxel index to world in mm.")
    return matrix


def _spacing(axes: int, stated: Sequence[float] | None, matrix: NDArray[np.float64] | None) -> tuple[float, ...] | None:
    """The voxel size as stated, else that of the affine, else None."""
    found = None if matrix is None else spacing_of(matrix, axes)
    for what, size in (("spacing_mm", stated), ("affine", found)):
        if size is not None and all(0 < mm < np.inf for mm in size):
            refuse_implausible(what, size)
    if stated is None:
        return found
    spacing = tuple(float(mm) for mm in stated)
    if len(spacing) != axes or not all(0 < mm < np.inf for mm in spacing):
        raise UserError(f"spacing_mm must be {axes} positive numbers, one for each axis of the scan; got {spacing}.")
    if found is not None and not np.allclose(spacing, found, rtol=0.01):
        raise UserError(f"spacing_mm says {in_mm(spacing)} and affine {in_mm(found)}: leave the one out that is wrong.")
    return spacing
