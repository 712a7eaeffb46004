"""CPS: the cross terms by hand and as a plain computation, who learns from whom, and the second network's weights."""

import math

import numpy as np
import pytest
import torch
from tiny_methods import build, first_loss, noise
from torch import Tensor, nn

from crossmatch.batches.batch import Batch, Unlabelled
from crossmatch.methods.losses import DiceSettings, supervised_loss

both_ranks = pytest.mark.parametrize("dims", [2, 3])


class _Fixed(nn.Module):
    """A network whose logits are its weights."""

    def __init__(self, probability: list[list[float]], size: tuple[int, ...]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probability).log().T.reshape(1, 2, *size))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), *self.logits.shape[1:])


@both_ranks
def test_the_cross_terms_and_their_gradients_by_hand(dims):
    """Two voxels, two classes: the networks agree on the first voxel and not on the second."""
    size = (2, *[1] * (dims - 1))
    method = build("cps", dims, warm_up=0.0, unlabelled_weight=0.5)
    method.network, method.second = _Fixed([[0.9, 0.1], [0.4, 0.6]], size), _Fixed([[0.8, 0.2], [0.7, 0.3]], size)
    image, label = torch.zeros(1, 1, *size), torch.zeros(1, *size, dtype=torch.int64)
    views = Unlabelled(image, torch.stack([image, image], 1), torch.zeros(1, 2, *size, dtype=torch.bool))
    terms = method(Batch(image, label, views, views), torch.tensor(0.0))
    first, second = -(math.log(0.9) + math.log(0.4)) / 2, -(math.log(0.8) + math.log(0.3)) / 2  # labels 0 0; 0 1
    assert terms["cross"].item() == pytest.approx(first + second)
    assert terms["agreement"].item() == 0.5
    assert terms["total"].item() == pytest.approx(terms["sup"].item() + 0.5 * (first + second))
    terms["cross"].backward()
    # softmax minus the other's label, over two voxels: nothing else reaches a network
    for network, gradient in (
        (method.network, [[-0.1, -0.6], [0.1, 0.6]]),
        (method.second, [[-0.2, 0.7], [0.2, -0.7]]),
    ):
        torch.testing.assert_close(network.logits.grad.view(2, 2), torch.tensor(gradient) / 2)


@both_ranks
def test_every_term_as_a_plain_computation(dims):
    method, batch = build("cps", dims), noise(dims)
    terms = first_loss(method, batch)
    images = torch.cat([batch.x, batch.u.weak])
    logits = [network(images).detach() for network in (method.network, method.second)]
    a, b = (z[2:].double().numpy() for z in logits)
    cross = 0.0
    for z, other in ((a, b), (b, a)):
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        cross -= np.take_along_axis(log_p, other.argmax(1)[:, None], 1).mean()
    assert terms["cross"].item() == pytest.approx(cross, rel=1e-5)
    assert terms["agreement"].item() == pytest.approx((a.argmax(1) == b.argmax(1)).mean())
    sup = sum(supervised_loss(z[:2], batch.y, DiceSettings()) for z in logits)
    torch.testing.assert_close(terms["sup"].detach(), sup)
    assert terms["total"].item() == pytest.approx(sup.item() + 0.1 * math.exp(-1.25) * cross, rel=1e-5)
    assert terms.keys() == {"sup", "cross", "agreement", "weight", "total"}


def test_the_weight_at_the_ends_of_its_schedule():
    for warm_up, progress, expected in (
        (1.0, 0.0, 0.1 * math.exp(-5)),
        (1.0, 1.0, 0.1),
        (0.5, 0.5, 0.1),
        (0.0, 0.0, 0.1),
    ):
        terms = build("cps", 2, warm_up=warm_up)(noise(2), torch.tensor(progress))
        assert terms["weight"].item() == pytest.approx(expected)


@both_ranks
def test_both_networks_learn_from_each_term(dims):
    method = build("cps", dims)
    terms = first_loss(method, noise(dims))
    for name in ("sup", "cross", "total"):
        gradients = torch.autograd.grad(terms[name], list(method.parameters()), retain_graph=True)
        assert all(gradient.any() for gradient in gradients if gradient.ndim > 1), name
    assert not terms["agreement"].requires_grad
    assert not terms["weight"].requires_grad


@both_ranks
def test_weak_views_alone_are_looked_at(dims):
    method, batch, seen = build("cps", dims), noise(dims), []
    for network in (method.network, method.second):
        network.register_forward_pre_hook(lambda _, images: seen.append(images[0]))
    first_loss(method, batch)
    assert len(seen) == 2
    assert all(torch.equal(images, torch.cat([batch.x, batch.u.weak])) for images in seen)


@both_ranks
def test_the_first_predicts_and_both_are_kept_with_weights_of_their_own(dims):
    method = build("cps", dims)
    assert method.predictor() is method.network
    kept = method.state_dict()
    for name, value in method.network.state_dict().items():
        if value.ndim > 1:
            assert not torch.isclose(value, kept[f"second.{name}"]).all(), name
