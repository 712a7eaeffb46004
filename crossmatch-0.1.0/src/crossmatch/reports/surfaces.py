"""Surfaces of masks: triangles in millimetres as seen from the patient's front, and distances between surfaces.

Shapes: (x, y, z) masks in the file's axis order. Points (V, 3) are in mm as the viewer sees them: to the right, away,
up. Where the spacing is unknown, a voxel counts as 1 mm.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from crossmatch.formats import Array, Volume
from crossmatch.reports.slices import orientation

MAX_FACES = 30_000  # of one surface: drawing takes about 10 µs a face
MAX_VOXELS = 3_000_000  # of the box that both masks lie in: finding the surface takes about 0.1 µs a voxel
SIGMA = 1.0  # voxels, of the smoothing
KEPT = 0.1  # how far a voxel's smoothed value stays on its side of 0.5


@dataclass(frozen=True)
class Surface:
    """Triangles around a mask, closed."""

    points: Array  # (V, 3) mm
    faces: Array  # (F, 3) indices of points


def front_view(volume: Volume) -> Array:
    """Steps along the axes (columns) as seen from the patient's front, in mm: (3, 3), rows right, away, up.

    The patient's right is on the left and the head on top. Where the orientation is unknown, the first axis runs to the
    right, the second away and the third downwards.
    """
    if "?" in orientation(volume):
        return np.diag([1.0, 1.0, -1.0])
    steps = volume.affine[:3, :3]
    scaled: Array = steps / np.linalg.norm(steps, axis=0) * volume.spacing_mm
    return np.diag([-1.0, -1.0, 1.0]) @ scaled


def surfaces(masks: Sequence[Array], spacing: Sequence[float], view: Array) -> tuple[list[Surface | None], Array]:
    """The surface of each mask (x, y, z) bool, None for an empty one, and the size of blocks (3,) in voxels.

    Large masks are drawn from blocks of voxels. A block belongs to the object if one of its voxels does, so no part is
    lost. A Gaussian smooths the surface without moving it across the centre of a voxel.
    """
    box = _box(np.logical_or.reduce(masks))
    masks = [mask[box] for mask in masks]
    block = np.max([block_size(mask, spacing) for mask in masks], axis=0)
    start = np.array([part.start for part in box])
    return [_surface(mask, block, start, view) if mask.any() else None for mask in masks], block


def block_size(mask: Array, spacing: Sequence[float]) -> Array:
    """The smallest blocks, in voxels along each axis (3,), for which surface and box stay below the limits.

    Their edges are about equal in mm.

    Marching cubes has a vertex on each border between an inner and an outer voxel, and about two faces a vertex.
    """
    padded = np.pad(mask, 1)
    borders = np.array([np.count_nonzero(np.diff(padded, axis=axis)) for axis in range(3)])
    for edge in itertools.count(1):
        block = np.maximum(1, np.floor(edge * min(spacing) / np.array(spacing) + 1e-9)).astype(int)
        faces = 2 * np.sum(borders * block) / np.prod(block)
        if faces <= MAX_FACES and np.prod(-(-np.array(mask.shape) // block)) <= MAX_VOXELS:
            break
    return block


def _box(mask: Array) -> tuple[slice, ...]:
    """The part of a volume that holds a mask; nothing of it if the mask is empty."""
    parts = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        parts.append(slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0))
    return tuple(parts)


def _surface(mask: Array, block: Array, start: Array, view: Array) -> Surface:
    from skimage.measure import block_reduce, marching_cubes  # here: only the report of a 3D run needs it

    inside = np.pad(block_reduce(mask, tuple(block.tolist()), np.max), 1)  # type: ignore[no-untyped-call]
    smooth = gaussian_filter(inside.astype(np.float32), SIGMA, mode="constant")
    smooth = np.where(inside, np.maximum(smooth, 0.5 + KEPT), np.minimum(smooth, 0.5 - KEPT))
    points, faces, _, _ = marching_cubes(smooth, 0.5)  # type: ignore[no-untyped-call]
    voxels = (points - 0.5) * block - 0.5 + start  # the first block, after one of padding, begins at voxel -0.5
    return Surface(voxels @ view.T, faces)


def distances(surface: Surface, other: Surface) -> Array:
    """From each point (V,) to the nearest point of another surface, mm."""
    return np.asarray(cKDTree(other.points).query(surface.points)[0])
