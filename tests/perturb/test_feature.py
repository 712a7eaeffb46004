"""Feature perturbation: what is dropped, how the rest is scaled, and when nothing happens."""

import pytest
import torch
from torch import Tensor

from crossmatch.perturb.feature import FeaturePerturbation

SELU_FLOOR = -1.7580993408473766  # -lambda alpha of SELU: the value that alpha dropout puts in
KINDS = ("channel", "alpha", "feature_alpha")
SIZES = {2: (6, 5), 3: (4, 3, 5)}


def _features(dims: int, batch: int = 2, channels: int = 8) -> list[Tensor]:
    """Two levels of standard normal values, none of them 0."""
    drawn = torch.Generator().manual_seed(dims)
    return [
        torch.randn(batch, channels * 2**level, *(n + level for n in SIZES[dims]), generator=drawn)
        for level in range(2)
    ]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("rate", [0.25, 0.75])
def test_whole_channels_are_dropped_and_the_rest_is_scaled(dims, rate):
    torch.manual_seed(0)
    features = _features(dims)
    for before, after in zip(features, FeaturePerturbation("channel", rate)(features), strict=True):
        space = tuple(range(2, before.ndim))
        gone = (after == 0).all(space)
        assert torch.equal(gone, (after == 0).any(space))
        kept = ~gone.view(*gone.shape, *[1] * dims)
        torch.testing.assert_close(after, before / (1 - rate) * kept)
        assert 0 < gone.float().mean() < 1
        assert not torch.equal(gone[0], gone[1])  # each image drops its own


@pytest.mark.parametrize("rate", [0.25, 0.75])
def test_the_share_dropped_is_the_rate(rate):
    torch.manual_seed(0)
    (after,) = FeaturePerturbation("channel", rate)([torch.ones(200, 100, 1, 1)])
    assert (after == 0).float().mean().item() == pytest.approx(rate, abs=0.01)
    assert after.mean().item() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", ["alpha", "feature_alpha"])
@pytest.mark.parametrize("rate", [0.25, 0.75])
@pytest.mark.parametrize("dims", [2, 3])
def test_alpha_kinds_keep_mean_and_variance(kind, rate, dims):
    torch.manual_seed(0)
    level = torch.randn(500, 40, *SIZES[dims], generator=torch.Generator().manual_seed(1))
    (after,) = FeaturePerturbation(kind, rate)([level])
    assert after.mean().item() == pytest.approx(0, abs=0.03)
    assert after.var().item() == pytest.approx(1, abs=0.03)
    scale = ((1 - rate) * (1 + rate * SELU_FLOOR**2)) ** -0.5  # Klambauer et al. 2017, alpha dropout
    kept = scale * (level - rate * SELU_FLOOR)
    dropped = ~torch.isclose(after, kept, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after[dropped], torch.full_like(after[dropped], scale * SELU_FLOOR * (1 - rate)))
    assert dropped.float().mean().item() == pytest.approx(rate, abs=0.02)
    whole = dropped.flatten(2).all(2)
    if kind == "feature_alpha":
        assert whole.float().mean().item() == pytest.approx(rate, abs=0.02)
    else:
        assert whole.float().mean() < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_identity_at_rate_zero_and_in_eval(kind):
    features = _features(2)
    for module in (FeaturePerturbation(kind, 0.0), FeaturePerturbation(kind, 0.75).eval()):
        after = module(features)
        assert len(after) == len(features)
        assert all(torch.equal(a, b) for a, b in zip(after, features, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_eval_of_the_parent_switches_it(kind):
    parent = torch.nn.ModuleList([FeaturePerturbation(kind, 0.5)])
    features = _features(2)
    parent.eval()
    assert torch.equal(parent[0](features)[0], features[0])
    parent.train()
    assert not torch.equal(parent[0](features)[0], features[0])


def test_levels_are_drawn_independently_and_inputs_are_left_alone():
    torch.manual_seed(0)
    level = torch.ones(4, 64, 1, 1)
    first, second = FeaturePerturbation("channel", 0.5)([level, level])
    assert not torch.equal(first == 0, second == 0)
    assert (level == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_and_half_precision_pass(kind):
    features = [level.bfloat16().requires_grad_() for level in _features(2)]
    after = FeaturePerturbation(kind, 0.5)(features)
    assert all(level.dtype == torch.bfloat16 for level in after)
    sum(level.float().sum() for level in after).backward()
    assert all(level.grad is not None and level.grad.isfinite().all() and level.grad.any() for level in features)


def test_bad_settings_name_the_valid_ones():
    with pytest.raises(ValueError, match="channel, alpha, feature_alpha"):
        FeaturePerturbation("gaussian", 0.5)
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"\[0, 1\)"):
            FeaturePerturbation("channel", rate)


def test_it_says_what_it_is():
    assert "kind='channel', rate=0.25" in repr(FeaturePerturbation("channel", 0.25))
