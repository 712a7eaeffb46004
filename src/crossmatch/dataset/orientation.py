"""Whether two scans are stored with their axes the same way round: the network sees arrays, not patients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from nibabel.orientations import io_orientation

OBLIQUE_DEGREES = 25.0  # a turned or flipped axis lies within this of another; anything between is an oblique scan

WAY_OUT = (
    "the network sees arrays as they are stored, so bring all scans into one orientation first (nibabel's "
    "as_closest_canonical, or dcm2niix and 3D Slicer on export)"
)


def stored_otherwise(affine: Any, reference: Any) -> bool:
    """Whether a scan's axes are swapped or flipped against those of another.

    Args:
        affine, reference: (4, 4), voxel index to world. Scans that are turned by less than half a right angle against
            each other count as alike, and so do oblique ones that lie near no swap or flip.
    """
    ours, theirs = (np.array(matrix, dtype=np.float64)[:3, :3] for matrix in (affine, reference))
    ours, theirs = ours / np.linalg.norm(ours, axis=0), theirs / np.linalg.norm(theirs, axis=0)
    turned = np.eye(4)
    turned[:3, :3] = np.linalg.solve(theirs, ours)  # our axes in terms of theirs
    nearest = io_orientation(turned)  # type: ignore[no-untyped-call]
    if np.isnan(nearest).any() or np.array_equal(nearest, [[0, 1], [1, 1], [2, 1]]):
        return False
    along = [abs(turned[int(axis), k]) for k, (axis, _) in enumerate(nearest)]
    return bool(min(along) > np.cos(np.deg2rad(OBLIQUE_DEGREES)))


def others(affines: Sequence[tuple[str, Any]]) -> list[str]:
    """Names of the scans that are stored otherwise than the first; affines come as (name, affine)."""
    return [name for name, affine in affines[1:] if stored_otherwise(affine, affines[0][1])]
