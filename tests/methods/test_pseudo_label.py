"""Pseudo-labels: the term by hand and plainly, what counts, and what gets a gradient."""

import math

import pytest
import torch
from tiny_methods import build, first_loss, noise
from torch import Tensor

from crossmatch.batches.batch import Batch, Unlabelled
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.pseudo_label import PseudoLabel, PseudoLabelSettings
from crossmatch.networks import Segmenter
from untrained import AnySize

both_ranks = pytest.mark.parametrize("dims", [2, 3])


class _Given(Segmenter):
    """Its images are its logits."""

    def __init__(self) -> None:
        super().__init__(2, 2, 2, AnySize())

    def forward(self, x: Tensor) -> Tensor:
        return x


@both_ranks
def test_the_loss_by_hand(dims):
    """Two voxels with probabilities (0.9, 0.1) and (0.4, 0.6): labels 0 and 1; only the first reaches 0.8."""
    size = (2, *[1] * (dims - 1))
    logits = torch.tensor([[0.9, 0.4], [0.1, 0.6]]).log().view(1, 2, *size).requires_grad_()
    labels = torch.zeros(1, *size, dtype=torch.int64)
    views = Unlabelled(logits, torch.stack([logits, logits], 1), labels.bool().unsqueeze(1))
    batch = Batch(logits.detach(), labels, views, views)
    method = PseudoLabel(_Given(), PseudoLabelSettings(threshold=0.8, warm_up=0.0), DiceSettings())
    terms = method(batch, torch.tensor(0.0))
    assert terms["pseudo"].item() == pytest.approx(-math.log(0.9) / 2)  # the mean is of both voxels
    assert terms["confident"].item() == 0.5
    assert terms["pseudo_foreground"].item() == 0
    assert not terms["confident"].requires_grad
    assert terms["total"].item() == pytest.approx(terms["sup"].item() + 3 * -math.log(0.9) / 2)
    terms["pseudo"].backward()
    # softmax minus label, over two voxels; none through the label or the mask, none where the voxel does not count
    expected = torch.tensor([[-0.1, 0.0], [0.1, 0.0]]) / 2
    torch.testing.assert_close(logits.grad.view(2, 2), expected, rtol=1e-5, atol=1e-7)


@both_ranks
def test_every_term_as_a_plain_computation(dims):
    method, batch = build("pseudo_label", dims, threshold=0.4), noise(dims)
    terms = first_loss(method, batch)
    z = method.network(torch.cat([batch.x, batch.u.weak])).detach()  # train mode: the statistics of this very batch
    confidence, label = z[2:].softmax(1).max(1)
    picked = z[2:].log_softmax(1).gather(1, label.unsqueeze(1)).squeeze(1)
    sure = confidence >= 0.4
    assert 0.05 < sure.float().mean() < 0.95
    pseudo = -picked[sure].sum() / sure.numel()
    torch.testing.assert_close(terms["pseudo"].detach(), pseudo)
    torch.testing.assert_close(terms["confident"], sure.float().mean())
    sup = supervised_loss(z[:2], batch.y, DiceSettings())
    torch.testing.assert_close(terms["sup"].detach(), sup)
    torch.testing.assert_close(terms["total"].detach(), sup + 3 * math.exp(-1.25) * pseudo)


@pytest.mark.parametrize(("warm_up", "progress", "share"), [(1.0, 0.0, math.exp(-5)), (0.5, 0.5, 1), (0.0, 0.0, 1)])
def test_the_weight_at_the_ends_of_its_schedule(warm_up, progress, share):
    terms = build("pseudo_label", 2, warm_up=warm_up, unlabelled_weight=2.0)(noise(2), torch.tensor(progress))
    assert ((terms["total"] - terms["sup"]) / terms["pseudo"]).item() == pytest.approx(2 * share, rel=1e-3)


@both_ranks
def test_only_the_weak_view_is_looked_at_and_only_sure_voxels_teach(dims):
    for threshold, learns in ((0.3, True), (1.01, False)):
        batch = noise(dims)
        for image in (batch.u.weak, batch.u.strong, batch.mix.weak):
            image.requires_grad_()
        method = build("pseudo_label", dims, threshold=threshold)
        first_loss(method, batch)["pseudo"].backward()
        assert batch.u.strong.grad is None
        assert batch.mix.weak.grad is None
        assert bool(batch.u.weak.grad.any()) is learns
        assert bool(method.network.head.weight.grad.any()) is learns
