"""Voxels that are looked at where there are too many: from all over the scan, and the same in every call."""

import numpy as np
import pytest

from crossmatch.dataset.spread import spread


@pytest.mark.parametrize("count", [0, 1, 99, 100])
def test_few_are_all_taken(count):
    assert spread(count, 100).tolist() == list(range(count))


@pytest.mark.parametrize("count", [101, 199, 200, 12_345, 500_000_000])
def test_of_many_each_equal_part_gives_one(count):
    found = spread(count, 100)
    assert [n * count // 100 <= place < (n + 1) * count // 100 for n, place in enumerate(found.tolist())] == [
        True
    ] * 100
    assert np.array_equal(found, spread(count, 100))


@pytest.mark.parametrize("shape", [(448, 448, 24), (24, 448, 448), (480, 420, 60), (640, 640, 128)])
def test_every_slice_along_every_axis_is_seen_alike(shape):
    """A step of equal length would be a multiple of the number of slices, and see a single one."""
    places = np.unravel_index(spread(int(np.prod(shape)), 200_000), shape)
    for place, length in zip(places, shape, strict=True):
        seen = np.bincount(place, minlength=length) / (200_000 / length)
        assert seen.min() > 0.7
        assert seen.max() < 1.3
