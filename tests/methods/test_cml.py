"""CML: terms by hand, both stages computed plainly, who learns from whom, two networks that differ."""

import copy
import math

import pytest
import torch
from tiny_methods import build, first_loss, noise
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.bcp import draw_box
from crossmatch.methods.cml import discrepancy, pasted
from crossmatch.methods.components import largest_components
from crossmatch.methods.losses import DiceSettings, one_hot, supervised_loss

both_ranks = pytest.mark.parametrize("dims", [2, 3])


def test_the_discrepancy_by_hand() -> None:
    """Two voxels, two features: at right angles, and 45 degrees apart; each network has the term once."""
    first = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])
    second = torch.tensor([[[0.0, 3.0], [5.0, 3.0]]])
    assert discrepancy(first, second).item() == pytest.approx(2 * (1 + (0 + math.sqrt(0.5)) / 2))
    assert discrepancy(first + 1, -2 * (first + 1)).item() == pytest.approx(0, abs=1e-6)


def test_the_discrepancy_turns_features_apart_and_takes_the_other_network_for_fixed() -> None:
    first, second = (torch.randn(1, 3, 4, 4).requires_grad_() for _ in range(2))
    loss = discrepancy(first, second)
    loss.backward()
    alone = first.detach().requires_grad_()
    (1 + torch.cosine_similarity(alone, second.detach()).mean()).backward()
    torch.testing.assert_close(first.grad, alone.grad)
    with torch.no_grad():
        assert discrepancy(first - first.grad, second - second.grad) < loss


def test_the_labelled_term_has_dice_without_squares() -> None:
    """One voxel of class 1, p = 3/4: ln(4/3); Dice 1 - 2 * 0.75 / (0.75 + 1) of class 1, 1 - 0 / 0.25 of class 0."""
    logits, label = torch.tensor([[[[1.0]], [[3.0]]]]).log(), torch.tensor([[[1]]])
    expected = (math.log(4 / 3) + ((1 - 1.5 / 1.75) + 1) / 2) / 2
    assert supervised_loss(logits, label, DiceSettings(smooth=1e-9), power=1).item() == pytest.approx(expected)


def test_images_b_are_pasted_into_a() -> None:
    box = torch.tensor([[True, False, False]])
    values = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]])
    assert pasted(values, box).tolist() == [[7, 2, 3], [10, 5, 6]]
    assert pasted(values.unsqueeze(1), box).tolist() == [[[7, 2, 3]], [[10, 5, 6]]]


def _unsquared(logits: Tensor, label: Tensor) -> Tensor:
    """(CE + Dice) / 2 of all classes, written out."""
    p, y = logits.softmax(1), one_hot(label, 3)
    sums = (0, *range(2, p.ndim))
    smooth = DiceSettings().smooth
    dice = 1 - (2 * (p * y).sum(sums) + smooth) / ((p + y).sum(sums) + smooth)
    return (torch.nn.functional.cross_entropy(logits, label) + dice.mean()) / 2


def _plainly(method, batch: Batch, edge: float) -> dict[str, float]:
    """What `loss` has to give, four images of a kind, in `eval()`."""
    torch.manual_seed(0)
    box = draw_box(batch.x.shape[2:], edge, batch.x.device)
    inside = box.unsqueeze(1)
    x, u = (torch.where(inside, images[2:], images[:2]) for images in (batch.x, batch.u.weak))
    y = torch.where(box, batch.y[2:], batch.y[:2])
    nets = (method.network, method.second)
    found = [largest_components(net(batch.u.weak).argmax(1), 3, batch.u.weak.ndim - 2) for net in nets]
    sup, pseudo = 0.0, 0.0
    for net, own, other in zip(nets, found, reversed(found), strict=True):
        sup += _unsquared(net(x), y).item()
        pseudo += _unsquared(net(u), torch.where(box, own[2:], other[:2])).item()
    alike = 0.0
    for images in (x, u):
        f, g = (net.decoder(net.encode(images))[0] for net in nets)
        alike += 2 * (1 + torch.cosine_similarity(f, g).mean()).item()
    return {"sup": sup, "pseudo": pseudo, "discrepancy": alike, "total": sup + 0.7 * pseudo + 0.3 * alike}


@both_ranks
@pytest.mark.parametrize("edge", [0.5, 2 / 3])
def test_a_step_computed_plainly(dims: int, edge: float) -> None:
    method = build("cml", dims, edge=edge, unlabelled_weight=0.7, discrepancy_weight=0.3).eval()
    batch = noise(dims, labelled=4, unlabelled=4)
    with torch.no_grad():
        terms = first_loss(method, batch)
        expected = _plainly(method, batch, edge)
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(expected, rel=1e-5)


@both_ranks
def test_pre_training_has_labelled_images_alone(dims: int) -> None:
    """Their losses and their share of the discrepancy, for both networks; unlabelled images are not looked at."""
    method, batch = build("cml", dims, pretraining=0.5).eval(), noise(dims, labelled=4, unlabelled=4)
    expected = first_loss(method, batch)["sup"]
    method.before_step(4, 10)
    terms = first_loss(method, batch._replace(u=None, mix=None))
    torch.testing.assert_close(terms["sup"], expected)
    assert terms["pseudo"] == 0
    assert terms["discrepancy"] > 0
    torch.testing.assert_close(terms["total"], terms["sup"] + 0.1 * terms["discrepancy"])
    method.before_step(5, 10)
    assert first_loss(method, batch)["pseudo"] > 0


@both_ranks
def test_labels_keep_the_largest_component_if_asked(dims: int) -> None:
    batch = noise(dims, labelled=4, unlabelled=4)
    whole, kept = (
        first_loss(build("cml", dims, largest_component=level), batch)["pseudo"].item() for level in (0, dims)
    )
    assert whole != pytest.approx(kept, rel=1e-5)


@both_ranks
@pytest.mark.parametrize("network", ["unet", "vnet"])
def test_the_second_network_has_another_upsampling_and_learns(network: str, dims: int) -> None:
    method = build("cml", dims, network)
    shapes = [{key: value.shape for key, value in net.state_dict().items()} for net in (method.network, method.second)]
    assert shapes[0] != shapes[1]
    first_loss(method, noise(dims, network))["total"].backward()
    assert all(weight.grad.any() for weight in method.second.parameters() if weight.ndim > 1)
    assert method.predictor() is method.network


def test_each_network_learns_the_labels_that_it_is_given() -> None:
    """A step along the gradient lowers the total while these labels stay."""
    method, batch = build("cml", 2, discrepancy_weight=0.0), noise(2, labelled=4, unlabelled=4)
    ahead = copy.deepcopy(method)
    box = torch.ones(1, *batch.x.shape[2:], dtype=torch.bool)
    taught = method.cross_labels(batch.u.weak, box)
    for each in (method, ahead):
        each.cross_labels = lambda images, box: taught
    before = first_loss(method, batch)
    before["pseudo"].backward()
    with torch.no_grad():
        for here, there in zip(method.parameters(), ahead.parameters(), strict=True):
            there -= 1e-3 * here.grad
    assert first_loss(ahead, batch)["pseudo"] < before["pseudo"]
    assert not torch.equal(*taught)
