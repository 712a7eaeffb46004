"""Volumes and grids: voxels with their place in the world, whatever file they come from.

Shapes: *S is (x, y) or (x, y, z), the file's own axis order. Of a picture (PNG, JPEG, ...) x is the column and y the
row, so that every format counts along a row first. Affines are 4 x 4 float64: voxel index to world coordinate in
millimetres, world axes to the right, front and top of the patient (RAS+).
"""

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class HasGrid(Protocol):
    """Anything that lies on a voxel grid."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis, (*S)."""

    @property
    def affine(self) -> Array:
        """Voxel index to world coordinate, (4, 4)."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a file lie, read without the voxels."""

    shape: tuple[int, ...]  # (*S), 2 or 3 axes
    affine: Array  # (4, 4) float64
    spacing_mm: tuple[float, ...] | None  # one per axis; None when unknown
    channels: int = 1  # volumes that the file holds on this grid: 3 for a colour picture
    oriented: bool = True  # whether the file says how its axes run in the world
    doubt: str | None = None  # what the header says against itself, in words


@dataclass(frozen=True, eq=False)
class Volume:
    """The voxels of one channel of a scan and where they lie."""

    voxels: Array  # (*S); the stored integer type where the file has no scaling, else float32
    affine: Array  # (4, 4) float64
    spacing_mm: tuple[float, ...] | None  # one per axis; None when unknown
    native: object = None  # what the format needs to write another file like this one; only the format looks into it
    oriented: bool = True  # whether the file says how its axes run in the world
    doubt: str | None = None  # what the header says against itself, in words

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis, (*S)."""
        return tuple(self.voxels.shape)


def new_volume(voxels: Array, affine: Array | None = None, native: object = None) -> Volume:
    """A volume from its parts.

    Args:
        voxels: (*S).
        affine: (4, 4) in millimetres. None: spacing and orientation are unknown, and the affine is the identity.
        native: see `Volume`.
    """
    if affine is None:
        return Volume(voxels, np.eye(4), None, native, oriented=False)
    affine = np.asarray(affine, dtype=np.float64)
    return Volume(voxels, affine, spacing_of(affine, voxels.ndim), native)


def spacing_of(affine: Array, ndim: int = 3) -> tuple[float, ...]:
    """Millimetres between voxel centres along each of the first `ndim` axes of an affine (4, 4)."""
    return tuple(float(step) for step in np.linalg.norm(affine[:3, :ndim], axis=0))


def places_voxels(affine: Array) -> bool:
    """Whether an affine (4, 4) gives every voxel a place of its own: finite, and invertible."""
    return bool(np.isfinite(affine).all() and abs(np.linalg.det(affine)) >= 1e-12)


def first_voxel(part: HasGrid, whole: HasGrid, tolerance: float = 1e-3) -> tuple[int, ...] | None:
    """Where a grid begins in another that it is a part of: the index of its first voxel; None where it is no part.

    A part has the other's axes and steps and does not reach beyond it. No corner may lie more than `tolerance` voxels
    from where it should.
    """
    ndim = len(whole.shape)
    if len(part.shape) != ndim:
        return None
    try:
        start = np.rint(np.linalg.solve(whole.affine, part.affine)[:ndim, 3]).astype(int)
    except (np.linalg.LinAlgError, ValueError):
        return None
    if any(start < 0) or any(start + part.shape > whole.shape):
        return None
    shift = np.eye(4)
    shift[:ndim, 3] = start
    return tuple(start.tolist()) if same_grid(part, Grid(tuple(part.shape), whole.affine @ shift, None)) else None


def same_grid(a: HasGrid, b: HasGrid, tolerance: float = 1e-3) -> bool:
    """Whether two grids are one: equal shapes, and no corner moves by more than `tolerance` voxels.

    Of a 2D grid the corners of the plane are compared: what its affine says of a third axis means nothing.
    """
    if tuple(a.shape) != tuple(b.shape):
        return False
    if np.array_equal(a.affine, b.affine):
        return True
    ends = [(-0.5, n - 0.5) for n in a.shape] + [(0.0,)] * (3 - len(a.shape))
    corners = np.array([(*corner, 1.0) for corner in itertools.product(*ends)]).T
    try:
        moved = np.linalg.solve(a.affine, b.affine @ corners) - corners
    except np.linalg.LinAlgError:
        return False
    return bool(np.abs(moved).max() <= tolerance)
