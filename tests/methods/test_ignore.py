"""Voxels of the label `ignore`, whose value is the number of classes, are left out of every loss against labels."""

import itertools

import pytest
import torch
from tiny_methods import build, first_loss, noise
from torch import Tensor
from torch.nn import functional

from crossmatch.methods import METHODS
from crossmatch.methods.bcp import Mixture, region_loss
from crossmatch.methods.distance import signed_distance
from crossmatch.methods.dtc import labelled_terms
from crossmatch.methods.losses import (
    DiceSettings,
    cross_entropy,
    dice_loss,
    labelled_dice,
    one_hot,
    soft_dice_loss,
    supervised_loss,
)
from crossmatch.methods.sdcl import correction

CLASSES = 3
SIZES = {2: (6, 5), 3: (4, 3, 5)}


def drawn(dims: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels without and with voxels to be ignored, about half of them."""
    seeded = torch.Generator().manual_seed(dims)
    logits = torch.randn(2, CLASSES, *SIZES[dims], generator=seeded)
    label = torch.randint(0, CLASSES, (2, *SIZES[dims]), generator=seeded)
    out = torch.rand(label.shape, generator=seeded) < 0.5
    return logits, label, label.masked_fill(out, CLASSES)


def left(values: Tensor, kept: Tensor) -> Tensor:
    """(B, C, *S) -> (1, C, n), the voxels that are kept, in one row."""
    return values.movedim(1, -1)[kept].T.unsqueeze(0)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("dims", [2, 3])
def test_losses_are_those_of_the_other_voxels(dims: int, power: int) -> None:
    logits, _, label = drawn(dims)
    kept, settings = label < CLASSES, DiceSettings()
    alone, truth = left(logits, kept), label[kept].unsqueeze(0)
    expected = functional.cross_entropy(alone, truth)
    torch.testing.assert_close(cross_entropy(logits, label), expected)
    dice = soft_dice_loss(alone.softmax(1), one_hot(truth, CLASSES), settings, power)
    torch.testing.assert_close(labelled_dice(logits.softmax(1), label, settings, power), dice)
    both = (expected + soft_dice_loss(alone.softmax(1), one_hot(truth, CLASSES), settings)) / 2
    torch.testing.assert_close(supervised_loss(logits, label, settings), both)
    everywhere = torch.ones(1, *SIZES[dims], dtype=torch.bool)
    torch.testing.assert_close(region_loss(logits, label, everywhere, settings), both)


@pytest.mark.parametrize("dims", [2, 3])
def test_distances_are_those_of_the_other_voxels(dims: int) -> None:
    logits, _, label = drawn(dims)
    kept, found = label < CLASSES, torch.tanh(logits[:, 1:])
    terms = labelled_terms(logits.softmax(1), found, label, DiceSettings())
    wanted = signed_distance(one_hot(label, CLASSES)[:, 1:] > 0)
    torch.testing.assert_close(terms["distance"], functional.mse_loss(left(found, kept), left(wanted, kept)))


@pytest.mark.parametrize("dims", [2, 3])
def test_nothing_is_learned_at_them(dims: int) -> None:
    logits, _, label = drawn(dims)
    region = torch.rand(1, *SIZES[dims], generator=torch.Generator().manual_seed(0)) < 0.6
    for loss in (
        lambda z: supervised_loss(z, label, DiceSettings()),
        lambda z: labelled_dice(z.softmax(1), label, DiceSettings(), 1),
        lambda z: region_loss(z, label, region, DiceSettings()),
        lambda z: sum(labelled_terms(z.softmax(1), torch.tanh(z[:, 1:]), label, DiceSettings()).values()),
    ):
        learns = logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(learns), learns)
        here = gradient.abs().sum(1)
        assert here[label == CLASSES].max() == 0
        assert here[(label < CLASSES) & region].min() > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_students_are_not_corrected_at_them(dims: int) -> None:
    """SDCL's terms are those of the other voxels. They were pushed to uniform predictions before."""
    logits, _, label = drawn(dims)
    kept = label < CLASSES
    both = [logits.clone().requires_grad_(), logits.roll(1, 1).requires_grad_()]
    mixture = Mixture(logits, label, label, torch.ones(1, *SIZES[dims], dtype=torch.bool))
    terms = correction(mixture, *both, 0.5)
    truth = label[kept].unsqueeze(0)
    alone = Mixture(logits, truth, truth, torch.ones(1, len(truth[0]), dtype=torch.bool))
    torch.testing.assert_close(terms, correction(alone, *(left(z, kept) for z in both), 0.5))
    sum(terms).backward()
    for student in both:
        assert student.grad is not None
        assert student.grad.abs().sum(1)[~kept].max() == 0
        assert student.grad.abs().sum(1)[kept].max() > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_without_them_losses_are_the_same_to_the_bit(dims: int) -> None:
    """As PyTorch and `dice_loss` compute them, gradients too."""
    logits, label, _ = drawn(dims)

    def plain(z: Tensor) -> Tensor:
        dice = dice_loss(z.softmax(1), one_hot(label, CLASSES), None, DiceSettings())
        return (functional.cross_entropy(z, label) + dice) / 2

    found = []
    for loss in (plain, lambda z: supervised_loss(z, label, DiceSettings())):
        learns = logits.clone().requires_grad_()
        value = loss(learns)
        found.append((value, *torch.autograd.grad(value, learns)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize(("name", "dims"), list(itertools.product(METHODS, (2, 3))))
def test_every_method_leaves_them_out(name: str, dims: int) -> None:
    """With every voxel ignored the labels teach nothing; with some, something else than with all labels."""
    whole = noise(dims)
    none = whole._replace(y=torch.full_like(whole.y, CLASSES))
    some = whole._replace(y=whole.y.index_fill(1, torch.arange(4), CLASSES))
    stages: dict[int, int] = {}  # a step of each: BCP's family and AD-MT have two
    for step in (0, 401, 500):
        method = build(name, dims)
        method.before_step(step, 1000)
        stages.setdefault(method.stage, step)
    for step in stages.values():
        totals = []
        for batch in (none, some, whole):
            method = build(name, dims)
            method.before_step(step, 1000)
            terms = first_loss(method, batch)
            terms["total"].backward()
            gradients = [weight.grad for weight in method.parameters() if weight.grad is not None]
            assert all(bool(gradient.isfinite().all()) for gradient in gradients)
            if batch is none:
                assert terms.get("sup", terms["total"]).item() == 0
            totals.append(terms["total"].item())
        assert len(set(totals)) == 3
