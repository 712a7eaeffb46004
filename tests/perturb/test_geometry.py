"""The weak view against NumPy and SciPy: turns, flips, rotation, resizing; image and label move together."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from crossmatch.perturb.geometry import (
    WeakDraw,
    WeakSettings,
    draw_weak,
    look_up,
    output_grid,
    resize_map,
)

PLANES = [(0, 1), (0, 2), (1, 2), (2, 1)]


def _draw(turns: int = 0, flip: int = -1, degrees: float = 0.0, plane: tuple[int, int] = (0, 1)) -> WeakDraw:
    return WeakDraw(torch.tensor([turns]), torch.tensor([flip]), torch.tensor([math.radians(degrees)]), plane)


def _view(image: np.ndarray, draw: WeakDraw, out: tuple[int, ...]) -> np.ndarray:
    """One image through the look-up, 0 outside."""
    size = torch.tensor([image.shape])
    lookup = look_up(*resize_map(draw, size), size, output_grid(out), draw.plane)
    return (torch.take(torch.from_numpy(image.copy()), lookup.source) * lookup.inside)[0].numpy()


def _image(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Values from 1, so that 0 is outside."""
    return np.random.default_rng(seed).integers(1, 1000, shape)


@pytest.mark.parametrize("shape", [(6, 9), (7, 7), (4, 6, 3)])
@pytest.mark.parametrize(("turns", "flip"), list(itertools.product(range(4), (-1, 0, 1))))
def test_turns_and_flips_equal_numpy(shape, turns, flip):
    image = _image(shape)
    expected = np.rot90(image, turns)
    expected = expected if flip < 0 else np.flip(expected, flip)
    assert np.array_equal(_view(image, _draw(turns, flip), expected.shape), expected)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize(("turns", "flip"), list(itertools.product(range(4), (-1, 0, 1))))
def test_turns_and_flips_lie_in_the_named_plane(plane, turns, flip):
    """Flip 0 and 1 count the axes of the plane; a plane named backwards turns the other way, as NumPy has it."""
    image = _image((4, 6, 5))
    expected = np.rot90(image, turns, plane)
    expected = expected if flip < 0 else np.flip(expected, plane[flip])
    assert np.array_equal(_view(image, _draw(turns, flip, plane=plane), expected.shape), expected)


@pytest.mark.parametrize("shape", [(64, 50), (41, 41), (30, 36, 5)])
@pytest.mark.parametrize("degrees", [-20.0, -7.3, 13.1, 20.0, 44.0])
def test_rotation_equals_scipy(shape, degrees):
    """SciPy counts angles the other way. In its mode "constant" it also gives up voxels whose source lies less than
    half a voxel outside the image; we take the border voxel there, as "grid-constant" does: at most 4 % of these.
    """
    image = _image(shape)
    ours = _view(image, _draw(degrees=degrees), shape)
    assert np.array_equal(ours, ndimage.rotate(image, -degrees, reshape=False, order=0, mode="grid-constant"))
    released = ndimage.rotate(image, -degrees, reshape=False, order=0)
    assert np.array_equal(ours[released > 0], released[released > 0])
    assert (ours != released).mean() < 0.04


@pytest.mark.parametrize("plane", [(0, 1), (0, 2), (1, 2)])
def test_rotation_lies_in_the_named_plane(plane):
    image = _image((21, 24, 18))
    expected = ndimage.rotate(image, -13.1, plane, reshape=False, order=0, mode="grid-constant")
    assert np.array_equal(_view(image, _draw(degrees=13.1, plane=plane), image.shape), expected)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(rows=st.integers(1, 90), columns=st.integers(1, 90), out=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_resizing_equals_scipy(rows, columns, out):
    """Even sizes, as every network takes: no source position is half-way between two voxels, so nothing is a tie.

    SciPy's mode "constant" may lose the last row to rounding; "nearest" has no such fault.
    """
    image, size = _image((rows, columns)), (2 * out[0], 2 * out[1])
    zoom = (size[0] / rows, size[1] / columns)
    assert np.array_equal(_view(image, _draw(), size), ndimage.zoom(image, zoom, order=0, mode="nearest"))


@pytest.mark.parametrize("size", [(154, 224), (256, 216), (428, 512)])
def test_resizing_real_sizes(size):
    image = _image(size)
    for out in (128, 256):
        expected = ndimage.zoom(image, (out / size[0], out / size[1]), order=0, mode="nearest")
        assert np.array_equal(_view(image, _draw(), (out, out)), expected)


def test_resizing_a_volume_equals_scipy():
    image = _image((9, 14, 5))
    expected = ndimage.zoom(image, (12 / 9, 8 / 14, 6 / 5), order=0, mode="nearest")
    assert np.array_equal(_view(image, _draw(), (12, 8, 6)), expected)


def test_turning_then_resizing_is_one_look_up():
    image = _image((30, 21))
    turned = np.flip(np.rot90(image, 1), 0)
    once = _view(image, _draw(turns=1, flip=0), (16, 24))
    twice = ndimage.zoom(turned, (16 / 21, 24 / 30), order=0, mode="nearest")
    assert (once != twice).mean() < 0.02  # positions are the same, but exact ties round to the other side


@pytest.mark.parametrize("shape", [(7, 10), (12, 12), (1, 4), (5, 6, 3)])
def test_nothing_drawn_at_native_size_is_the_identity(shape):
    image = _image(shape)
    assert np.array_equal(_view(image, _draw(), shape), image)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    turns=st.integers(0, 3),
    flip=st.integers(-1, 1),
    degrees=st.floats(-180, 180, width=32),
    rows=st.integers(1, 30),
    columns=st.integers(1, 30),
)
def test_every_source_lies_in_the_image(turns, flip, degrees, rows, columns):
    """Whatever is drawn: no index beyond the image, also where the view looks outside."""
    size = torch.tensor([[rows, columns]])
    lookup = look_up(*resize_map(_draw(turns, flip, degrees), size), size, output_grid((16, 16)))
    assert ((lookup.source >= 0) & (lookup.source < rows * columns)).all()
    assert lookup.source.dtype == torch.int64


def test_images_of_a_batch_move_by_their_own_draws():
    draw = WeakDraw(torch.tensor([1, 0, 0]), torch.tensor([-1, 1, -1]), torch.tensor([0.0, 0.0, 0.2]), (0, 1))
    images = [_image(shape, seed) for seed, shape in enumerate([(8, 8), (5, 9), (16, 12)])]
    size = torch.tensor([image.shape for image in images])
    lookup = look_up(*resize_map(draw, size), size, output_grid((8, 8)))
    for k, image in enumerate(images):
        own = WeakDraw(draw.turns[k : k + 1], draw.flip[k : k + 1], draw.angle[k : k + 1], draw.plane)
        alone = _view(image, own, (8, 8))
        together = np.take(image, lookup.source[k].numpy()) * lookup.inside[k].numpy()
        assert np.array_equal(together, alone)


def test_the_third_axis_stays():
    image = np.broadcast_to(np.arange(1, 6), (8, 8, 5))
    view = _view(image, _draw(degrees=15.0), (8, 8, 5))
    assert np.array_equal(np.where(view > 0, image, 0), view)


def test_drawn_parameters():
    count = 20_000
    draw = draw_weak(WeakSettings(), count, torch.Generator().manual_seed(0))
    turned, rotated = draw.flip >= 0, draw.angle != 0
    assert not (turned & rotated).any()
    assert not draw.turns[~turned].any()
    assert turned.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert rotated.float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert draw.angle.abs().max() <= math.radians(20)
    assert draw.angle[rotated].std().item() == pytest.approx(math.radians(40) / math.sqrt(12), rel=0.03)
    for turns, flip in itertools.product(range(4), (0, 1)):
        share = ((draw.turns == turns) & (draw.flip == flip) & turned).float().mean().item()
        assert share == pytest.approx(0.5 / 8, abs=0.01)


def test_probabilities_of_zero_and_one():
    generator = torch.Generator().manual_seed(0)
    never = draw_weak(WeakSettings(turn_probability=0, rotation_probability=0), 100, generator)
    assert not never.turns.any()
    assert (never.flip == -1).all()
    assert not never.angle.any()
    always = draw_weak(WeakSettings(turn_probability=1), 100, generator)
    assert (always.flip >= 0).all()
    assert not always.angle.any()
    rotated = draw_weak(WeakSettings(turn_probability=0, rotation_probability=1), 100, generator)
    assert (rotated.angle != 0).all()


def test_a_generators_seed_fixes_the_draw():
    first, again = (draw_weak(WeakSettings(), 8, torch.Generator().manual_seed(4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[:3], again[:3], strict=True))


def test_the_plane_of_the_settings_is_drawn_with():
    assert draw_weak(WeakSettings(), 1, torch.Generator()).plane == (0, 1)
    assert draw_weak(WeakSettings(plane=(2, 0)), 1, torch.Generator()).plane == (2, 0)
    with pytest.raises(ValidationError, match="two different axes"):
        WeakSettings(plane=(1, 1))
    with pytest.raises(ValidationError, match="less than or equal to 2"):
        WeakSettings(plane=(1, 3))
