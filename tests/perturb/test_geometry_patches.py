"""The weak view of a patch: where it is cut, against NumPy's turns and flips of a slice; what lies outside is 0."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from crossmatch.perturb.geometry import WeakDraw, WeakSettings, draw_weak, look_up, output_grid, patch_map, resize_map

PLANES = [(0, 1), (0, 2), (1, 2)]
TURNS_AND_FLIPS = list(itertools.product(range(4), (-1, 0, 1)))
LAST = 1 - 2**-24  # the largest number that torch.rand gives


def _draw(turns: int = 0, flip: int = -1, degrees: float = 0.0, plane: tuple[int, int] = (0, 1)) -> WeakDraw:
    return WeakDraw(torch.tensor([turns]), torch.tensor([flip]), torch.tensor([math.radians(degrees)]), plane)


def _view(image: np.ndarray, draw: WeakDraw, patch: tuple[int, ...], place: tuple[float, ...]) -> np.ndarray:
    """One patch through the look-up, 0 outside."""
    size = torch.tensor([image.shape])
    lookup = look_up(*patch_map(draw, size, patch, torch.tensor([place])), size, output_grid(patch), draw.plane)
    return (torch.take(torch.from_numpy(image.copy()), lookup.source) * lookup.inside)[0].numpy()


def _image(*shape: int) -> np.ndarray:
    """A value of its own for each voxel, from 1, so that 0 is outside."""
    return np.arange(1, math.prod(shape) + 1).reshape(shape)


def _turned(image: np.ndarray, turns: int, flip: int, plane: tuple[int, int]) -> np.ndarray:
    image = np.rot90(image, turns, plane)
    return image if flip < 0 else np.flip(image, plane[flip])


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize(("turns", "flip"), TURNS_AND_FLIPS)
def test_a_patch_is_the_turned_slice(plane, turns, flip):
    """The 4 x 6 x 3 patch takes as many voxels of the image, two axes changed over after an odd number of turns.
    Places .3, .7 and .99 of the free ones: in a 9 x 8 x 10 image unturned 6, 3 and 8, so from 1, 2 and 7.
    """
    image, patch = _image(9, 8, 10), (4, 6, 3)
    cut = list(patch)
    if turns % 2:
        cut[plane[0]], cut[plane[1]] = cut[plane[1]], cut[plane[0]]
    starts = [int(where * (n - m + 1)) for where, n, m in zip((0.3, 0.7, 0.99), image.shape, cut, strict=True)]
    assert turns % 2 or starts == [1, 2, 7]
    piece = image[tuple(slice(start, start + m) for start, m in zip(starts, cut, strict=True))]
    view = _view(image, _draw(turns, flip, plane=plane), patch, (0.3, 0.7, 0.99))
    assert np.array_equal(view, _turned(piece, turns, flip, plane))


@pytest.mark.parametrize(("turns", "flip"), TURNS_AND_FLIPS)
def test_a_patch_of_a_slice(turns, flip):
    image = _image(9, 12)
    rows, columns = (5, 4) if turns % 2 else (4, 5)
    piece = image[9 - rows :, :columns]
    assert np.array_equal(_view(image, _draw(turns, flip), (4, 5), (LAST, 0.0)), _turned(piece, turns, flip, (0, 1)))


@pytest.mark.parametrize("degrees", [-20.0, 9.0, 33.0])
@pytest.mark.parametrize("plane", PLANES)
def test_a_rotated_patch_equals_scipy(plane, degrees):
    """About the patch's own centre. Starts 2, 1 and 3 of 5, 3 and 5 free ones: centres 6.5, 5 and 5.5."""
    image, patch = _image(14, 11, 10), (10, 9, 6)
    matrix, angle = np.eye(3), math.radians(degrees)
    matrix[np.ix_(plane, plane)] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    offset = np.array([6.5, 5, 5.5]) - matrix @ ((np.array(patch) - 1) / 2)
    expected = ndimage.affine_transform(image, matrix, offset, patch, order=0, mode="grid-constant")
    assert np.array_equal(_view(image, _draw(degrees=degrees, plane=plane), patch, (0.5, 0.5, 0.7)), expected)


@pytest.mark.parametrize("degrees", [0.0, 17.0])
def test_a_patch_of_the_images_size_is_the_whole_view(degrees):
    size, draw = torch.tensor([[9, 7, 4]]), _draw(degrees=degrees)
    whole, patch = resize_map(draw, size), patch_map(draw, size, (9, 7, 4), torch.tensor([[0.2, LAST, 0.0]]))
    assert all(torch.equal(a, b) for a, b in zip(whole, patch, strict=True))


def test_every_place_is_reached_equally_often():
    """3 x 4 x 2 in 5 x 4 x 6: 3, 1 and 5 starts on the axes, 15 together."""
    count, size, patch = 15_000, (5, 4, 6), (3, 4, 2)
    place = torch.rand(count, 3, generator=torch.Generator().manual_seed(0))
    draw = draw_weak(WeakSettings(turn_probability=0, rotation_probability=0), count, torch.Generator())
    sizes = torch.tensor([size]).expand(count, 3)
    lookup = look_up(*patch_map(draw, sizes, patch, place), sizes, output_grid(patch), draw.plane)
    assert lookup.inside.all()
    first, times = np.unique(lookup.source[:, 0, 0, 0].numpy(), return_counts=True)
    assert first.tolist() == [24 * x + z for x in range(3) for z in range(5)]  # position in the flattened image
    assert times == pytest.approx(np.full(15, 1000), abs=130)


def test_the_last_place_is_within_the_image_at_every_size():
    """float32 does not round the largest drawn number up to one place too many."""
    size = torch.arange(2, 1500).unsqueeze(1).repeat(1, 2)
    draw = draw_weak(WeakSettings(turn_probability=0, rotation_probability=0), len(size), torch.Generator())
    place = torch.tensor([[0.0, LAST]]).expand(len(size), 2)
    _, centre = patch_map(draw, size, (2, 2), place)
    assert (centre[:, 0] == 0.5).all()
    assert torch.equal(centre[:, 1], size[:, 1] - 1.5)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize(("turns", "flip"), TURNS_AND_FLIPS)
def test_an_image_smaller_than_the_patch_lies_in_its_middle(plane, turns, flip):
    """Odd differences leave one voxel more before the image than behind it, in the image's own directions."""
    image, patch = _image(3, 5, 2), (6, 8, 5)
    cut = list(patch)
    if turns % 2:
        cut[plane[0]], cut[plane[1]] = cut[plane[1]], cut[plane[0]]
    missing = [m - n for n, m in zip(image.shape, cut, strict=True)]
    padded = np.pad(image, [((d + 1) // 2, d // 2) for d in missing])
    view = _view(image, _draw(turns, flip, plane=plane), patch, (0.3, 0.7, 0.99))
    assert np.array_equal(view, _turned(padded, turns, flip, plane))


@pytest.mark.parametrize("place", [0.0, 0.5, LAST])
def test_a_short_axis_by_hand(place):
    """Two rows in four, wherever the place; three columns in six: two zeros before, one behind."""
    view = _view(np.array([[1, 2, 3], [4, 5, 6]]), _draw(), (4, 6), (place, place))
    assert view.tolist() == [[0] * 6, [0, 0, 1, 2, 3, 0], [0, 0, 4, 5, 6, 0], [0] * 6]


def test_images_of_a_batch_are_cut_by_their_own_sizes_and_places():
    images = [_image(9, 7, 6), _image(6, 12, 4), _image(5, 5, 5)]
    size = torch.tensor([image.shape for image in images])
    draw = draw_weak(WeakSettings(turn_probability=0.5), 3, torch.Generator().manual_seed(3))
    place = torch.rand(3, 3, generator=torch.Generator().manual_seed(1))
    lookup = look_up(*patch_map(draw, size, (4, 6, 4), place), size, output_grid((4, 6, 4)), draw.plane)
    for k, image in enumerate(images):
        own = WeakDraw(draw.turns[k : k + 1], draw.flip[k : k + 1], draw.angle[k : k + 1], draw.plane)
        together = np.take(image, lookup.source[k].numpy()) * lookup.inside[k].numpy()
        assert np.array_equal(together, _view(image, own, (4, 6, 4), tuple(place[k].tolist())))
