"""Matches the axes of a volume with those of the world or of another volume, and says how to turn voxels."""

import numpy as np
from nibabel import orientations

from crossmatch.formats.volume import Array


def axis_codes(affine: Array) -> str:
    """Where each voxel axis of an affine (4, 4) runs to: three letters of L R A P S I."""
    return "".join(orientations.aff2axcodes(affine))  # type: ignore[no-untyped-call]


def nearest_turn(affine: Array) -> Array:
    """The turn by whole axes that is nearest to an affine (4, 4).

    Returns:
        (3, 2): for each axis of the input the axis of the output it runs along, and 1, or -1 where it is flipped.
        NaN where an axis runs along none.
    """
    turn: Array = orientations.io_orientation(affine)  # type: ignore[no-untyped-call]
    return turn


def is_unturned(turn: Array) -> bool:
    """Whether a turn leaves every axis as it is."""
    return bool(np.array_equal(turn, [[0, 1], [1, 1], [2, 1]]))


def turned(voxels: Array, affine: Array, turn: Array) -> tuple[Array, Array]:
    """Voxels (x, y, z) with whole axes swapped and flipped, and the affine (4, 4) that keeps each in its place."""
    moved: Array = orientations.apply_orientation(voxels, turn)  # type: ignore[no-untyped-call]
    back: Array = orientations.inv_ornt_aff(turn, voxels.shape)  # type: ignore[no-untyped-call]
    return moved, affine @ back
