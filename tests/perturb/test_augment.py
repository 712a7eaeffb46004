"""Augmentation of labelled images: grey values by hand and against PyTorch, what is drawn, image and label together."""

import math

import pytest
import torch
from pydantic import ValidationError
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from crossmatch.perturb.augment import (
    AugmentDraw,
    AugmentSettings,
    augment,
    coarsen,
    draw_augmentation,
    gamma_keeping_statistics,
)

SIZES = {2: (20, 14), 3: (10, 14, 8)}
PROBABILITIES = [name for name in AugmentSettings.model_fields if name.endswith("_probability")]
NEVER = dict.fromkeys(PROBABILITIES, 0.0)
ALWAYS = dict.fromkeys(PROBABILITIES, 1.0)


def _batch(dims: int, count: int = 4) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(dims)
    x = torch.rand(count, 2, *SIZES[dims], generator=drawn)
    return x, torch.randint(0, 4, (count, *SIZES[dims]), generator=drawn)


def _draw(settings: AugmentSettings, count: int, dims: int, seed: int = 0) -> AugmentDraw:
    return draw_augmentation(settings, count, dims, torch.Generator().manual_seed(seed))


def _only(x: Tensor, **changes: object) -> Tensor:
    """Images with one thing done to all of them, the range of its strength named in `changes`."""
    (name,) = changes
    settings = AugmentSettings(**(NEVER | {f"{name}_probability": 1.0} | changes))
    y = torch.zeros(len(x), *x.shape[2:], dtype=torch.int64)
    return augment(x, y, _draw(settings, len(x), x.ndim - 2), settings)[0]


@pytest.mark.parametrize("dims", [2, 3])
def test_what_never_happens_changes_nothing(dims):
    x, y = _batch(dims)
    settings = AugmentSettings(**NEVER)
    same_x, same_y = augment(x, y, _draw(settings, 4, dims), settings)
    assert torch.equal(same_x, x)
    assert torch.equal(same_y, y)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_view_that_draws_nothing_is_the_image_bit_for_bit(dims):
    """All steps are computed here (settings), none of them was drawn."""
    x, y = _batch(dims)
    same_x, same_y = augment(x, y, _draw(AugmentSettings(**NEVER), 4, dims), AugmentSettings(**ALWAYS))
    assert torch.equal(same_x, x)
    assert torch.equal(same_y, y)


@pytest.mark.parametrize("dims", [2, 3])
def test_image_and_label_move_together(dims):
    """A smooth image whose label is a threshold of it still is, but for voxels near the border."""
    axes = [torch.linspace(-1, 1, 32) for _ in range(dims)]
    distance = sum(axis**2 for axis in torch.meshgrid(*[axis - 0.2 for axis in axes], indexing="ij")).sqrt()
    x = (1 - distance).clamp(min=0).expand(8, 1, *[32] * dims)
    y = (x[:, 0] > 0.5).long()
    spatial = {"scaling_probability": 1.0, "rotation_probability": 1.0, "mirror_probability": 0.5}
    settings = AugmentSettings(**(NEVER | spatial))
    moved_x, moved_y = augment(x, y, _draw(settings, 8, dims), settings)
    unsure = (moved_x[:, 0] - 0.5).abs() < 0.05  # one voxel is 1 / 16, and up to 1.4 of them are a step
    assert torch.equal((moved_x[:, 0] > 0.5)[~unsure], (moved_y > 0)[~unsure])
    assert all((a != b).float().mean() > 0.01 for a, b in zip(moved_y, y, strict=True))


@pytest.mark.parametrize("dims", [2, 3])
def test_labels_stay_labels(dims):
    x, y = _batch(dims)
    y = torch.tensor([0, 3, 7, 200])[y]
    settings = AugmentSettings(**ALWAYS)
    _, moved = augment(x, y, _draw(settings, 4, dims), settings)
    assert moved.dtype == torch.int64
    assert moved.shape == y.shape
    assert not torch.equal(moved, y)
    assert set(moved.unique().tolist()) == {0, 3, 7, 200}


def test_mirroring_every_axis():
    x, y = _batch(3)
    settings = AugmentSettings(**(NEVER | {"mirror_probability": 1.0}))
    mirrored_x, mirrored_y = augment(x, y, _draw(settings, 4, 3), settings)
    assert torch.equal(mirrored_x, x.flip(2, 3, 4))
    assert torch.equal(mirrored_y, y.flip(1, 2, 3))


def test_noise_has_the_drawn_share_of_each_channels_deviation():
    """Channels of deviation 1 and 5 (+-1, +-5), noise of 0.1 of it: 0.1 and 0.5."""
    sign = torch.tensor([-1.0, 1.0]).repeat(5000).view(1, 1, 100, 100)
    x = torch.cat([sign, 100 + 5 * sign], 1)
    noise = _only(x, noise=(0.1, 0.1)) - x
    assert noise.mean((0, 2, 3)).tolist() == pytest.approx([0, 0], abs=0.02)
    assert noise.std((0, 2, 3)).tolist() == pytest.approx([0.1, 0.5], rel=0.03)
    assert torch.corrcoef(noise[0].flatten(1))[0, 1].abs() < 0.04


def test_blur_equals_scipy_with_a_width_for_each_axis():
    x = torch.zeros(1, 1, 15, 15)
    x[0, 0, 7, 7] = 1
    draw = _draw(AugmentSettings(**NEVER), 1, 2)._replace(sigma=torch.tensor([[1.0, 0.5]]))
    view, _ = augment(x, torch.zeros(1, 15, 15, dtype=torch.int64), draw, AugmentSettings(**ALWAYS))
    expected = ndimage.gaussian_filter(x[0, 0].double().numpy(), (1.0, 0.5))
    torch.testing.assert_close(view[0, 0], torch.from_numpy(expected).float())


def test_brightness_multiplies():
    x = torch.tensor([[[[-2.0, 0.0, 0.8]]]])
    settings = AugmentSettings(**ALWAYS)
    draw = _draw(AugmentSettings(**NEVER), 1, 2)._replace(brightness=torch.full((1, 1, 1, 1), 1.25))
    y = torch.zeros(1, 1, 3, dtype=torch.int64)
    torch.testing.assert_close(augment(x, y, draw, settings)[0], torch.tensor([[[[-2.5, 0.0, 1.0]]]]))


def test_contrast_keeps_the_range():
    """Values -2, 0, 1, 5, mean 1: at half contrast -.5, .5, 1, 3; doubled -5, -1, 1, 9, cut to -2 and 5."""
    x = torch.tensor([[[[-2.0, 0, 1, 5]]], [[[-2.0, 0, 1, 5]]]])
    factor = torch.tensor([0.5, 2.0]).view(2, 1, 1, 1)
    draw = _draw(AugmentSettings(**NEVER), 2, 2)._replace(contrast=factor)
    view, _ = augment(x, torch.zeros(2, 1, 4, dtype=torch.int64), draw, AugmentSettings(**ALWAYS))
    torch.testing.assert_close(view.view(2, 4), torch.tensor([[-0.5, 0.5, 1, 3], [-2, -1, 1, 5]]))


def test_gamma_by_hand():
    """0, 1, 2 squared within its range: 0, .5, 2, mean 5/6; brought back to mean 1 and the old deviation."""
    x = torch.tensor([[[0.0, 1.0, 2.0]]]).unsqueeze(2)
    curved = torch.tensor([0.0, 0.5, 2.0])
    expected = 1 + (curved - 5 / 6) / curved.std()  # the deviation of 0, 1, 2 is 1
    torch.testing.assert_close(gamma_keeping_statistics(x, torch.tensor([2.0]), (2, 3)).flatten(), expected)
    draw = _draw(AugmentSettings(**NEVER), 1, 2)._replace(inverted_gamma=torch.full((1, 1, 1, 1), 2.0))
    inverted, _ = augment(x, torch.zeros(1, 1, 3, dtype=torch.int64), draw, AugmentSettings(**ALWAYS))
    torch.testing.assert_close(inverted.flatten(), 2 - expected.flip(0))  # 0, 1, 2 is its own mirror image


def test_gamma_keeps_mean_and_deviation_of_each_channel():
    x = torch.randn(3, 2, 30, 20, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 50.0]).view(2, 1, 1)
    view = _only(x, gamma=(0.7, 1.5))
    assert (view - x).abs().amax((1, 2, 3)).min() > 0.01
    torch.testing.assert_close(view.mean((2, 3)), x.mean((2, 3)), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(view.std((2, 3)), x.std((2, 3)))


def _colours(values: Tensor, colours: bool = True, **changes: float) -> Tensor:
    """Pixels of colours (n, 3) as one image, with something done to it: factors and exponents in `changes`."""
    x = values.T.reshape(1, 3, 1, -1).contiguous()
    given = {name: torch.full((1, 1, 1, 1), value) for name, value in changes.items()}
    draw = _draw(AugmentSettings(**NEVER), 1, 2)._replace(**given)
    view, _ = augment(x, torch.zeros(1, *x.shape[2:], dtype=torch.int64), draw, AugmentSettings(**ALWAYS), colours)
    return view[0, :, 0].T


def test_contrast_of_colours_goes_from_their_mean_grey():
    """Range 0 to 1. Grey of the pixels: 0, 1, 0.299, mean 0.433; half the contrast is half-way there."""
    pixels = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]])
    torch.testing.assert_close(_colours(pixels, contrast=0.5), (pixels + 0.433) / 2)


@pytest.mark.parametrize("name", ["gamma", "inverted_gamma"])
def test_gamma_of_colours_is_one_curve_for_all_three(name):
    """The curve of the three channels as one channel of three times the pixels."""
    pixels = torch.tensor([[0.1, 0.2, 0.9], [0.5, 0.5, 0.5], [0.6, 0.3, 0.2]])
    together = _colours(pixels, **{name: 1.5})
    x = pixels.T.reshape(1, 1, 1, -1)
    curved = gamma_keeping_statistics(-x if name == "inverted_gamma" else x, torch.tensor([1.5]), (2, 3))
    expected = -curved if name == "inverted_gamma" else curved
    torch.testing.assert_close(together, expected.reshape(3, -1).T)


@pytest.mark.parametrize("name", ["brightness", "contrast", "gamma", "inverted_gamma", "low_resolution"])
def test_grey_stays_grey_in_a_colour_image(name):
    """And colours that were equal in two channels stay so. Channels by themselves would not, in what has a range."""
    pixels = torch.tensor([[0.3, 0.3, 0.3], [0.9, 0.1, 0.1], [0.5, 0.6, 0.5], [0.7, 0.7, 0.7]])
    view = _colours(pixels, **{name: 0.8})
    assert (view - pixels).abs().max() > 0.01
    torch.testing.assert_close(view[0], view[0, :1].expand(3))
    apart = _colours(pixels, colours=False, **{name: 0.8})
    ranged = name in ("contrast", "gamma", "inverted_gamma")
    assert torch.allclose(apart[0], apart[0, :1].expand(3), atol=1e-5) is not ranged


def test_noise_of_colours_has_one_strength():
    """Channels of deviation 1 and 5 and a constant one: their deviation together, for each."""
    sign = torch.tensor([-1.0, 1.0]).repeat(5000).view(1, 1, 100, 100)
    x = torch.cat([sign, 5 * sign, 0 * sign], 1)
    settings = AugmentSettings(**(NEVER | {"noise_probability": 1.0, "noise": (0.1, 0.1)}))
    y = torch.zeros(1, 100, 100, dtype=torch.int64)
    noise = augment(x, y, _draw(settings, 1, 2), settings, colours=True)[0] - x
    assert noise.std((0, 2, 3)).tolist() == pytest.approx([0.1 * math.sqrt(26 / 3)] * 3, rel=0.03)


@pytest.mark.parametrize("name", ["noise", "contrast", "gamma", "inverted_gamma"])
def test_a_constant_image_stays(name):
    x = torch.full((2, 1, 6, 6), 0.3)
    settings = AugmentSettings(**(NEVER | {f"{name}_probability": 1.0}))
    view, _ = augment(x, torch.zeros(2, 6, 6, dtype=torch.int64), _draw(settings, 2, 2), settings)
    torch.testing.assert_close(view, x)


@pytest.mark.parametrize("shape", [(20, 13), (15, 9, 7)])
@pytest.mark.parametrize("share", [0.5, 0.63, 0.8, 0.97, 0.02])
def test_low_resolution_equals_pytorchs_interpolation(shape, share):
    """Two images at once, the other at full resolution."""
    x = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    ours = coarsen(x, torch.tensor([share, 1.0]).view(2, *[1] * (x.ndim - 1)))
    few = [max(round(share * n), 1) for n in shape]
    coarse = functional.interpolate(x[:1], few, mode="nearest-exact")
    linear = {2: "bilinear", 3: "trilinear"}[len(shape)]
    torch.testing.assert_close(ours[:1], functional.interpolate(coarse, list(shape), mode=linear))
    torch.testing.assert_close(ours[1], x[1])


def test_low_resolution_by_hand():
    """0 1 5 9 at half the voxels: of pairs the second, 1 and 9; between them 1, 3, 7, 9."""
    x = torch.tensor([0.0, 1, 5, 9]).view(1, 1, 1, 4)
    assert coarsen(x, torch.full((1, 1, 1, 1), 0.5)).flatten().tolist() == [1, 3, 7, 9]


@pytest.mark.parametrize("dims", [2, 3])
def test_every_image_has_its_own_parameters(dims):
    """Noise apart, which is drawn for the whole batch."""
    x, y = _batch(dims)
    settings = AugmentSettings(**(ALWAYS | {"noise_probability": 0.0, "mirror_probability": 0.5}))
    draw = _draw(settings, 4, dims)
    together_x, together_y = augment(x, y, draw, settings)
    for k in range(4):
        own = AugmentDraw._make(value[k : k + 1] for value in draw)
        alone_x, alone_y = augment(x[k : k + 1], y[k : k + 1], own, settings)
        torch.testing.assert_close(together_x[k : k + 1], alone_x, rtol=1e-4, atol=1e-5)
        assert torch.equal(together_y[k : k + 1], alone_y)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_draw_fixes_the_result(dims):
    x, y = _batch(dims)
    settings = AugmentSettings(**ALWAYS)
    torch.manual_seed(0)  # of the noise
    plain = augment(x, y, _draw(settings, 4, dims), settings)
    torch.manual_seed(0)
    again = augment(x, y, _draw(settings, 4, dims), settings)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    torch.manual_seed(0)
    other = augment(x, y, _draw(settings, 4, dims, seed=1), settings)
    assert not torch.allclose(plain[0], other[0], atol=0.01)


def test_drawn_parameters():
    """The published probabilities and ranges; factors lie as often below 1 as above."""
    count, draw = 40_000, _draw(AugmentSettings(), 40_000, 3)
    shares = {"noise": 0.1, "brightness": 0.15, "contrast": 0.15, "low_resolution": 0.125, "gamma": 0.3}
    for name, share in (shares | {"inverted_gamma": 0.1}).items():
        value = getattr(draw, name).flatten()
        assert (value != (0 if name == "noise" else 1)).float().mean() == pytest.approx(share, abs=0.01), name
    for name, ends in {"brightness": (0.75, 1.25), "gamma": (0.7, 1.5), "inverted_gamma": (0.7, 1.5)}.items():
        value = getattr(draw, name)
        drawn = value[value != 1]
        assert (drawn.min().item(), drawn.max().item()) == pytest.approx(ends, abs=0.01)
        assert (drawn < 1).float().mean().item() == pytest.approx(0.5, abs=0.03)
    sigma = draw.sigma[draw.sigma.sum(1) > 0]
    assert len(sigma) / count == pytest.approx(0.1, abs=0.01)
    assert (sigma.min().item(), sigma.max().item()) == pytest.approx((0.5, 1.0), abs=0.01)
    assert draw.noise.max().item() == pytest.approx(0.1, abs=0.002)
    assert draw.low_resolution.min().item() == pytest.approx(0.5, abs=0.01)
    assert draw.mirror.float().mean(0).tolist() == pytest.approx([0.5] * 3, abs=0.01)


@pytest.mark.parametrize("dims", [2, 3])
def test_drawn_maps(dims):
    """The volume's change is the cube of the scale; of turned ones, angles in 2D reach 30 degrees and no further."""
    draw = _draw(AugmentSettings(), 20_000, dims)
    scale = torch.linalg.det(draw.matrix) ** (1 / dims)
    scaled = (scale - 1).abs() > 1e-4
    assert scaled.float().mean() == pytest.approx(0.2, abs=0.01)
    assert (scale.min().item(), scale.max().item()) == pytest.approx((0.7, 1.4), abs=0.01)
    turn = draw.matrix / scale.view(-1, 1, 1)
    turned = (turn - torch.eye(dims)).abs().amax((1, 2)) > 1e-4
    assert turned.float().mean() == pytest.approx(0.2, abs=0.01)
    assert (turned & scaled).float().mean() == pytest.approx(0.04, abs=0.01)
    first = torch.atan2(turn[:, 1, 0], turn[:, 0, 0])  # the angle in the plane (0, 1): there the last one turned
    assert math.degrees(first.abs().max()) == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize("wrong", [{"gamma": (1.1, 1.5)}, {"brightness": (0.0, 1.2)}, {"low_resolution": (0.5, 2)}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        AugmentSettings(**wrong)
