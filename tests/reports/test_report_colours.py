"""Pictures in colours in a report: shown as they are, of a bearable size, beside the same picture without outlines."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from crossmatch.formats import new_volume
from crossmatch.reports import overlays, slices

LABELS = {"lesion": 1}


def channels(shape=(60, 40)):
    """Red rises along x, green along y, blue is constant."""
    x, y = np.indices(shape)
    colours = (4 * x, 5 * y, np.full(shape, 90))
    return [new_volume(colour.astype(np.uint8)) for colour in colours]


def decoded(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


def test_three_channels_of_a_picture_are_its_colours():
    red, green, blue = channels()
    image = slices.shown_scan([red, green, blue])
    assert image.voxels is red.voxels
    stack, _ = slices.upright(image, 0)
    shown = slices.eight_bits(image, stack)
    assert shown.shape == (1, 40, 60, 3)
    assert shown[0, 7, 11].tolist() == [44, 35, 90]  # not stretched: hues stay


def test_dark_colours_stay_dark():
    """The blue of this picture, by itself, would look like shares of 1."""
    red, green = (new_volume(np.full((8, 6), value, np.uint16)) for value in (200, 90))
    image = slices.shown_scan([red, green, new_volume(np.ones((8, 6), np.uint16))])
    assert slices.eight_bits(image, slices.upright(image, 0)[0])[0, 0, 0].tolist() == [200, 90, 1]


def test_grey_pictures_are_embedded_without_loss():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert slices.embedded(grey).startswith("data:image/png;base64,")
    assert np.array_equal(decoded(slices.embedded(grey)), grey)


def test_other_channels_are_not_colours():
    red, green, _ = channels()
    assert slices.shown_scan([red, green]) is red
    volume = new_volume(np.zeros((4, 4, 4), np.uint8))
    assert slices.shown_scan([volume] * 3) is volume


def test_grey_values_are_spread():
    image = new_volume(np.arange(200, dtype=np.int16).reshape(20, 10) + 1000)
    stack, _ = slices.upright(image, 0)
    shown = slices.eight_bits(image, stack)
    assert shown.shape == (1, 10, 20)
    assert (shown.min(), shown.max()) == (0, 255)


@pytest.mark.parametrize(("side", "kept"), [(800, 800), (801, 400), (2500, 625)])
def test_large_pictures_are_reduced(side, kept):
    assert slices.MOST_PIXELS == 800
    pixels = np.zeros((side, 64, 3), np.uint8)
    pixels[: side // 2] = (200, 100, 50)
    found = decoded(slices.embedded(pixels))
    assert found.shape[0] == kept
    assert np.abs(found[10, found.shape[1] // 2].astype(int) - (200, 100, 50)).max() < 6
    grey = decoded(slices.embedded(pixels[:, :, 0]))
    assert grey.shape[0] == kept
    assert (grey[5, 0], grey[-5, 0]) == (200, 0)


def test_a_picture_stands_beside_itself_without_outlines():
    image = slices.shown_scan(channels())
    mask = np.zeros((60, 40), np.uint8)
    mask[20:40, 10:30] = 1
    for figures in (
        overlays.stack_figures(image, mask, mask, LABELS, 2),
        overlays.unscored_figures(image, mask, LABELS, 2),
    ):
        bare, drawn = figures
        assert "<path" not in bare
        assert "<path" in drawn
        for figure in figures:
            assert 'class="overlay colour"' in figure
            assert "data:image/jpeg;base64," in figure
