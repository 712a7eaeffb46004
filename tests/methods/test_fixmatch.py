"""FixMatch: its cross entropy by hand, its loss computed plainly, which views it looks at, where gradients go."""

import math

import pytest
import torch
from tiny_methods import build, first_loss, noise
from torch import Tensor, nn
from torch.nn import functional

from crossmatch.batches.batch import Batch
from crossmatch.methods import Method
from crossmatch.methods.fixmatch import masked_entropy
from crossmatch.methods.losses import supervised_loss
from crossmatch.methods.pseudo import Lesson, Target, lesson


def test_the_cross_entropy_of_unsure_voxels_counts_in_the_denominator_alone():
    """The student gives 1/4 to the label of the first voxel; the second does not count: ln(4) / 2."""
    logits = torch.tensor([[[[3.0, 1.0]], [[1.0, 9.0]]]]).log()
    taught = lesson(Target(torch.tensor([[[1, 0]]]), torch.tensor([[[0.96, 0.94]]])), 2, 0.95)
    assert masked_entropy(logits, taught).item() == pytest.approx(math.log(4) / 2)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_cross_entropy_is_pytorchs_times_the_mask(dims):
    size = (2, 5, 4, 3)[: dims + 1]
    logits, label, confidence = torch.randn(2, 3, *size[1:]), torch.randint(0, 3, size), torch.rand(size)
    taught = lesson(Target(label, confidence), 3, 0.6)
    expected = (functional.cross_entropy(logits, label, reduction="none") * (confidence >= 0.6)).sum() / label.numel()
    torch.testing.assert_close(masked_entropy(logits, taught), expected)
    nothing = Lesson(torch.zeros(2, 3, *size[1:]), torch.zeros(2, 1, *size[1:]))
    assert masked_entropy(logits, nothing).item() == 0


def _plain(method: Method, batch: Batch, threshold: float) -> dict[str, Tensor]:
    """The terms without CutMix of labels: each image is looked at alone, which gives the same in `eval()` only."""
    assert batch.u is not None
    assert batch.mix is not None
    box = batch.u.box[:, 0]
    with torch.no_grad():
        weak, partner = (method.network(view.weak).softmax(1) for view in (batch.u, batch.mix))
        mixed = torch.where(box.unsqueeze(1), batch.mix.strong[:, 0], batch.u.strong[:, 0])
        student = method.network(mixed).log_softmax(1)
        teacher = torch.where(box.unsqueeze(1), partner, weak)
        confidence, label = teacher.max(1)
        entropy = -student.gather(1, label.unsqueeze(1)).squeeze(1)
        sup = supervised_loss(method.network(batch.x), batch.y, method.dice)
    strong = entropy[confidence >= threshold].sum() / confidence.numel()
    sure = weak.max(1).values >= threshold
    shares = {"confident": sure.float().mean(), "pseudo_foreground": weak.argmax(1)[sure].bool().float().mean()}
    return {"total": (sup + strong) / 2, "sup": sup, "strong": strong, **shares}


@pytest.mark.parametrize("dims", [2, 3])
def test_every_term_computed_plainly(dims):
    """At the median of what the untrained network is sure of: some voxels count, some do not."""
    method, batch = build("fixmatch", dims).eval(), noise(dims)
    assert batch.u is not None
    threshold = method.network(batch.u.weak).softmax(1).max(1).values.median().item()
    method = build("fixmatch", dims, threshold=threshold).eval()
    terms, expected = first_loss(method, batch), _plain(method, batch, threshold)
    assert 0.4 < expected["confident"] < 0.6
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=f"{name}: {{}}".format)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_first_strong_view_alone_learns(dims):
    """In `eval()` images do not meet in a normalisation: gradients show which were looked at."""
    batch = noise(dims)
    assert batch.u is not None
    assert batch.mix is not None
    images = (batch.u.weak, batch.u.strong, batch.mix.weak, batch.mix.strong)
    for image in images:
        image.requires_grad_()
    method = build("fixmatch", dims).eval()
    terms = first_loss(method, batch)
    terms["total"].backward()
    assert not batch.u.weak.grad.any()  # it teaches
    assert batch.mix.weak.grad is None
    box = batch.u.box[:, :1].unsqueeze(2)
    for strong, learns in ((batch.u.strong.grad, ~box), (batch.mix.strong.grad, box)):
        assert strong[:, :1].any()
        assert not (strong[:, :1] * ~learns).any()
        assert not strong[:, 1].any()
    assert not terms["confident"].requires_grad


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("term", ["sup", "strong"])
def test_the_network_learns_from_each_term(dims, term):
    method = build("fixmatch", dims)
    first_loss(method, noise(dims))[term].backward()
    assert all(weight.grad.any() for weight in method.network.parameters() if weight.ndim > 1)


def test_above_a_threshold_of_one_half_the_supervised_term_is_left():
    method = build("fixmatch", 2, threshold=1.01)
    terms = first_loss(method, noise(2))
    assert terms["strong"].item() == terms["confident"].item() == 0
    torch.testing.assert_close(terms["total"], terms["sup"] / 2)


def test_the_weight_of_the_strong_view_and_its_warm_up():
    """exp(-5) of it at the first step, all of it after the warm-up; without one, all of it from the start."""
    for warm_up, progress, factor in ((0.4, 0.0, math.exp(-5)), (0.4, 0.4, 1.0), (0.0, 0.0, 1.0)):
        torch.manual_seed(0)
        terms = build("fixmatch", 2, warm_up=warm_up, unlabelled_weight=3.0)(noise(2), torch.tensor(progress))
        torch.testing.assert_close(terms["total"], (terms["sup"] + 3 * factor * terms["strong"]) / 2)


def test_partners_do_not_move_batch_statistics():
    """Two passes in `train()`: labelled with weak, and strong; the partners' is in `eval()`."""
    method = build("fixmatch", 2)
    first_loss(method, noise(2))
    assert {int(m.num_batches_tracked) for m in method.network.modules() if isinstance(m, nn.BatchNorm2d)} == {2}
    assert method.network.training
