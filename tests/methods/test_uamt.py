"""UA-MT: the entropy and the masked consistency by hand, the eight passes, and what it shares with Mean Teacher."""

import copy
import math

import numpy as np
import pytest
import torch
from tiny_methods import build, first_loss, noise
from torch import Tensor

from crossmatch.methods import METHODS
from crossmatch.methods.uamt import UAMT

both_ranks = pytest.mark.parametrize("dims", [2, 3])
LN2 = math.log(2)


def _apart(dims: int, **changes: float) -> UAMT:
    """A method whose teacher has other weights than its student."""
    method = build("uamt", dims, **changes)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in method.teacher.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return method


def test_the_defaults_are_mean_teachers_and_the_released_threshold():
    released = {"unlabelled_weight": 0.1, "warm_up": 1.0, "decay": 0.99}
    assert METHODS["mean_teacher"].Settings().model_dump() == released
    assert METHODS["uamt"].Settings().model_dump() == released | {"threshold": 0.75}


@both_ranks
def test_the_entropy_of_the_mean_of_eight_passes_by_hand(dims, monkeypatch):
    """Both images of a pair are one image twice: a voxel on which they agree, and one on which they do not."""
    method, calls = build("uamt", dims), []
    size = (2, *[1] * (dims - 1))  # two voxels

    def teach(images: Tensor) -> Tensor:
        calls.append(images)
        first = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])  # (K, voxels)
        second = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        return torch.stack([first, first, second, second]).view(4, 3, *size)

    monkeypatch.setattr(method, "teach", teach)
    images = torch.rand(2, 2, *size)
    entropy = method.uncertainty(images)
    assert entropy.shape == (2, 1, *size)
    expected = torch.tensor([0.0, LN2]).view(1, 1, *size).expand_as(entropy)
    torch.testing.assert_close(entropy, expected, rtol=0, atol=5e-6)
    assert len(calls) == 4
    assert all(torch.equal(pair, torch.cat([images, images])) for pair in calls)


@pytest.mark.parametrize(("progress", "voxels"), [(0.0, [0, 1]), (0.5, [0, 1, 2]), (1.0, [0, 1, 2, 3])])
def test_the_masked_consistency_by_hand(progress, voxels, monkeypatch):
    """The threshold is 0.75 + 0.25 exp(-5 (1 - t)^2) of ln 2: 0.7517, 0.8216, 1.

    Squared distances, summed over both classes, are 2 * 0.1^2, 2 * 0.2^2, 2 * 0.4^2, 2 * 0.5^2; the divisor is 2.
    """
    method = build("uamt", 2, threshold=0.75)
    entropies = torch.tensor([0.0, 0.75, 0.8, 0.9, 1.0]) * LN2
    difference = torch.tensor([0.1, 0.2, 0.4, 0.5, 0.3])
    taught, student = (torch.stack([0.5 + d, 0.5 - d]).view(1, 2, 1, 5) for d in (0 * difference, difference))
    monkeypatch.setattr(method, "uncertainty", lambda _: entropies.view(1, 1, 1, 5))
    monkeypatch.setattr(method, "teach", lambda _: taught)
    terms = method.consistency(student, torch.zeros(1, 2, 1, 5), torch.tensor(progress))
    squares = [[0.01, 0.04, 0.16, 0.25, 0.09][voxel] for voxel in voxels]
    assert terms["consistency"].item() == pytest.approx(sum(squares) / len(squares), rel=1e-5)
    assert terms["confident"].item() == pytest.approx(len(voxels) / 5)


def test_nothing_certain_costs_nothing(monkeypatch):
    method = build("uamt", 2)
    monkeypatch.setattr(method, "uncertainty", lambda images: torch.full_like(images[:, :1], 9.0))
    terms = first_loss(method, noise(2))
    assert terms["confident"].item() == 0
    assert terms["consistency"].item() == 0
    torch.testing.assert_close(terms["total"], terms["sup"])


@both_ranks
def test_every_term_as_a_plain_computation(dims):
    """In float64 after the networks; nine noises: one to teach, eight for the entropy, two a pass."""
    method, batch = _apart(dims, threshold=0.9, unlabelled_weight=0.1), noise(dims)
    student, teacher = copy.deepcopy(method.network), copy.deepcopy(method.teacher.network)
    terms = first_loss(method, batch)

    def taught(images: Tensor) -> np.ndarray:
        noisy = images + (0.1 * torch.randn(images.shape)).clip(-0.2, 0.2)
        return teacher(noisy).detach().double().softmax(1).numpy()

    torch.manual_seed(0)
    u = batch.u.weak
    p = student(torch.cat([batch.x, u]))[2:].detach().double().softmax(1).numpy()
    distance = (p - taught(u)) ** 2
    total = np.zeros_like(p)
    for _ in range(4):
        pair = taught(torch.cat([u, u]))
        total += pair[:3] + pair[3:]
    entropy = -np.sum(total / 8 * np.log(total / 8), axis=1)
    certain = entropy < (0.9 + 0.1 * np.exp(-1.25)) * np.log(3)
    assert 0.05 < certain.mean() < 0.95
    assert terms["confident"].item() == pytest.approx(certain.mean(), abs=1e-6)
    expected = distance.sum(1)[certain].sum() / (2 * certain.sum())
    assert terms["consistency"].item() == pytest.approx(expected, rel=1e-4)
    expected_total = terms["sup"].item() + 0.1 * math.exp(-1.25) * expected
    assert terms["total"].item() == pytest.approx(expected_total, rel=1e-6)


@both_ranks
def test_the_teacher_sees_weak_views_with_a_new_noise_each_pass(dims):
    method, batch, seen = build("uamt", dims), noise(dims), []
    method.teacher.network.register_forward_pre_hook(lambda _, images: seen.append(images[0]))
    first_loss(method, batch)
    assert [len(images) for images in seen] == [3, 6, 6, 6, 6]
    passes = torch.cat(seen).unflatten(0, (9, 3))
    noises = passes - batch.u.weak
    assert noises.abs().max() <= 0.2 + 1e-6
    assert all((noises[i] - noises[j]).abs().max() > 0.1 for i in range(9) for j in range(i))


@both_ranks
def test_the_student_learns_from_each_term_and_the_teacher_from_none(dims):
    method = _apart(dims)
    terms = first_loss(method, noise(dims))
    for name in ("sup", "consistency"):
        gradients = torch.autograd.grad(terms[name], list(method.network.parameters()), retain_graph=True)
        assert all(gradient.any() for gradient in gradients if gradient.ndim > 1), name
    assert not terms["confident"].requires_grad
    terms["total"].backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())


def test_the_teacher_follows_and_the_student_predicts():
    method = _apart(2)
    before = method.teacher.network.head.weight.clone()
    method.before_step(1000, 2000)
    method.after_step()
    expected = 0.99 * before + 0.01 * method.network.head.weight
    torch.testing.assert_close(method.teacher.network.head.weight, expected)
    assert not torch.equal(before, expected)
    assert method.predictor() is method.network
