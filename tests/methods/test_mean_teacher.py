"""Mean Teacher: the consistency as a plain computation, the noise, who learns, and how the teacher follows."""

import copy
import math

import numpy as np
import pytest
import torch
from tiny_methods import build, first_loss, noise

from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.mean_teacher import MeanTeacher

PUBLISHED = {"unlabelled_weight": 0.1}
both_ranks = pytest.mark.parametrize("dims", [2, 3])


def _fill(network: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)


def _apart(dims: int) -> MeanTeacher:
    """A method whose teacher has other weights than its student."""
    method = build("mean_teacher", dims, **PUBLISHED)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in method.teacher.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return method


@both_ranks
def test_every_term_as_a_plain_computation(dims):
    method, batch = _apart(dims), noise(dims)
    student, teacher = copy.deepcopy(method.network), copy.deepcopy(method.teacher.network)
    terms = first_loss(method, batch)
    torch.manual_seed(0)
    drawn = torch.randn(batch.u.weak.shape).numpy()
    noisy = batch.u.weak + torch.from_numpy(np.clip(0.1 * drawn, -0.2, 0.2))
    logits = student(torch.cat([batch.x, batch.u.weak]))
    p, taught = logits[2:].softmax(1).detach().numpy(), teacher(noisy).softmax(1).detach().numpy()
    assert terms["consistency"].item() == pytest.approx(np.mean((p - taught) ** 2), rel=1e-5)
    torch.testing.assert_close(terms["sup"], supervised_loss(logits[:2], batch.y, DiceSettings()))
    weight = 0.1 * math.exp(-5 * 0.5**2)  # half-way through the run
    assert terms["weight"].item() == pytest.approx(weight)
    torch.testing.assert_close(terms["total"], terms["sup"] + weight * terms["consistency"])
    assert terms.keys() == {"sup", "consistency", "weight", "total"}


def test_the_weight_at_the_ends_of_its_schedule():
    for warm_up, progress, expected in (
        (1.0, 0.0, 0.1 * math.exp(-5)),
        (1.0, 1.0, 0.1),
        (0.5, 0.5, 0.1),
        (0.0, 0.0, 0.1),
    ):
        method = build("mean_teacher", 2, **PUBLISHED, warm_up=warm_up)
        assert method(noise(2), torch.tensor(progress))["weight"].item() == pytest.approx(expected)


@both_ranks
def test_the_teacher_alone_sees_noise_and_both_see_weak_views_alone(dims):
    method, batch, seen = build("mean_teacher", dims), noise(dims), {}
    for name, network in (("student", method.network), ("teacher", method.teacher.network)):
        network.register_forward_pre_hook(lambda _, images, name=name: seen.update({name: images[0]}))
    first_loss(method, batch)
    assert torch.equal(seen["student"], torch.cat([batch.x, batch.u.weak]))
    drawn = seen["teacher"] - batch.u.weak
    assert drawn.abs().max().item() == pytest.approx(0.2, abs=1e-6)
    assert (drawn.abs() > 0.2 - 1e-6).float().mean().item() == pytest.approx(0.0455, abs=0.02)  # beyond 2 sigma
    assert drawn.std().item() == pytest.approx(0.096, abs=0.005)  # of a normal of 0.1, clipped at 2 sigma


@both_ranks
def test_the_student_learns_from_each_term_and_the_teacher_from_none(dims):
    method, batch = _apart(dims), noise(dims)
    terms = first_loss(method, batch)
    for name in ("sup", "consistency"):
        gradients = torch.autograd.grad(terms[name], list(method.network.parameters()), retain_graph=True)
        assert all(gradient.any() for gradient in gradients if gradient.ndim > 1), name
    terms["total"].backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    assert not terms["weight"].requires_grad
    assert not method.teach(batch.u.weak.requires_grad_()).requires_grad


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 2.0), (1, 1.5), (9, 1.1), (98, 1 + 1 / 99), (99, 1.01), (29_999, 1.01)],
)
def test_the_share_of_the_student_in_the_teacher(step, expected):
    """min(1 - 1 / (step + 1), 0.99) of the teacher, at 1, is kept; the student is at 2."""
    method = build("mean_teacher", 2)
    _fill(method.teacher, 1.0)
    _fill(method.network, 2.0)
    method.before_step(step, 30_000)
    method.after_step()
    for parameter in method.teacher.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, expected), rtol=1e-6, atol=0)
    assert all((parameter == 2).all() for parameter in method.network.parameters())


def test_another_decay():
    method = build("mean_teacher", 2, decay=0.75)
    _fill(method.teacher, 1.0)
    _fill(method.network, 2.0)
    method.before_step(1000, 2000)
    method.after_step()
    assert all(torch.allclose(parameter, torch.tensor(1.25)) for parameter in method.teacher.parameters())


@both_ranks
def test_batch_statistics_are_the_students(dims):
    method = build("mean_teacher", dims)
    first_loss(method, noise(dims))
    name = "encoder.blocks.0.1.running_mean"
    ours, theirs = (dict(network.named_buffers())[name] for network in (method.network, method.teacher.network))
    assert not torch.equal(ours, theirs)
    method.after_step()
    assert ours.any()
    assert torch.equal(ours, theirs)


def test_the_predictor_is_the_teacher():
    method = build("mean_teacher", 2)
    assert method.predictor() is method.teacher.network
    assert method.predictor() is not method.network


def test_a_resumed_method_goes_on_as_the_first_would():
    first, again = _apart(2), build("mean_teacher", 2, **PUBLISHED)
    again.load_state_dict(first.state_dict())
    for method in (first, again):
        method.before_step(3, 10)
        first_loss(method, noise(2))
        method.after_step()
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
