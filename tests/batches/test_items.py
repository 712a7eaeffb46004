"""Slices or volumes, and back; the size of an item at another voxel size."""

from pathlib import Path

import numpy as np
import pytest

from crossmatch.batches.items import from_items, stored_shape, to_items
from crossmatch.errors import UserError

FILE = Path("scan.nii.gz")


@pytest.mark.parametrize(
    ("shape", "dims", "axis"), [((5, 6), 2, 2), ((5, 6, 7), 3, 2), *(((5, 6, 7), 2, k) for k in range(3))]
)
def test_items_and_back(shape, dims, axis):
    voxels = np.arange(np.prod(shape)).reshape(shape)
    items = to_items(voxels, dims, axis, FILE)
    assert items.ndim == dims + 1
    assert items.shape == stored_shape(shape, None, (), dims, axis, FILE)
    assert np.array_equal(from_items(items, voxels.ndim, axis), voxels)
    if len(shape) > dims:
        assert all(np.array_equal(items[k], np.take(voxels, k, axis)) for k in range(shape[axis]))


def test_sizes_at_another_voxel_size():
    """Spacing .625, 1 and 3 mm. A slice leaves the spacing of its own axis out."""
    shape, spacing = (64, 50, 10), (0.625, 1.0, 3.0)
    assert stored_shape(shape, spacing, (), 3, 2, FILE) == (1, 64, 50, 10)
    assert stored_shape(shape, spacing, (1.25, 2.0, 1.0), 3, 2, FILE) == (1, 32, 25, 30)
    assert stored_shape(shape, spacing, (1.25, 2.0), 2, 2, FILE) == (10, 32, 25)
    assert stored_shape(shape, spacing, (2.0, 1.0), 2, 0, FILE) == (64, 25, 30)
    assert stored_shape(shape, spacing, (1.25, 1.0), 2, 1, FILE) == (50, 32, 30)
    assert stored_shape((64, 50), (0.625, 1.0), (1.25, 2.0), 2, 2, FILE) == (1, 32, 25)


def test_an_unknown_voxel_size_is_needed_for_resampling_alone():
    assert stored_shape((8, 9, 3), None, (), 2, 2, FILE) == (3, 8, 9)
    with pytest.raises(UserError, match=r"scan\.nii\.gz.*data\.spacing_mm.*--set data\.spacing_mm=\[\]"):
        stored_shape((8, 9, 3), None, (1.0, 1.0), 2, 2, FILE)


@pytest.mark.parametrize(("shape", "dims"), [((5, 6), 3), ((5, 6, 7, 2), 2), ((5,), 2)])
def test_a_wrong_number_of_axes_is_an_error(shape, dims):
    message = rf"scan\.nii\.gz has {len(shape)} axes, but the recipe's data\.size has {dims}"
    with pytest.raises(UserError, match=message):
        to_items(np.zeros(shape), dims, 2, FILE)
    with pytest.raises(UserError, match=message):
        stored_shape(shape, (1.0,) * len(shape), (), dims, 2, FILE)
