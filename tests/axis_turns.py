"""All whole-axis turns, made without the code under test: nibabel's orientations, one for each order and sign."""

import itertools

import nibabel as nib
import numpy as np

ORDERS = [
    np.array([[axis, sign] for axis, sign in zip(order, signs, strict=True)])
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]  # 48, each (3, 2) as nibabel has them
IDS = ["".join(f"{'+-'[int(sign < 0)]}{'xyz'[axis]}" for axis, sign in order) for order in ORDERS]


def reordered(voxels: np.ndarray, affine: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (x, y, z) stored with other axes, and the affine that leaves each where it was in the world."""
    moved = nib.orientations.apply_orientation(voxels, order)
    return np.ascontiguousarray(moved), affine @ nib.orientations.inv_ornt_aff(order, voxels.shape)
