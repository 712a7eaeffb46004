"""URPC: the consistency by hand and as a plain computation, its heads, and how their features are perturbed."""

import math

import numpy as np
import pytest
import torch
from tiny_methods import SIZES, build, first_loss, noise

from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.urpc import URPC, URPCSettings, noisy, pyramid_consistency, thinned, without_peaks
from crossmatch.networks import UNet
from crossmatch.networks.unet import UNetSettings
from crossmatch.recipes.load import load_recipe

both_ranks = pytest.mark.parametrize("dims", [2, 3])


def test_consistency_by_hand():
    """One voxel, two classes, two scales: (0.8, 0.2) and (0.4, 0.6), mean (0.6, 0.4).

    The exponential weights cancel where there is one voxel: what is left is the squares' mean, 0.04 for both scales.
    """
    scales = torch.tensor([[0.8, 0.2], [0.4, 0.6]]).log().view(2, 1, 2, 1, 1)
    first = 0.6 * math.log(0.6 / 0.8) + 0.4 * math.log(0.4 / 0.2)
    second = 0.6 * math.log(0.6 / 0.4) + 0.4 * math.log(0.4 / 0.6)
    consistency, divergence = pyramid_consistency(scales)
    assert divergence.item() == pytest.approx((first + second) / 2, abs=1e-6)
    assert consistency.item() == pytest.approx(0.04 + (first + second) / 2, abs=1e-6)


@both_ranks
def test_consistency_as_a_plain_computation(dims):
    """Over voxels that are more and less certain, in double precision."""
    scales = 2 * torch.randn(4, 2, 3, *[3, 4, 5][:dims], generator=torch.Generator().manual_seed(dims))
    z = scales.double().numpy()
    p = np.exp(z) / np.exp(z).sum(2, keepdims=True)
    mean = p.mean(0)
    expected, divergences = 0.0, 0.0
    for q in p:
        d = (mean * np.log(mean / q)).sum(1, keepdims=True)
        certain = np.exp(-d)
        expected += (((mean - q) ** 2 * certain).mean() / (certain.mean() + 1e-8) + d.mean()) / 4
        divergences += d.mean() / 4
    consistency, divergence = pyramid_consistency(scales)
    assert consistency.item() == pytest.approx(expected, rel=1e-5)
    assert divergence.item() == pytest.approx(divergences, rel=1e-5)


def test_scales_that_agree_are_consistent_and_sure_ones_stay_finite():
    same = torch.randn(1, 2, 3, 4, 4).expand(4, -1, -1, -1, -1)
    assert pyramid_consistency(same)[0].item() == pytest.approx(0, abs=1e-6)
    opposite = torch.tensor([[300.0, 0.0], [0.0, 300.0]]).view(2, 1, 2, 1, 1).requires_grad_()
    loss, _ = pyramid_consistency(opposite)
    loss.backward()
    assert loss.isfinite()
    assert opposite.grad.isfinite().all()


def test_the_consistency_teaches_every_scale():
    """As released, nothing is detached: the gradient is that of finite differences, through the mean too."""
    scales = torch.randn(3, 1, 2, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    pyramid_consistency(scales)[0].backward()
    assert all(gradient.any() for gradient in scales.grad)
    step = torch.zeros_like(scales)
    step[1, 0, 0, 1, 1] = 1e-2
    with torch.no_grad():
        slope = (pyramid_consistency(scales + step)[0] - pyramid_consistency(scales - step)[0]) / 2e-2
    assert scales.grad[1, 0, 0, 1, 1].item() == pytest.approx(slope.item(), rel=1e-2)


@both_ranks
@pytest.mark.parametrize("enlarging", ["nearest", "linear"])
def test_the_pyramid_of_a_network_scale_by_scale(dims, enlarging):
    """In `eval()`: the finest scale is the network itself; the others are heads on its decoder's features, enlarged."""
    method, batch = build("urpc", dims, "vnet", enlarging=enlarging).eval(), noise(dims, "vnet")
    scales = method.pyramid(batch.x)
    size = SIZES["vnet", dims]
    assert scales.shape == (4, 2, 3, *size)
    torch.testing.assert_close(scales[0], method.network(batch.x))
    features = method.network.decoder(method.network.encode(batch.x))
    for level in (1, 2, 3):
        coarse = method.heads[level - 1](features[level])
        assert coarse.shape[2:] == tuple(n // 2**level for n in size)
        expected = coarse.detach().numpy()
        for axis in range(2, dims + 2):
            expected = enlarged(expected, axis, 2**level, enlarging)
        torch.testing.assert_close(scales[level], torch.from_numpy(expected))


def enlarged(values: np.ndarray, axis: int, factor: int, how: str) -> np.ndarray:
    """One axis `factor` times as long; a voxel's value is that of its middle, as released in 2D and in 3D."""
    if how == "nearest":
        return values.repeat(factor, axis)
    coarse = np.arange(values.shape[axis])
    fine = (np.arange(factor * len(coarse)) + 0.5) / factor - 0.5  # beyond the outer middles: constant
    return np.apply_along_axis(lambda line: np.interp(fine, coarse, line), axis, values).astype(np.float32)


def test_the_published_recipes_enlarge_as_released():
    kept = {name: load_recipe(name, ["method.name=urpc"]).method.settings.enlarging for name in ("acdc_3", "la_8")}
    assert kept == {"acdc_3": "nearest", "la_8": "linear"}


@both_ranks
def test_the_terms_are_those_of_the_pyramid(dims):
    method, batch = build("urpc", dims, "vnet", unlabelled_weight=0.1).eval(), noise(dims, "vnet")
    terms = first_loss(method, batch)
    sup = sum(supervised_loss(scale, batch.y, DiceSettings()) for scale in method.pyramid(batch.x)) / 4
    consistency, _ = pyramid_consistency(method.pyramid(batch.u.weak))
    torch.testing.assert_close(terms["sup"], sup)
    torch.testing.assert_close(terms["consistency"], consistency)
    torch.testing.assert_close(terms["total"], sup + 0.1 * math.exp(-1.25) * consistency)
    assert not terms["divergence"].requires_grad


@both_ranks
@pytest.mark.parametrize("term", ["sup", "consistency"])
def test_every_head_and_the_network_learn_from_both_terms_and_the_weak_view_alone(dims, term):
    method, batch = build("urpc", dims, "vnet").eval(), noise(dims, "vnet")
    images = {"x": batch.x, "weak": batch.u.weak, "strong": batch.u.strong, "partner": batch.mix.weak}
    for image in images.values():
        image.requires_grad_()
    first_loss(method, batch)[term].backward()
    for head in (method.network.head, *method.heads):
        assert head.weight.grad.any()
    looked_at = {name for name, image in images.items() if image.grad is not None and image.grad.any()}
    assert looked_at == {"x" if term == "sup" else "weak"}


def test_heads_are_the_methods_and_at_most_three():
    for levels, heads in ((2, 0), (3, 1), (5, 3), (6, 3)):
        network = UNet(2, 1, 3, UNetSettings(width=2, dropout=[0.0] * levels))
        method = URPC(network, URPCSettings(), DiceSettings())
        assert len(method.heads) == heads
        assert [head.in_channels for head in method.heads] == [4, 8, 16][:heads]
        assert method.predictor() is network
        assert not any("heads" in name for name in network.state_dict())
    size = 2**4
    method = URPC(UNet(2, 1, 3, UNetSettings(width=2, dropout=[0.0] * 5)), URPCSettings(), DiceSettings())
    assert method.pyramid(torch.rand(2, 1, 2 * size, size)).shape == (4, 2, 3, 2 * size, size)


@both_ranks
def test_features_are_perturbed_in_train_mode_alone(dims):
    method, batch = build("urpc", dims, "vnet"), noise(dims, "vnet")
    one, two = method.pyramid(batch.x), method.pyramid(batch.x)
    assert torch.equal(one[0], two[0])  # nothing comes before the network's own head
    assert not any(torch.equal(a, b) for a, b in zip(one[1:], two[1:], strict=True))
    method.eval()
    assert torch.equal(method.pyramid(batch.x), method.pyramid(batch.x))


@both_ranks
def test_noise_is_a_factor_that_images_share(dims):
    ones = torch.ones(3, 4, *[6, 7, 5][:dims])
    factor = noisy(ones)
    assert torch.equal(factor[0], factor[1])
    assert 0.7 <= factor.min() < 0.75
    assert 1.25 < factor.max() <= 1.3
    assert noisy(ones.bfloat16()).dtype == torch.bfloat16


@both_ranks
def test_peaks_of_each_image_are_cut(dims):
    """Channel means 1, 0.5 and 0.95 of the maximum: whatever is drawn from 0.7 to 0.9, the first and last go."""
    size = (3, *[1] * (dims - 1))
    image = torch.tensor([[2.0, 1.0, 1.9], [0.0, 0.0, 0.0]]).view(1, 2, *size)
    both = torch.cat([image, 10 * image])
    expected = both * torch.tensor([0.0, 1.0, 0.0]).view(1, 1, *size)
    assert all(torch.equal(without_peaks(both), expected) for _ in range(20))
    between = torch.tensor([[1.0, 0.8]]).view(1, 1, 2, *[1] * (dims - 1))
    assert {round(without_peaks(between).sum().item(), 4) for _ in range(40)} == {0.0, 0.8}


def test_half_of_the_elements_is_dropped_and_the_rest_doubled():
    dropped = thinned(torch.ones(2, 50, 10, 10))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("warm_up", "progress", "share"), [(1.0, 0.0, math.exp(-5)), (0.5, 0.5, 1), (0.0, 0.0, 1)])
def test_the_weight_at_the_ends_of_its_schedule(warm_up, progress, share):
    method = build("urpc", 2, "vnet", warm_up=warm_up, unlabelled_weight=20.0)
    terms = method(noise(2, "vnet"), torch.tensor(progress))
    assert ((terms["total"] - terms["sup"]) / terms["consistency"]).item() == pytest.approx(20 * share, rel=1e-3)


def test_the_defaults_are_the_released_constants():
    assert URPCSettings() == URPCSettings(unlabelled_weight=0.1, warm_up=1.0)
