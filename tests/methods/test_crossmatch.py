"""CrossMatch as a method: its passes, which logits reach the objective, and where gradients go."""

from collections.abc import Iterator

import pytest
import torch
from tiny_methods import build, first_loss, noise
from torch import Tensor, nn

from crossmatch.batches.batch import Batch
from crossmatch.methods import Method
from crossmatch.methods import crossmatch as crossmatch_module
from crossmatch.methods.crossmatch import objective


def _batch_norms(method: Method) -> Iterator[nn.Module]:
    return (m for m in method.network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("grouping", "passes"), [("lean", 3), ("released", 4)])
def test_batch_statistics_move_once_in_each_pass(dims, grouping, passes):
    """The lean step: partners, weak and strong views, one pass of the encoder each. The released code has four."""
    method = build("crossmatch", dims, grouping=grouping)
    first_loss(method, noise(dims))
    assert {int(norm.num_batches_tracked) for norm in _batch_norms(method)} == {passes}


@pytest.mark.parametrize("dims", [2, 3])
def test_the_released_grouping_differs_by_batch_statistics_alone(dims, monkeypatch):
    """In `eval()` both groupings give the objective the same logits; in training the partners' differ."""
    for training in (False, True):
        methods = [build("crossmatch", dims, grouping=grouping) for grouping in ("lean", "released")]
        lean, released = (_streams(method.train(training), noise(dims), monkeypatch) for method in methods)
        same = [torch.allclose(lean[name], released[name], rtol=1e-4, atol=1e-5) for name in lean if "mix" in name]
        assert all(same) is not training


def test_the_released_grouping_passes_labelled_images_beside_the_partners(monkeypatch):
    method, batch = build("crossmatch", 2, grouping="released"), noise(2)
    assert batch.mix is not None
    seen: list[Tensor] = []
    encode = method.network.encode
    monkeypatch.setattr(method.network, "encode", lambda x: (seen.append(x), encode(x))[1])
    first_loss(method, batch)
    torch.testing.assert_close(seen[0], batch.mix.weak)
    torch.testing.assert_close(seen[1], torch.cat([batch.x, batch.mix.weak]))
    assert len(seen) == 4


@pytest.mark.parametrize("dims", [2, 3])
def test_no_gradient_flows_through_the_partners_or_the_pseudo_labels(dims):
    """Above a threshold of 1 nothing unlabelled teaches: the unlabelled images get no gradient either.

    Below it, the strong views do, and the partners' weak view, which only teaches, does not.
    """
    for threshold, learns in ((1.01, False), (0.3, True)):
        batch = noise(dims)
        assert batch.u is not None
        assert batch.mix is not None
        images = {"u": batch.u.strong, "partner": batch.mix.strong, "teacher": batch.mix.weak}
        for value in images.values():
            value.requires_grad_()
        method = build("crossmatch", dims, threshold=threshold)
        first_loss(method, batch)["total"].backward()
        assert batch.mix.weak.grad is None
        for key in ("u", "partner"):
            gradient = images[key].grad
            assert (gradient is not None and bool(gradient.any())) is learns, key


@pytest.mark.parametrize("dims", [2, 3])
def test_partners_appear_in_the_strong_views_inside_their_boxes_alone(dims):
    """The gradient of the loss with regard to the images shows where each was looked at."""
    batch = noise(dims)
    assert batch.u is not None
    assert batch.mix is not None
    batch.u.strong.requires_grad_()
    batch.mix.strong.requires_grad_()
    first_loss(build("crossmatch", dims), batch)["total"].backward()
    box = batch.u.box.unsqueeze(2)
    assert batch.u.strong.grad is not None
    assert batch.mix.strong.grad is not None
    assert not (batch.u.strong.grad * box).any()
    assert not (batch.mix.strong.grad * ~box).any()
    for i in (0, 1):
        assert batch.u.strong.grad[:, i].any()
        assert batch.mix.strong.grad[:, i].any()


def _streams(method: Method, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The logits that the objective is given, named as in the golden files."""
    seen: dict[str, Tensor] = {}

    def watch(x, y, weak, strong1, strong2, partner, *rest, **more):
        seen.update(x=x, s1_n=strong1)
        for view, decodings in (("w", weak), ("s2", strong2), ("mix", partner)):
            seen.update({f"{view}_{field[0]}": getattr(decodings, field) for field in decodings._fields})
        return objective(x, y, weak, strong1, strong2, partner, *rest, **more)

    monkeypatch.setattr(crossmatch_module, "objective", watch)
    first_loss(method, batch)
    return {name.replace("_c", "_n"): value.detach() for name, value in seen.items()}


@pytest.mark.parametrize("dims", [2, 3])
def test_each_stream_is_the_network_on_its_own_images(dims, monkeypatch):
    """In `eval()` nothing is drawn: what the objective is given can be computed image by image."""
    method, batch = build("crossmatch", dims).eval(), noise(dims)
    assert batch.u is not None
    assert batch.mix is not None
    streams = _streams(method, batch, monkeypatch)
    strong = torch.where(batch.u.box.unsqueeze(2), batch.mix.strong, batch.u.strong)
    images = {"x": batch.x, "w_n": batch.u.weak, "mix_n": batch.mix.weak, "s1_n": strong[:, 0], "s2_n": strong[:, 1]}
    with torch.no_grad():
        for name, image in images.items():
            torch.testing.assert_close(streams[name], method.network(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_weak_rate_is_for_the_weak_views_and_the_strong_for_the_strong(dims, monkeypatch):
    """A view of rate 0 equals the clean one, the other does not."""
    for still, moved in (("weak", "strong"), ("strong", "weak")):
        method = build("crossmatch", dims, **{f"{still}_rate": 0.0, f"{moved}_rate": 0.75})
        streams = _streams(method, noise(dims), monkeypatch)
        for view in ("w", "s2", "mix"):
            torch.testing.assert_close(streams[f"{view}_{still[0]}"], streams[f"{view}_n"], rtol=1e-4, atol=1e-5)
            assert (streams[f"{view}_{moved[0]}"] - streams[f"{view}_n"]).abs().max() > 0.01


def test_the_partners_are_encoded_without_gradient(monkeypatch):
    method = build("crossmatch", 2)
    encode, enabled = method.network.encode, []
    monkeypatch.setattr(method.network, "encode", lambda x: (enabled.append(torch.is_grad_enabled()), encode(x))[1])
    first_loss(method, noise(2))
    assert enabled == [False, True, True]


def test_eval_switches_every_perturbation_off():
    """In `eval()` weak, strong and clean decodings are one, so both distillations reduce to the clean terms."""
    method = build("crossmatch", 2).eval()
    terms = first_loss(method, noise(2))
    torch.testing.assert_close(terms["tkd_ww"], terms["tkd_ws"])
    torch.testing.assert_close(terms["tkd_sw"], terms["ip2"])
    torch.testing.assert_close(terms["dkd_w"], terms["ip2"])
    method.train()
    terms = first_loss(method, noise(2))
    assert terms["tkd_ww"] != terms["tkd_ws"]


@pytest.mark.parametrize("kind", ["channel", "alpha", "feature_alpha"])
def test_every_kind_of_feature_perturbation_trains(kind):
    method = build("crossmatch", 2, perturbation=kind)
    terms = first_loss(method, noise(2))
    terms["total"].backward()
    assert all(value.isfinite() for value in terms.values())
    assert (terms["tkd_ws"] - terms["tkd_ww"]).abs() > 0
