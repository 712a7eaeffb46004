"""The largest component of each class: by hand, and SciPy's components of labyrinths, spirals, islands and noise."""

import itertools

import numpy as np
import pytest
import torch
from released_numbers import cases
from scipy import ndimage
from torch import Tensor

from crossmatch.methods.components import largest_components

CONNECTIVITY = {"acdc": 2, "la": 3, "pan": 2}  # of the released codes: 8, 26 and 18 neighbours


def by_scipy(label: Tensor, classes: int, connectivity: int) -> Tensor:
    """Of equal sizes SciPy's first component, which is the first in memory."""
    kept = np.zeros_like(label.numpy())
    for image, out in zip(label.numpy(), kept, strict=True):
        structure = ndimage.generate_binary_structure(image.ndim, min(connectivity, image.ndim))
        for value in range(1, classes):
            parts, count = ndimage.label(image == value, structure)
            if count:
                out[parts == 1 + np.bincount(parts.ravel())[1:].argmax()] = value
    return torch.from_numpy(kept)


def spiral(edge: int) -> Tensor:
    """One line, a voxel wide, from a corner to the middle, its turns a voxel apart."""
    image = torch.zeros(edge, edge, dtype=torch.long)
    row, column, turn, steps = 0, 0, 0, edge - 1
    moves = ((0, 1), (1, 0), (0, -1), (-1, 0))
    image[0, 0] = 1
    for leg in range(edge):
        for _ in range(steps):
            row, column = row + moves[turn][0], column + moves[turn][1]
            image[row, column] = 1
        turn = (turn + 1) % 4
        steps -= 2 if leg and leg % 2 == 0 else 0
        if steps <= 0:
            break
    return image


def serpent(*size: int) -> Tensor:
    """A line through the whole image: lines of the last axis joined at alternating ends, planes likewise."""
    image = torch.zeros(size, dtype=torch.long)
    if len(size) == 2:
        image[::2] = 1
        image[1::4, -1] = 1
        image[3::4, 0] = 1
        return image
    plane = serpent(*size[1:])
    image[::2] = plane
    image[1::4, -1 if size[1] % 2 else -2, -1] = 1
    image[3::4, 0, 0] = 1
    return image


def labyrinth(*size: int) -> Tensor:
    """A spanning tree of passages a voxel wide, grown at random, so that some voxels are hundreds of steps apart."""
    drawn = np.random.default_rng(3)
    image = torch.zeros(size, dtype=torch.long)
    path = [tuple(0 for _ in size)]
    image[path[0]] = 1
    while path:
        here, ways = path[-1], []
        for axis, sign in itertools.product(range(len(size)), (-1, 1)):
            there = tuple(p + 2 * sign * (a == axis) for a, p in enumerate(here))
            if all(0 <= p < n for p, n in zip(there, size, strict=True)) and not image[there]:
                ways.append(there)
        if not ways:
            path.pop()
            continue
        there = ways[drawn.integers(len(ways))]
        image[tuple((a + b) // 2 for a, b in zip(here, there, strict=True))] = image[there] = 1
        path.append(there)
    return image


def islands(*size: int) -> Tensor:
    """Single voxels of three classes, none beside another; one pair in the end."""
    image = torch.zeros(size, dtype=torch.long)
    image[(slice(None, None, 2),) * len(size)] = 1 + torch.randint(3, tuple(-(-n // 2) for n in size))
    image[(..., -2)][(-1,) * (len(size) - 1)] = image[(-1,) * len(size)]
    return image


SHAPES = {
    "spiral": lambda: spiral(61),
    "serpent": lambda: serpent(41, 33),
    "serpent 3d": lambda: serpent(13, 9, 11),
    "labyrinth": lambda: labyrinth(41, 51),
    "labyrinth 3d": lambda: labyrinth(15, 17, 13),
    "islands": lambda: islands(31, 41),
    "islands 3d": lambda: islands(11, 13, 9),
    "all of one class": lambda: torch.full((17, 5), 2),
    "nothing": lambda: torch.zeros(6, 7, dtype=torch.long),
    "one voxel": lambda: torch.ones(1, 1, 1, dtype=torch.long),
}


@pytest.mark.parametrize(("name", "connectivity"), list(itertools.product(SHAPES, (1, 2, 3))))
def test_shapes_are_as_scipy_finds_them(name, connectivity):
    """Each shape turned every way and with its lines cut at random, as images of one batch."""
    torch.manual_seed(connectivity)
    whole = SHAPES[name]()
    axes = range(whole.ndim)
    turned = [whole.flip(f) for n in range(whole.ndim + 1) for f in itertools.combinations(axes, n)]
    cut = [torch.where(torch.rand(image.shape) < 0.02, 0, image) for image in turned]
    label = torch.stack([*turned, *cut])
    assert torch.equal(largest_components(label, 4, connectivity), by_scipy(label, 4, connectivity))


@pytest.mark.parametrize("size", [(23, 31), (9, 11, 7)])
@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_noise_is_as_scipy_finds_it(size, connectivity, share):
    torch.manual_seed(0)
    label = torch.randint(1, 4, (6, *size)) * (torch.rand(6, *size) < share)
    assert torch.equal(largest_components(label, 4, connectivity), by_scipy(label, 4, connectivity))


def test_numbers_in_a_bad_order_need_no_more_rounds():
    """Voxels along a line are numbered from first to last; a comb's teeth meet only at their last voxels."""
    comb = torch.zeros(2, 40, 41, dtype=torch.long)
    comb[0, :, ::2] = 1
    comb[0, -1] = 1
    comb[1] = comb[0].flip(0)
    assert torch.equal(largest_components(comb, 2, 1), comb)


def test_by_hand():
    label = torch.tensor([[[1, 0, 2, 2], [0, 0, 0, 2], [1, 1, 0, 0], [0, 0, 3, 2]]])
    kept = torch.tensor([[[0, 0, 2, 2], [0, 0, 0, 2], [1, 1, 0, 0], [0, 0, 3, 0]]])
    assert torch.equal(largest_components(label, 4, 2), kept)
    diagonal = torch.tensor([[[1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    assert torch.equal(largest_components(diagonal, 2, 2), diagonal)
    assert largest_components(diagonal, 2, 1).nonzero().tolist() == [[0, 0, 0]]  # of equal sizes the first


def test_released_maps(shared):
    for name, case in cases(shared, "bcp_largest").items():
        kept = largest_components(case["in:map"], 4, CONNECTIVITY[name.partition("_")[0]])
        assert torch.equal(kept, case["out:kept"]), name
