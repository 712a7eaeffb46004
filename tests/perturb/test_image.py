"""The strong view against Pillow and SciPy, its identity at strength 0, and the ranges that are drawn in 2D."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage
from torch import Tensor

from crossmatch.perturb.image import (
    StrongDraw,
    StrongSettings,
    adjust_brightness,
    adjust_contrast,
    apply_strong,
    draw_strong,
    gaussian_blur,
)

SIZES = {2: (40, 32), 3: (24, 20, 12)}
LEVEL = 1 / 255  # one grey level of an 8-bit picture


def _smooth_picture(shape: tuple[int, int] = (40, 32)) -> np.ndarray:
    """An 8-bit picture with large structures, of the full range."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random(shape), 2)
    return np.rint(255 * (noise - noise.min()) / (noise.max() - noise.min())).astype(np.uint8)


def _as_batch(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture / 255).float()[None, None]


def _images(dims: int, batch: int = 3, channels: int = 2) -> Tensor:
    return torch.rand(batch, channels, *SIZES[dims], generator=torch.Generator().manual_seed(dims))


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3, 1.5])
def test_brightness_equals_pillow(factor):
    """To one grey level: Pillow cuts to integers, we keep floats."""
    picture = _smooth_picture()
    expected = np.asarray(ImageEnhance.Brightness(Image.fromarray(picture)).enhance(factor)) / 255
    ours = adjust_brightness(_as_batch(picture), torch.tensor([factor]))[0, 0].numpy()
    assert np.abs(ours - expected).max() <= LEVEL + 1e-6


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3, 1.5])
def test_contrast_equals_pillow(factor):
    """To one and a half grey levels: Pillow rounds the mean as well, half a level times |1 - factor|."""
    picture = _smooth_picture()
    expected = np.asarray(ImageEnhance.Contrast(Image.fromarray(picture)).enhance(factor)) / 255
    ours = adjust_contrast(_as_batch(picture), torch.tensor([factor]))[0, 0].numpy()
    assert np.abs(ours - expected).max() <= 1.5 * LEVEL


@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.0, 1.7, 2.0])
@pytest.mark.parametrize("dims", [2, 3])
def test_blur_equals_scipy(dims, sigma):
    """At borders SciPy's zeros are divided out: both then average over the voxels that exist."""
    x = _images(dims)
    ours = gaussian_blur(x, torch.full((3, dims), sigma)).numpy()
    axes = (0, 0) + (sigma,) * dims
    weight = ndimage.gaussian_filter(np.ones(x.shape), axes, mode="constant")
    expected = ndimage.gaussian_filter(x.double().numpy(), axes, mode="constant") / weight
    np.testing.assert_allclose(ours, expected, atol=2e-6)
    inner = (..., *[slice(8, -8) if n > 16 else slice(None) for n in SIZES[dims]])
    if dims == 2:
        plain = ndimage.gaussian_filter(x.double().numpy(), axes)
        np.testing.assert_allclose(ours[inner], plain[inner], atol=2e-6)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_blur_is_near_pillows(sigma):
    """Pillow's blur is three box filters on 8-bit values, as the released code used: 4 grey levels apart at most."""
    picture = _smooth_picture()
    expected = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma))) / 255
    ours = gaussian_blur(_as_batch(picture), torch.tensor([[sigma, sigma]]))[0, 0].numpy()
    inner = (slice(8, -8), slice(8, -8))
    assert np.abs(ours - expected)[inner].max() <= 4 * LEVEL
    assert np.abs(ours - expected)[inner].mean() <= LEVEL
    assert np.abs(ours - picture / 255)[inner].max() > 0  # it did something


@pytest.mark.parametrize("dims", [2, 3])
def test_nothing_drawn_is_the_identity(dims):
    x = _images(dims)
    ones, off = torch.ones(3), torch.zeros(3, dims)
    for first in (False, True):
        view = apply_strong(x, StrongDraw(ones, ones, torch.full((3,), first), off, None, None), StrongSettings())
        torch.testing.assert_close(view, x, rtol=0, atol=1e-6)
    assert torch.equal(gaussian_blur(x, off), x)
    assert torch.equal(adjust_brightness(x, ones), x)


@pytest.mark.parametrize("dims", [2, 3])
def test_every_image_has_its_own_strength(dims):
    x = _images(dims)
    chosen = StrongSettings(jitter_probability=1, blur_probability=1, bias=0.5, gamma=0.5)
    draw = draw_strong(chosen, 3, dims, torch.Generator().manual_seed(1))
    together = apply_strong(x, draw, chosen)
    for k in range(3):
        own = StrongDraw(*(None if value is None else value[k : k + 1] for value in draw))
        alone = apply_strong(x[k : k + 1], own, chosen)
        torch.testing.assert_close(together[k : k + 1], alone, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(together, x)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_result_stays_in_range(dims):
    x = _images(dims, batch=64, channels=1)
    chosen = StrongSettings()
    view = apply_strong(x, draw_strong(chosen, 64, dims, torch.Generator().manual_seed(2)), chosen)
    assert view.shape == x.shape
    assert view.dtype == x.dtype
    assert view.min() >= -1e-6
    assert view.max() <= 1 + 1e-6


def test_brightness_and_contrast_by_hand():
    """Values .2 and .6, mean .4. Brighter x 2: .4, 1 (cut), mean .7; contrast x .5 then: .55, .85.
    The other way round: .3, .5, then .6, 1.
    """
    x = torch.tensor([[[[0.2, 0.6]]]])
    two, half = torch.tensor([2.0]), torch.tensor([0.5])
    order, sharp = torch.tensor([False]), torch.zeros(1, 2)
    bright_first = apply_strong(x, StrongDraw(two, half, order, sharp, None, None), StrongSettings())
    torch.testing.assert_close(bright_first, torch.tensor([[[[0.55, 0.85]]]]))
    contrast_first = apply_strong(x, StrongDraw(two, half, ~order, sharp, None, None), StrongSettings())
    torch.testing.assert_close(contrast_first, torch.tensor([[[[0.6, 1.0]]]]))


def test_contrast_zero_is_each_channels_mean():
    x = _images(2)
    flat = adjust_contrast(x, torch.zeros(3))
    torch.testing.assert_close(flat, x.mean((2, 3), keepdim=True).expand_as(x))


@pytest.mark.parametrize("dims", [2, 3])
def test_blur_keeps_a_constant_image(dims):
    x = torch.full((2, 1, *SIZES[dims]), 0.37)
    torch.testing.assert_close(gaussian_blur(x, torch.tensor([[0.7], [2.0]]).expand(2, dims)), x)


def test_drawn_parameters():
    count, chosen = 20_000, StrongSettings()
    draw = draw_strong(chosen, count, 2, torch.Generator().manual_seed(0))
    jittered, blurred = draw.brightness != 1, (draw.sigma > 0).all(1)
    assert jittered.float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert blurred.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert draw.contrast_first.float().mean().item() == pytest.approx(0.5, abs=0.02)
    for factor in (draw.brightness, draw.contrast):
        assert (factor.min().item(), factor.max().item()) == pytest.approx((0.5, 1.5), abs=0.01)
        assert factor[jittered].mean().item() == pytest.approx(1.0, abs=0.01)
    sigma = draw.sigma[blurred]
    assert torch.equal(draw.sigma[:, 0], draw.sigma[:, 1])  # one for both axes
    assert draw.bias is None
    assert draw.gamma is None
    assert (sigma.min().item(), sigma.max().item()) == pytest.approx((0.1, 2.0), abs=0.01)
    assert ((draw.brightness != 1) == (draw.contrast != 1)).float().mean() > 0.999  # drawn together
    assert np.corrcoef(draw.brightness[jittered], draw.contrast[jittered])[0, 1] == pytest.approx(0, abs=0.03)


def test_strength_zero_draws_nothing():
    off = StrongSettings(jitter_probability=0, blur_probability=0)
    draw = draw_strong(off, 100, 2, torch.Generator().manual_seed(0))
    assert (draw.brightness == 1).all()
    assert (draw.contrast == 1).all()
    assert not draw.sigma.any()
    draw = draw_strong(StrongSettings(brightness=0, contrast=0), 100, 2, torch.Generator().manual_seed(0))
    assert (draw.brightness == 1).all()
    assert (draw.contrast == 1).all()


def test_a_generators_seed_fixes_the_draw():
    first, again = (draw_strong(StrongSettings(), 8, 2, torch.Generator().manual_seed(4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[:4], again[:4], strict=True))
