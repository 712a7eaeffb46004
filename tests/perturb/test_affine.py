"""Turns, scaling and mirroring about the centre, against NumPy, SciPy and values by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from crossmatch.perturb.affine import mirror, move, rotation_matrix

PLANES = [(0, 1), (0, 2), (1, 2)]


def _turn(degrees: float, plane: int, dims: int) -> torch.Tensor:
    angle = torch.zeros(1, dims * (dims - 1) // 2)
    angle[0, plane] = math.radians(degrees)
    return rotation_matrix(angle, dims)


def test_a_turn_by_hand():
    """30 degrees: cosine sqrt(3) / 2, sine 1 / 2."""
    c, s = math.sqrt(3) / 2, 0.5
    torch.testing.assert_close(_turn(30, 0, 2), torch.tensor([[[c, -s], [s, c]]]))
    torch.testing.assert_close(_turn(30, 1, 3), torch.tensor([[[c, 0, -s], [0, 1, 0], [s, 0, c]]]))


def test_the_last_plane_turns_first():
    """A quarter turn in (1, 2) takes axis 1 to axis 2; one in (0, 1) then leaves it there."""
    quarter = math.pi / 2
    both = rotation_matrix(torch.tensor([[quarter, 0, quarter]]), 3)
    torch.testing.assert_close(both @ torch.tensor([0.0, 1, 0]), torch.tensor([[0.0, 0, 1]]), atol=1e-6, rtol=0)


def test_no_angle_is_exactly_the_identity():
    for dims, planes in ((2, 1), (3, 3)):
        assert torch.equal(rotation_matrix(torch.zeros(4, planes), dims), torch.eye(dims).repeat(4, 1, 1))


@pytest.mark.parametrize(("dims", "plane"), [(2, 0), (3, 0), (3, 1), (3, 2)])
def test_a_quarter_turn_equals_numpy(dims, plane):
    """Offset (i, j) is read at (-j, i); `rot90` reads (i, j) at (j, -i): the other way, three times ours."""
    image = np.random.default_rng(0).random((2, 3, *(7, 7, 7)[:dims])).astype(np.float32)
    axes = tuple(2 + axis for axis in PLANES[plane])
    label = torch.from_numpy((10 * image).astype(np.int64))
    matrix = _turn(90, plane, dims).repeat(2, 1, 1)
    np.testing.assert_allclose(
        move(torch.from_numpy(image), matrix, "bilinear").numpy(), np.rot90(image, 3, axes), atol=1e-5
    )
    assert np.array_equal(move(label, matrix, "nearest").numpy(), np.rot90(label.numpy(), 3, axes))


@pytest.mark.parametrize("shape", [(20, 13), (9, 14, 6)])
def test_any_map_equals_scipys(shape):
    """Edges of different lengths: offsets are voxels. SciPy's grid-constant also blends with 0 across the border."""
    dims = len(shape)
    image = np.random.default_rng(1).random(shape).astype(np.float32)
    angle = torch.tensor([[0.4, -0.3, 0.2][: dims * (dims - 1) // 2]])
    matrix = 1.2 * rotation_matrix(angle, dims)
    centre = (np.array(shape) - 1) / 2
    offset = centre - matrix[0].numpy() @ centre
    ours = move(torch.from_numpy(image)[None, None], matrix, "bilinear")[0, 0].numpy()
    expected = ndimage.affine_transform(image, matrix[0].numpy(), offset, order=1, mode="grid-constant")
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert (ours == 0).any()  # the view reaches beyond the image


@pytest.mark.parametrize("dims", [2, 3])
def test_a_square_shrinks_and_grows_by_two(dims):
    """A square (a cube) of edge 8 in 16 voxels: read at twice the offsets it has edge 4, at half of them 16."""
    label = torch.zeros(1, 1, *[16] * dims, dtype=torch.int64)
    label[(0, 0, *[slice(4, 12)] * dims)] = 3
    small = torch.zeros_like(label)
    small[(0, 0, *[slice(6, 10)] * dims)] = 3
    eye = torch.eye(dims)[None]
    assert torch.equal(move(label, 2 * eye, "nearest"), small)
    assert torch.equal(move(label, eye / 2, "nearest"), torch.full_like(label, 3))


def test_interpolation_by_hand():
    """Row 0, 4, 8, 12 read at half the offsets -1.5, -.5, .5, 1.5: positions .75, 1.25, 1.75, 2.25."""
    row = torch.tensor([[[[0.0, 4, 8, 12]] * 4]])
    expected = torch.tensor([3.0, 5, 7, 9]).expand(1, 1, 4, 4)
    torch.testing.assert_close(move(row, torch.eye(2)[None] / 2, "bilinear"), expected)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_only_images_with_a_map_change(mode):
    image = torch.rand(3, 1, 9, 6, generator=torch.Generator().manual_seed(0))
    matrix = torch.stack([torch.eye(2), 0.8 * torch.eye(2), torch.eye(2)])
    moved = move(image, matrix, mode)
    assert torch.equal(moved[[0, 2]], image[[0, 2]])
    assert not torch.equal(moved[1], image[1])


def test_a_volume_constant_along_one_axis_turns_as_its_slice():
    """In the plane of the other two: 3D then is 2D, slice by slice."""
    flat = torch.rand(1, 2, 9, 12, generator=torch.Generator().manual_seed(3))
    volume = flat.unsqueeze(-1).expand(1, 2, 9, 12, 5)
    two, three = move(flat, _turn(25, 0, 2), "bilinear"), move(volume, _turn(25, 0, 3), "bilinear")
    torch.testing.assert_close(three, two.unsqueeze(-1).expand_as(three), atol=1e-5, rtol=0)


def test_mirroring_equals_numpy():
    image = torch.arange(4 * 2 * 3 * 4 * 2).view(4, 2, 3, 4, 2)
    axes = torch.tensor([[False, False, False], [True, False, False], [False, True, True], [True, True, True]])
    expected = [image[0], image[1].flip(1), image[2].flip(2, 3), image[3].flip(1, 2, 3)]
    assert torch.equal(mirror(image, axes), torch.stack(expected))
