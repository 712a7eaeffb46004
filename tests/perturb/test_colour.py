"""The colours of the strong view against Pillow and colorsys, by hand, and the ranges that are drawn."""

import colorsys
import itertools

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import ndimage
from torch import Tensor

from crossmatch.perturb.colour import LUMA, ColourDraw, apply_colour, blend, luma, mean_grey, shift_hue
from crossmatch.perturb.image import StrongSettings, apply_strong, draw_strong, gaussian_blur

LEVEL = 1 / 255  # one grey level of an 8-bit picture
FACTORS = [0.5, 0.8, 1.0, 1.3, 1.5]
BRIGHTNESS, CONTRAST, SATURATION, HUE = CHANGES = range(4)


def _picture(seed: int = 0) -> np.ndarray:
    """(rows, columns, 3), 8 bits, of the full range in each colour."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((24, 32, 3)), (2, 2, 0))
    noise = (noise - noise.min((0, 1))) / (noise.max((0, 1)) - noise.min((0, 1)))
    return np.rint(255 * noise).astype(np.uint8)


def _as_batch(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture / 255).float().movedim(2, 0)[None]


def _as_picture(x: Tensor) -> np.ndarray:
    return x[0].movedim(0, 2).numpy()


def _changed(x: Tensor, order: tuple[int, ...], grey: bool = False, **amounts: float) -> Tensor:
    """One image, changed in an order; what is not named does not change."""
    one = {name: torch.tensor([amounts.get(name, 1.0)]) for name in ("brightness", "contrast", "saturation")}
    hue = torch.tensor([amounts.get("hue", 0.0)])
    blends = [change for change in order if change != HUE]
    draw = ColourDraw(
        one["saturation"], hue, torch.tensor([blends]), torch.tensor([order.index(HUE)]), torch.tensor([grey])
    )
    return apply_colour(x, one["brightness"], one["contrast"], draw)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(
    ("name", "enhance"),
    [("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color)],
)
def test_changes_equal_pillow(name, enhance, factor):
    """To one and a half levels: Pillow cuts to integers, and rounds the mean grey and each pixel's grey."""
    picture = _picture()
    expected = np.asarray(enhance(Image.fromarray(picture)).enhance(factor)) / 255
    ours = _as_picture(_changed(_as_batch(picture), tuple(CHANGES), **{name: factor}))
    assert np.abs(ours - expected).max() <= 1.5 * LEVEL + 1e-6
    assert factor == 1 or np.abs(ours - picture / 255).max() > 20 * LEVEL


@pytest.mark.parametrize("shift", [-0.5, -0.25, -0.1, 0.03, 0.25, 0.5])
def test_hue_equals_colorsys(shift):
    """To 1e-5 on every pixel of a picture, and of the corners, edges and greys of the cube of colours."""
    cube = np.array(list(itertools.product((0.0, 0.2, 0.5, 1.0), repeat=3)))
    for pixels in (cube.reshape(8, 8, 3), _picture(1) / 255):
        x = torch.from_numpy(pixels).float().movedim(2, 0)[None]
        ours = _as_picture(shift_hue(x, torch.tensor([shift])))
        for colour, found in zip(pixels.reshape(-1, 3), ours.reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*np.float32(colour).tolist())
            expected = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
            np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("shift", [-0.25, 0.1, 0.25])
def test_hue_is_near_pillows(shift):
    """Pillow's hues have 256 steps, and the shift is cut to one: 2 steps of 6 levels apart at most, and 3 levels in the
    mean. Saturation and value are cut as well.
    """
    picture = _picture(2)
    hsv = np.array(Image.fromarray(picture).convert("HSV"))
    hsv[..., 0] += np.array(shift * 255).astype(np.int16).astype(np.uint8)
    expected = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB")) / 255
    ours = _as_picture(shift_hue(_as_batch(picture), torch.tensor([shift])))
    assert np.abs(ours - expected).max() <= 12 * LEVEL
    assert np.abs(ours - expected).mean() <= 3 * LEVEL


def test_grey_equals_pillow():
    """To one level: Pillow rounds to integers."""
    picture = _picture()
    expected = np.asarray(Image.fromarray(picture).convert("L")) / 255
    ours = _as_picture(_changed(_as_batch(picture), tuple(CHANGES), grey=True))
    assert (ours == ours[..., :1]).all()
    assert np.abs(ours[..., 0] - expected).max() <= LEVEL
    assert sum(LUMA) == pytest.approx(1)


@pytest.mark.parametrize("order", list(itertools.permutations(CHANGES)))
def test_every_order_is_kept(order):
    x = _as_batch(_picture(3))
    amounts = {"brightness": 1.4, "contrast": 0.6, "saturation": 1.5, "hue": 0.2}
    alone = {
        BRIGHTNESS: lambda image: blend(image, torch.zeros(()), torch.tensor([1.4])),
        CONTRAST: lambda image: blend(image, mean_grey(luma(image)), torch.tensor([0.6])),
        SATURATION: lambda image: blend(image, luma(image), torch.tensor([1.5])),
        HUE: lambda image: shift_hue(image, torch.tensor([0.2])),
    }
    expected = x
    for change in order:
        expected = alone[change](expected)
    assert torch.equal(_changed(x, order, **amounts), expected)


def test_changes_by_hand():
    """Red .8, green .4, blue .2: grey .4968. Half the saturation goes half the way there. A third of a turn passes red
    on to green. Twice as bright: 1.6 is cut to 1.
    """
    x = torch.tensor([0.8, 0.4, 0.2]).view(1, 3, 1, 1)

    def seen(**amounts: float) -> list[float]:
        return pytest.approx(_changed(x, tuple(CHANGES), **amounts).flatten().tolist(), abs=1e-6)

    assert seen(saturation=0.5) == [0.6484, 0.4484, 0.3484]
    assert seen(hue=1 / 3) == [0.2, 0.8, 0.4]
    assert seen(brightness=2.0) == [1.0, 0.8, 0.4]
    assert seen(contrast=0.0) == [0.4968] * 3  # one mean for all channels


def test_contrast_keeps_the_ratio_of_channels_that_are_constant():
    """About each channel's own mean, a flat picture would not change; about its grey, it loses its colour."""
    x = torch.tensor([0.8, 0.4, 0.2]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    changed = _changed(x, tuple(CHANGES), contrast=0.5)
    torch.testing.assert_close(changed[0, :, 0, 0], 0.5 * torch.tensor([0.8, 0.4, 0.2]) + 0.5 * 0.4968)


def _drawn(settings: StrongSettings, count: int, colours: bool = True, seed: int = 0):
    return draw_strong(settings, count, 2, torch.Generator().manual_seed(seed), colours)


def test_drawn_parameters():
    count = 20_000
    draw = _drawn(StrongSettings(grey_probability=0.2), count)
    jittered, colour = draw.brightness != 1, draw.colour
    assert ((colour.saturation != 1) == jittered).float().mean() > 0.999
    assert ((colour.hue != 0) == jittered).float().mean() > 0.999
    assert jittered.float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (colour.saturation.min().item(), colour.saturation.max().item()) == pytest.approx((0.5, 1.5), abs=0.01)
    assert (colour.hue.min().item(), colour.hue.max().item()) == pytest.approx((-0.25, 0.25), abs=0.01)
    assert colour.grey.float().mean().item() == pytest.approx(0.2, abs=0.02)
    orders, counts = torch.cat([colour.order, colour.before.unsqueeze(1)], 1).unique(dim=0, return_counts=True)
    assert len(orders) == 24
    assert (counts / count).sub(1 / 24).abs().max() < 0.01
    assert np.corrcoef(colour.hue[jittered], draw.contrast[jittered])[0, 1] == pytest.approx(0, abs=0.03)
    assert not _drawn(StrongSettings(), 200).colour.grey.any()


def test_grey_images_see_what_they_saw():
    """Colours are drawn after all else: the other numbers are the same with and without them."""
    for settings in (StrongSettings(), StrongSettings(bias=0.5, gamma=0.5, blur_each_axis=True)):
        plain, coloured = _drawn(settings, 8, colours=False), _drawn(settings, 8)
        assert plain.colour is None
        for a, b in zip(plain[:-1], coloured[:-1], strict=True):
            assert (a is None and b is None) or torch.equal(a, b)


def test_strength_zero_changes_nothing():
    x = torch.cat([_as_batch(_picture(seed)) for seed in range(6)])
    draw = _drawn(StrongSettings(jitter_probability=0, blur_probability=0), 6)
    assert torch.equal(apply_strong(x, draw, StrongSettings()), x)


def test_every_image_has_its_own_strength():
    x = torch.cat([_as_batch(_picture(seed)) for seed in range(6)])
    chosen = StrongSettings(jitter_probability=1, blur_probability=1, grey_probability=0.3)
    draw = _drawn(chosen, 6)
    together = apply_strong(x, draw, chosen)
    for k in range(6):
        own = draw.of(torch.tensor([k]))
        torch.testing.assert_close(together[k : k + 1], apply_strong(x[k : k + 1], own, chosen), rtol=1e-5, atol=1e-6)
        colours = apply_colour(x[k : k + 1], own.brightness, own.contrast, own.colour)
        torch.testing.assert_close(together[k : k + 1], gaussian_blur(colours, own.sigma), rtol=1e-5, atol=1e-6)
    assert together.min() >= 0
    assert together.max() <= 1
    assert (together - x).abs().mean((1, 2, 3)).min() > 0.005
    assert len({float(luma(view).mean()) for view in together.split(1)}) == 6


def test_one_channel_stands_for_a_grey_picture_in_colours():
    """Where all channels are alike, hue and saturation do nothing, and brightness and contrast are those of grey."""
    grey = torch.rand(3, 1, 16, 12, generator=torch.Generator().manual_seed(0))
    chosen = StrongSettings(jitter_probability=1, blur_probability=0)
    draw = _drawn(chosen, 3)
    colour = draw.colour
    first = (colour.order == CONTRAST).int().argmax(1) < (colour.order == BRIGHTNESS).int().argmax(1)
    expected = apply_strong(grey, draw._replace(colour=None, contrast_first=first), chosen)
    ours = apply_strong(grey.expand(3, 3, 16, 12), draw, chosen)
    torch.testing.assert_close(ours, expected.expand_as(ours), rtol=1e-5, atol=1e-5)
