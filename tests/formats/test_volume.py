"""Grids: when two are one. Volumes: what is known of the spacing. Axes: which way they run."""

import numpy as np
import pytest

from crossmatch.formats import Grid, new_volume, same_grid
from crossmatch.formats.axes import axis_codes, is_unturned, nearest_turn, turned


def _grid(affine: np.ndarray, shape: tuple[int, ...] = (200, 100, 10)) -> Grid:
    return Grid(shape, affine, None)


def test_same_grid_allows_a_hair_at_the_farthest_corner():
    base = np.diag([2.0, 2.0, 5.0, 1.0])
    shifted, stretched, flipped = base.copy(), base.copy(), base.copy()
    shifted[0, 3] = 0.0019  # 0.00095 voxel
    assert same_grid(_grid(base), _grid(shifted))
    shifted[0, 3] = 0.0021
    assert not same_grid(_grid(base), _grid(shifted))
    stretched[0, 0] = 2.0 * (1 + 4e-6)  # 199.5 voxels from the origin: 0.0008
    assert same_grid(_grid(base), _grid(stretched))
    stretched[0, 0] = 2.0 * (1 + 6e-6)  # 0.0012
    assert not same_grid(_grid(base), _grid(stretched))
    flipped[0, 0] = -2.0
    assert not same_grid(_grid(base), _grid(flipped))
    assert not same_grid(_grid(base), _grid(base, (100, 200, 10)))
    assert not same_grid(_grid(np.zeros((4, 4))), _grid(base))


def test_of_a_plane_the_third_axis_means_nothing():
    base, other, above = np.diag([2.0, 2.0, 5.0, 1.0]), np.diag([2.0, 2.0, 1.0, 1.0]), np.diag([2.0, 2.0, 5.0, 1.0])
    assert same_grid(_grid(base, (8, 8)), _grid(other, (8, 8)))
    assert not same_grid(_grid(base, (8, 8, 1)), _grid(other, (8, 8, 1)))
    above[2, 3] = 1.0
    assert not same_grid(_grid(base, (8, 8)), _grid(above, (8, 8)))


def test_a_volume_made_here_knows_its_spacing_only_with_an_affine():
    unknown = new_volume(np.zeros((2, 3, 4), np.int16))
    assert (unknown.spacing_mm, unknown.affine.tolist()) == (None, np.eye(4).tolist())
    turned = np.array([[0, 3, 0, 0], [4, 0, 0, 0], [3, 0, 1, 0], [0, 0, 0, 1]])
    assert new_volume(np.zeros((2, 3, 4)), turned).spacing_mm == (5.0, 3.0, 1.0)
    assert new_volume(np.zeros((2, 3)), turned).spacing_mm == (5.0, 3.0)


@pytest.mark.parametrize(
    ("affine", "codes"),
    [(np.eye(4), "RAS"), (np.diag([-1.0, -2, 3, 1]), "LPS"), (np.eye(4)[[2, 0, 1, 3]] @ np.diag([1, 1, -1, 1]), "ASL")],
)
def test_axes_and_the_turn_back(affine, codes):
    """Turned onto the world's axes, every voxel keeps its place."""
    assert axis_codes(affine) == codes
    voxels = np.arange(24).reshape(2, 3, 4)
    found, moved = turned(voxels, affine, nearest_turn(affine))
    assert axis_codes(moved) == "RAS"
    assert is_unturned(nearest_turn(moved))
    for index in ((0, 0, 0), (1, 2, 3), (0, 1, 2)):
        place = np.linalg.solve(moved, affine @ [*index, 1])[:3]
        assert found[tuple(place.round().astype(int))] == voxels[index]
