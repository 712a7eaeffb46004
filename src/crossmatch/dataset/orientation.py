"""Whether two scans are stored with their axes the same way round: the network sees arrays, not patients."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from crossmatch.formats.axes import is_unturned, nearest_turn

OBLIQUE_DEGREES = 25.0  # an axis this near to another axis is turned or flipped; further away, the scan is oblique

WAY_OUT = (
    "the network sees arrays as they are stored, so bring all scans into one orientation first (3D Slicer or dcm2niix "
    "do it on export)"
)


def stored_otherwise(affine: ArrayLike, reference: ArrayLike) -> bool:
    """Whether a scan's axes are swapped or flipped against those of another.

    Scans that are turned by less than half a right angle against each other count as alike. So do oblique ones, which
    are near no swap or flip.

    Args:
        affine, reference: (4, 4), voxel index to world.
    """
    ours, theirs = (np.array(matrix, dtype=np.float64)[:3, :3] for matrix in (affine, reference))
    ours, theirs = ours / np.linalg.norm(ours, axis=0), theirs / np.linalg.norm(theirs, axis=0)
    between = np.eye(4)
    between[:3, :3] = np.linalg.solve(theirs, ours)  # our axes in terms of theirs
    nearest = nearest_turn(between)
    if np.isnan(nearest).any() or is_unturned(nearest):
        return False
    along = [abs(between[int(axis), k]) for k, (axis, _) in enumerate(nearest)]
    return bool(min(along) > np.cos(np.deg2rad(OBLIQUE_DEGREES)))


def others(affines: Sequence[tuple[str, ArrayLike]]) -> list[str]:
    """Names of the scans whose axes are swapped or flipped against the first; affines come as (name, affine)."""
    return [name for name, affine in affines[1:] if stored_otherwise(affine, affines[0][1])]
