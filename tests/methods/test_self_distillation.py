"""Self-distillation: the term plainly, its schedule, and which view teaches which."""

import math

import pytest
import torch
from tiny_methods import build, first_loss, noise

from crossmatch.methods.losses import DiceSettings, supervised_loss

both_ranks = pytest.mark.parametrize("dims", [2, 3])


@both_ranks
def test_every_term_as_a_plain_computation(dims):
    method, batch = build("self_distillation", dims, temperature=3.0), noise(dims)
    terms = first_loss(method, batch)
    images = torch.cat([batch.x, batch.u.weak, batch.u.strong[:, 0]])
    x, w, s = method.network(images).detach().double().split([2, 3, 3])
    teacher, student = (w / 3).softmax(1), (s / 3).softmax(1)
    distil = 9 * (teacher * (teacher / student).log()).sum(1).mean()
    assert terms["distil"].item() == pytest.approx(distil.item(), rel=1e-4)
    sup = supervised_loss(x, batch.y, DiceSettings())
    assert terms["sup"].item() == pytest.approx(sup.item(), rel=1e-5)
    assert terms["total"].item() == pytest.approx((sup + math.exp(-1.25) * distil).item(), rel=1e-5)
    assert terms.keys() == {"total", "sup", "distil"}


@both_ranks
def test_the_weak_view_teaches_the_first_strong_view_and_learns_nothing(dims):
    """In `eval()` images do not share statistics, so that the gradient shows who learned."""
    method, batch = build("self_distillation", dims).eval(), noise(dims)
    for image in (batch.u.weak, batch.u.strong, batch.mix.weak, batch.mix.strong):
        image.requires_grad_()
    first_loss(method, batch)["distil"].backward()
    assert not batch.u.weak.grad.any()
    assert batch.u.strong.grad[:, 0].any()
    assert not batch.u.strong.grad[:, 1].any()
    assert batch.mix.weak.grad is None
    assert batch.mix.strong.grad is None
    assert method.network.head.weight.grad.any()


@both_ranks
def test_equal_views_teach_nothing(dims):
    batch = noise(dims)
    same = batch._replace(u=batch.u._replace(strong=batch.u.weak.unsqueeze(1).expand(-1, 2, *[-1] * (dims + 1))))
    for chosen, learns in ((batch, True), (same, False)):
        method = build("self_distillation", dims)
        terms = first_loss(method, chosen)
        terms["distil"].backward()
        assert (terms["distil"] > 1e-3).item() is learns
        assert (method.network.head.weight.grad.abs().max() > 1e-4).item() is learns


@pytest.mark.parametrize(("warm_up", "progress", "share"), [(1.0, 0.0, math.exp(-5)), (0.5, 0.5, 1), (0.0, 0.0, 1)])
def test_the_weight_at_the_ends_of_its_schedule(warm_up, progress, share):
    terms = build("self_distillation", 2, warm_up=warm_up, unlabelled_weight=20.0)(noise(2), torch.tensor(progress))
    assert ((terms["total"] - terms["sup"]) / terms["distil"]).item() == pytest.approx(20 * share, rel=1e-3)
