"""The strong view of volumes: exponent, bias field and a blur of its own on each axis, with the released ranges."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from crossmatch.perturb.bias import bias_field
from crossmatch.perturb.image import (
    StrongDraw,
    StrongSettings,
    adjust_gamma,
    apply_strong,
    draw_strong,
    gaussian_blur,
)

RELEASED = StrongSettings(brightness=0, contrast=0, bias=0.5, gamma=0.5, blur_each_axis=True)
SIZE = (24, 20, 12)


def _volumes(batch: int = 3, channels: int = 2) -> Tensor:
    """Mean 0 and standard deviation 1, as z-scored scans."""
    return torch.randn(batch, channels, *SIZE, generator=torch.Generator().manual_seed(5))


def _drawn(chosen: StrongSettings, count: int, seed: int = 0) -> StrongDraw:
    return draw_strong(chosen, count, 3, torch.Generator().manual_seed(seed))


def test_gamma_by_hand():
    """The exponents .5 and 2; the sign stays, 0 and 1 stay."""
    x = torch.tensor([-4.0, -1.0, -0.25, 0.0, 0.25, 1.0, 4.0])
    view = adjust_gamma(x.repeat(2, 1).view(2, 1, 7, 1), torch.tensor([0.5, 2.0])).view(2, 7)
    torch.testing.assert_close(view[0], torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]))
    torch.testing.assert_close(view[1], torch.tensor([-16.0, -1.0, -0.0625, 0.0, 0.0625, 1.0, 16.0]))


def test_blur_of_another_width_on_each_axis_equals_scipy():
    """Every image its own three widths; SciPy's zeros beyond the border are divided out."""
    x = _volumes()
    widths = [(0.4, 2.0, 1.1), (2.0, 0.0, 0.7), (0.0, 1.3, 0.0)]
    ours = gaussian_blur(x, torch.tensor(widths)).numpy()
    for k, sigma in enumerate(widths):
        weight = ndimage.gaussian_filter(np.ones(SIZE), sigma, mode="constant")
        for channel in range(2):
            expected = ndimage.gaussian_filter(x[k, channel].double().numpy(), sigma, mode="constant") / weight
            np.testing.assert_allclose(ours[k, channel], expected, atol=3e-6)


def test_bias_then_gamma_then_blur():
    x, draw = _volumes(), _drawn(RELEASED.model_copy(update={"jitter_probability": 1, "blur_probability": 1}), 3)
    assert draw.bias is not None
    assert draw.gamma is not None
    gain = bias_field(draw.bias, SIZE).unsqueeze(1)
    expected = gaussian_blur(adjust_gamma(x * gain, draw.gamma), draw.sigma)
    view = apply_strong(x, draw, RELEASED)
    assert torch.equal(view, expected)
    assert view.min() < -1  # nothing is cut to [0, 1]
    assert not torch.allclose(view, x, atol=0.1)


def test_strength_zero_is_the_identity():
    """Grey values outside [0, 1] too; also where probability 0 meets a strength above 0."""
    x = _volumes()
    off = RELEASED.model_copy(update={"jitter_probability": 0.0, "blur_probability": 0.0})
    draw = _drawn(off, 3)
    assert draw.bias is not None
    assert draw.gamma is not None
    torch.testing.assert_close(apply_strong(x, draw, off), x, rtol=1e-6, atol=1e-6)
    weak = StrongSettings(brightness=0, contrast=0, blur_probability=0)
    assert torch.equal(apply_strong(x, _drawn(weak, 3), weak), x)


def test_released_ranges():
    count = 20_000
    draw = _drawn(RELEASED, count)
    assert (draw.brightness == 1).all()
    assert (draw.contrast == 1).all()
    assert draw.bias is not None
    assert draw.gamma is not None
    jittered = draw.gamma != 1
    assert jittered.float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert torch.equal(draw.bias.flatten(1).any(1), jittered)  # both or neither
    assert (draw.bias.min().item(), draw.bias.max().item()) == pytest.approx((-0.5, 0.5), abs=0.001)
    exponent = draw.gamma[jittered].log()
    assert (exponent.min().item(), exponent.max().item()) == pytest.approx((-0.5, 0.5), abs=0.001)
    assert exponent.mean().item() == pytest.approx(0, abs=0.01)
    assert exponent.std().item() == pytest.approx(1 / math.sqrt(12), abs=0.01)
    blurred = (draw.sigma > 0).any(1)
    assert torch.equal(blurred, (draw.sigma > 0).all(1))
    assert blurred.float().mean().item() == pytest.approx(0.5, abs=0.02)
    sigma = draw.sigma[blurred]
    assert (sigma.min().item(), sigma.max().item()) == pytest.approx((0.1, 2.0), abs=0.01)
    assert sigma.mean(0).numpy() == pytest.approx(np.full(3, 1.05), abs=0.02)
    independent = np.corrcoef(np.column_stack([sigma, draw.gamma[blurred], draw.bias[blurred, 0, 0, 0]]).T)
    assert np.abs(independent - np.eye(5)).max() < 0.04


def test_a_generators_seed_fixes_the_draw():
    first, again, other = (_drawn(RELEASED, 8, seed) for seed in (4, 4, 5))
    assert all(torch.equal(a, b) for a, b in zip(first[:6], again[:6], strict=True))
    for name in ("sigma", "bias", "gamma"):
        assert not torch.equal(getattr(first, name), getattr(other, name))
