"""Sizes, voxel growth and depth at each level, by value."""

import pytest
from made_up import facts

from crossmatch.plan.levels import LEVELS, patch_size, slice_size, unet_levels, usual_level

FULL, LARGE, MEDIUM, SMALL, LEAST = LEVELS


@pytest.mark.parametrize(
    ("device", "cores", "dims", "name"),
    [
        ("cuda", 2, 2, "full"),
        ("cuda", 64, 3, "full"),
        ("cpu", 2, 2, "medium"),
        ("cpu", 2, 3, "small"),
        ("cpu", 32, 2, "large"),
        ("cpu", 32, 3, "medium"),
    ],
)
def test_the_usual_level(device, cores, dims, name):
    assert usual_level(device, cores, dims).value.name == name


@pytest.mark.parametrize(
    ("shape", "level", "size", "grown"),
    [
        ((200, 150), FULL, (208, 160), 1.0),
        ((200, 150), MEDIUM, (128, 96), 200 / 128),
        ((512, 512), FULL, (256, 256), 2.0),
        ((90, 90), FULL, (96, 96), 1.0),
        ((28, 28), FULL, (28, 28), 1.0),
        ((1000, 100), MEDIUM, (128, 14), 1000 / 128),
    ],
)
def test_slices(shape, level, size, grown):
    found, factor = slice_size(facts(shapes=((*shape, 9),) * 4), level, ())
    assert found.value == size
    assert factor == pytest.approx(grown)
    depth = unet_levels([float(n) for n in size])
    assert all(n % 2 ** (depth - 1) == 0 for n in size)


def test_slices_at_another_voxel_size():
    """200 voxels of 2 mm are 400 of 1 mm."""
    found, grown = slice_size(facts(shapes=((200, 200, 9),) * 4, spacings=((2.0, 2.0, 8.0),) * 4), FULL, (1.0, 1.0))
    assert found.value == (256, 256)
    assert grown == pytest.approx(400 / 256)


@pytest.mark.parametrize(
    ("shape", "level", "patch"),
    [
        ((200, 200, 200), SMALL, (48, 48, 32)),
        ((200, 200, 200), LEAST, (32, 32, 32)),
        ((200, 200, 16), SMALL, (64, 64, 16)),
        ((40, 40, 40), FULL, (48, 48, 48)),
        ((10, 10, 10), FULL, (32, 16, 16)),
    ],
)
def test_patches_are_near_cubes_within_the_scan(shape, level, patch):
    found, grown = patch_size(facts(shapes=(shape,) * 4, box=(9, 9, 9)), level, (1.0, 1.0, 1.0))
    assert found.value == patch
    assert grown == 1.0


def test_voxels_grow_until_the_patch_holds_the_structures():
    found, grown = patch_size(facts(box=(60, 60, 40)), SMALL, (1.0, 1.0, 1.0))
    assert all(n >= extent / grown for n, extent in zip(found.value, (60, 60, 40), strict=True))
    assert 1.25 <= grown < 1.35
    assert "shows all of the structures" in found.reason


def test_they_grow_to_twice_their_size_at_most():
    found, grown = patch_size(facts(box=(190, 190, 90)), SMALL, (1.0, 1.0, 1.0))
    assert grown == 2.0
    assert "shows a part" in found.reason


def test_without_a_voxel_size_nothing_grows():
    assert patch_size(facts(spacings=None, box=(190, 190, 90)), SMALL, ())[1] == 1.0


@pytest.mark.parametrize(("size", "levels"), [([256, 256], 5), ([64, 64], 5), ([32, 32], 4), ([8, 8], 2), ([4, 99], 2)])
def test_depth(size, levels):
    assert unet_levels(size) == levels
