"""What every method must do, in 2D and 3D: the shared tester. A new method is tested by its line in `METHODS`."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from crossmatch.losses import DiceSettings
from crossmatch.methods import METHODS, Batch, Method, Unlabelled
from crossmatch.networks import UNet

SIZES = {2: (16, 12), 3: (8, 12, 6)}
# Settings under which a network that has learned nothing yet is sure enough to teach.
SURE = {"supervised": {}, "crossmatch": {"threshold": 0.3}}
# The first loss, seeded; float32 on a CPU, so only the order of sums may differ from machine to machine.
PINNED = {
    ("supervised", 2): 0.829762,
    ("supervised", 3): 0.823780,
    ("crossmatch", 2): 0.667024,
    ("crossmatch", 3): 0.662774,
}
PINNED_TOLERANCE = 1e-4

every_method = pytest.mark.parametrize(("name", "dims"), list(itertools.product(METHODS, (2, 3))))


def _method(name: str, dims: int, **changes: object) -> Method:
    torch.manual_seed(0)
    network = UNet(dims, 2, 3, channels=(4, 8), dropout=(0.0, 0.0))
    kind, settings = METHODS[name]
    return kind(network, settings(**(SURE.get(name, {}) | changes)), DiceSettings())


def _batch(dims: int, labelled: int = 2, unlabelled: int = 3) -> Batch:
    drawn = torch.Generator().manual_seed(dims)
    size = SIZES[dims]

    def draw() -> Unlabelled:
        weak = torch.rand(unlabelled, 2, *size, generator=drawn)
        strong = torch.rand(unlabelled, 2, 2, *size, generator=drawn)
        return Unlabelled(weak, strong, torch.rand(unlabelled, 2, *size, generator=drawn) < 0.3)

    x = torch.rand(labelled, 2, *size, generator=drawn)
    y = torch.randint(0, 3, (labelled, *size), generator=drawn)
    return Batch(x, y, draw(), draw())


def _loss(method: Method, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return method(batch, torch.tensor(0.5))


def _batch_norms(method: Method) -> Iterator[nn.Module]:
    return (m for m in method.network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d))


@every_method
def test_losses_are_finite_scalars_with_a_total(name, dims):
    method = _method(name, dims)
    batch = _batch(dims)
    terms = _loss(method, batch if method.needs_unlabelled else batch._replace(u=None, mix=None))
    assert "total" in terms
    assert terms["total"].requires_grad
    for value in terms.values():
        assert value.ndim == 0
        assert value.dtype == torch.float32
        assert value.isfinite()


@every_method
def test_the_gradient_reaches_every_parameter(name, dims):
    method = _method(name, dims)
    _loss(method, _batch(dims))["total"].backward()
    for key, parameter in method.network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        if parameter.ndim > 1:  # biases before a batch normalisation have no effect, hence a gradient of 0
            assert parameter.grad.abs().sum() > 0, key


@every_method
def test_a_step_along_the_gradient_lowers_the_total(name, dims):
    """With the same perturbations again; pseudo-labels of a sure threshold may change, so the step is small."""
    method = _method(name, dims)
    batch = _batch(dims)
    before = _loss(method, batch)["total"]
    before.backward()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter -= 1e-3 * parameter.grad
    assert _loss(method, batch)["total"] < before


@every_method
def test_a_seed_fixes_the_loss(name, dims):
    one, again = (_loss(_method(name, dims), _batch(dims)) for _ in range(2))
    assert one.keys() == again.keys()
    assert all(torch.equal(one[key], again[key]) for key in one)


@every_method
def test_the_first_loss_is_pinned(name, dims):
    total = _loss(_method(name, dims), _batch(dims))["total"].item()
    assert total == pytest.approx(PINNED[name, dims], rel=PINNED_TOLERANCE)


@every_method
def test_bfloat16_gives_nearly_the_same_terms_in_float32(name, dims):
    """Rounded logits move the labels of voxels that are nearly tied: terms agree to 0.02, not better."""
    changes = {"weak_rate": 0.0, "strong_rate": 0.0} if name == "crossmatch" else {}  # dropout draws by type
    expected = _loss(_method(name, dims, **changes), _batch(dims))
    method = _method(name, dims, **changes)
    with torch.autocast("cpu", torch.bfloat16):
        terms = _loss(method, _batch(dims))
    for key, value in terms.items():
        assert value.dtype == torch.float32, key
        assert value.item() == pytest.approx(expected[key].item(), abs=0.02), key
    terms["total"].backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in method.network.parameters())


@every_method
def test_the_predictor_segments(name, dims):
    method = _method(name, dims)
    method.after_step()
    predictor = method.predictor().eval()
    assert predictor(torch.rand(1, 2, *SIZES[dims])).shape == (1, 3, *SIZES[dims])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", [name for name, (kind, _) in METHODS.items() if not kind.needs_unlabelled])
def test_methods_without_unlabelled_images_ignore_them(name, dims):
    batch = _batch(dims)
    bare = batch._replace(u=None, mix=None)
    assert torch.equal(_loss(_method(name, dims), batch)["total"], _loss(_method(name, dims), bare)["total"])


@pytest.mark.parametrize("dims", [2, 3])
def test_a_crossmatch_step_moves_batch_statistics_three_times(dims):
    """The lean step: partners, weak and strong views, one pass of the encoder each (the released code: four)."""
    method = _method("crossmatch", dims)
    _loss(method, _batch(dims))
    assert {int(norm.num_batches_tracked) for norm in _batch_norms(method)} == {3}


@pytest.mark.parametrize("dims", [2, 3])
def test_no_gradient_flows_through_the_partners_or_the_pseudo_labels(dims):
    """Above a threshold of 1 nothing unlabelled teaches: the unlabelled images get no gradient either.

    Below it, the strong views do, and the partners' weak view, which only teaches, does not.
    """
    for threshold, learns in ((1.01, False), (0.3, True)):
        batch = _batch(dims)
        assert batch.u is not None
        assert batch.mix is not None
        images = {"u": batch.u.strong, "partner": batch.mix.strong, "teacher": batch.mix.weak}
        for value in images.values():
            value.requires_grad_()
        method = _method("crossmatch", dims, threshold=threshold)
        _loss(method, batch)["total"].backward()
        assert batch.mix.weak.grad is None
        for key in ("u", "partner"):
            gradient = images[key].grad
            assert (gradient is not None and bool(gradient.any())) is learns, key


@pytest.mark.parametrize("dims", [2, 3])
def test_partners_appear_in_the_strong_views_inside_their_boxes_alone(dims):
    """The gradient of the loss with regard to the images shows where each was looked at."""
    batch = _batch(dims)
    assert batch.u is not None
    assert batch.mix is not None
    batch.u.strong.requires_grad_()
    batch.mix.strong.requires_grad_()
    _loss(_method("crossmatch", dims), batch)["total"].backward()
    box = batch.u.box.unsqueeze(2)
    assert batch.u.strong.grad is not None
    assert batch.mix.strong.grad is not None
    assert not (batch.u.strong.grad * box).any()
    assert not (batch.mix.strong.grad * ~box).any()
    for i in (0, 1):
        assert batch.u.strong.grad[:, i].any()
        assert batch.mix.strong.grad[:, i].any()


def test_eval_switches_every_perturbation_off():
    """In `eval()` weak, strong and clean decodings are one, so both distillations reduce to the clean terms."""
    method = _method("crossmatch", 2).eval()
    terms = _loss(method, _batch(2))
    torch.testing.assert_close(terms["tkd_ww"], terms["tkd_ws"])
    torch.testing.assert_close(terms["tkd_sw"], terms["ip2"])
    torch.testing.assert_close(terms["dkd_w"], terms["ip2"])
    method.train()
    terms = _loss(method, _batch(2))
    assert terms["tkd_ww"] != terms["tkd_ws"]


@pytest.mark.parametrize("kind", ["channel", "alpha", "feature_alpha"])
def test_every_kind_of_feature_perturbation_trains(kind):
    method = _method("crossmatch", 2, perturbation=kind)
    terms = _loss(method, _batch(2))
    terms["total"].backward()
    assert all(value.isfinite() for value in terms.values())
    assert (terms["tkd_ws"] - terms["tkd_ww"]).abs() > 0
