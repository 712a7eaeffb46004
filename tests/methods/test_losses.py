"""Dice and the supervised loss: values by hand, masks, both ranks, and gradients."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from crossmatch.methods.losses import (
    DiceSettings,
    dice_loss,
    distillation_loss,
    kl_divergence,
    one_hot,
    supervised_loss,
)

SIZES = {2: (6, 4), 3: (4, 2, 3)}
EXACT = DiceSettings(smooth=1e-9)


def _random(dims: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(dims)
    logits = torch.randn(2, classes, *SIZES[dims], generator=drawn)
    return logits, torch.randint(0, classes, (2, *SIZES[dims]), generator=drawn)


def test_one_hot_by_hand():
    expected = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]]]])
    assert torch.equal(one_hot(torch.tensor([[[0, 2, 1]]]), 3), expected)
    assert one_hot(torch.zeros(2, 3, 4, 5, dtype=torch.uint8), 7).shape == (2, 7, 3, 4, 5)


def test_dice_by_hand():
    """Two voxels, two classes. p0 = (.8, .4), t0 = (1, 0): overlap .8, sizes .64 + .16 + 1; class 1 likewise."""
    probability = torch.tensor([[[[0.8, 0.4]], [[0.2, 0.6]]]])
    target = one_hot(torch.tensor([[[0, 1]]]), 2)
    first, second = 1 - 2 * 0.8 / 1.8, 1 - 2 * 0.6 / (0.04 + 0.36 + 1)
    assert dice_loss(probability, target, None, EXACT).item() == pytest.approx((first + second) / 2, abs=1e-6)
    foreground = DiceSettings(background=False, smooth=1e-9)
    assert dice_loss(probability, target, None, foreground).item() == pytest.approx(second, abs=1e-6)
    smooth = DiceSettings(smooth=0.5)
    expected = (1 - (1.6 + 0.5) / (1.8 + 0.5) + 1 - (1.2 + 0.5) / (1.4 + 0.5)) / 2
    assert dice_loss(probability, target, None, smooth).item() == pytest.approx(expected, abs=1e-6)


def test_masked_voxels_leave_every_sum():
    """The second voxel does not count: what is left is p0 = .8 of label 0, and class 1 with .2 of nothing."""
    probability = torch.tensor([[[[0.8, 0.4]], [[0.2, 0.6]]]])
    mask = torch.tensor([[[[1.0, 0.0]]]])
    target = one_hot(torch.tensor([[[0, 1]]]), 2) * mask
    expected = (1 - 1.6 / 1.64 + 1.0) / 2
    assert dice_loss(probability, target, mask, EXACT).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_mask_is_the_same_as_leaving_the_voxels_out(dims):
    logits, label = _random(dims)
    probability = logits.softmax(1)
    mask = torch.rand(2, 1, *SIZES[dims], generator=torch.Generator().manual_seed(3)).round()
    settings = DiceSettings()
    chosen = mask.expand_as(probability).bool()
    kept, target = (
        value.movedim(1, 0)[chosen.movedim(1, 0)].view(1, 3, -1) for value in (probability, one_hot(label, 3))
    )
    masked = dice_loss(probability, one_hot(label, 3) * mask, mask, settings)
    torch.testing.assert_close(masked, dice_loss(kept, target, None, settings), rtol=1e-5, atol=1e-6)
    ones = torch.ones_like(mask)
    whole = dice_loss(probability, one_hot(label, 3), None, settings)
    torch.testing.assert_close(dice_loss(probability, one_hot(label, 3), ones, settings), whole)


@pytest.mark.parametrize("background", [True, False])
def test_no_counted_voxel_is_zero_and_teaches_nothing(background):
    logits, label = _random(2)
    logits.requires_grad_()
    mask = torch.zeros(2, 1, *SIZES[2])
    loss = dice_loss(logits.softmax(1), one_hot(label, 3) * mask, mask, DiceSettings(background=background))
    assert loss.item() == 0
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("dims", [2, 3])
def test_perfect_and_opposite_predictions(dims):
    _, label = _random(dims, classes=2)
    right = one_hot(label, 2)
    assert dice_loss(right, right, None, DiceSettings()).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(1 - right, right, None, EXACT).item() == pytest.approx(1, abs=1e-6)


def test_sums_run_over_the_batch_too():
    """A class absent from one image is judged together with the other, not by itself."""
    probability = torch.tensor([[[[0.0]], [[1.0]]], [[[1.0]], [[0.0]]]])
    target = one_hot(torch.tensor([[[1]], [[1]]]), 2)
    expected = (1 - 0 + 1 - 2 * 1 / (1 + 2)) / 2  # class 0: no overlap; class 1: 1 of 2 found
    assert dice_loss(probability, target, None, EXACT).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_supervised_is_the_mean_of_cross_entropy_and_dice(dims):
    logits, label = _random(dims)
    picked = logits.log_softmax(1).gather(1, label.unsqueeze(1))
    dice = dice_loss(logits.softmax(1), one_hot(label, 3), None, DiceSettings())
    expected = (-picked.mean() + dice) / 2
    torch.testing.assert_close(supervised_loss(logits, label, DiceSettings()), expected)


def test_supervised_by_hand():
    """One voxel, two classes, equal logits: cross entropy ln 2; Dice of class 0 is 1 / 1.25, of class 1 nothing."""
    loss = supervised_loss(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64), EXACT)
    assert loss.item() == pytest.approx((math.log(2) + (1 - 1 / 1.25 + 1) / 2) / 2, abs=1e-6)


def test_half_precision_logits_are_computed_in_float32():
    logits, label = _random(2)
    half = logits.bfloat16().requires_grad_()
    loss = supervised_loss(half, label, DiceSettings())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, supervised_loss(logits.bfloat16().float(), label, DiceSettings()))
    loss.backward()
    assert half.grad is not None
    assert functional.normalize(half.grad.float().flatten(), dim=0).isfinite().all()


def test_gradient_is_that_of_finite_differences():
    logits, label = _random(2, classes=2)
    mask = (torch.rand(2, 1, *SIZES[2], dtype=torch.float64) > 0.3).double()
    target = one_hot(label, 2).double() * mask

    def loss(x: Tensor) -> Tensor:
        return dice_loss(x.softmax(1), target, mask, DiceSettings())

    assert torch.autograd.gradcheck(loss, logits.double().requires_grad_())


@pytest.mark.parametrize("smooth", [0.0, -1.0])
def test_smoothing_is_above_zero(smooth):
    with pytest.raises(ValidationError):
        DiceSettings(smooth=smooth)


def test_kl_divergence_by_hand():
    """Voxel one: 1/2 ln(1/2 : 1/4) + 1/2 ln(1/2 : 3/4) = ln(4/3) / 2; voxel two: the same on both sides."""
    target = torch.tensor([[[0.5, 0.9]], [[0.5, 0.1]]]).movedim(0, 1)
    other = torch.tensor([[[0.25, 0.9]], [[0.75, 0.1]]]).movedim(0, 1)
    found = kl_divergence(other.log(), target.log())
    torch.testing.assert_close(found, torch.tensor([[math.log(4 / 3) / 2, 0.0]]), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(kl_divergence(target.log(), other.log()), found)  # it has a direction


@pytest.mark.parametrize("dims", [2, 3])
def test_kl_divergence_is_that_of_pytorchs_distributions(dims):
    one, two = (torch.randn(2, 3, *SIZES[dims]) for _ in range(2))
    plain = [torch.distributions.Categorical(logits=logits.movedim(1, -1)) for logits in (one, two)]
    expected = torch.distributions.kl_divergence(plain[1], plain[0])
    torch.testing.assert_close(kl_divergence(one.log_softmax(1), two.log_softmax(1)), expected)


def test_kl_divergence_is_finite_where_a_probability_is_nothing():
    """Softmax of (0, 200) is (0, 1) in float32; its logarithm is still -200."""
    sure = torch.tensor([[[200.0], [0.0]]], requires_grad=True)
    found = kl_divergence(sure.log_softmax(1), sure.flip(1).log_softmax(1))
    assert found.item() == pytest.approx(200)
    found.sum().backward()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()


def test_distillation_by_hand():
    """At T = 2, logits 2 ln 3 and 0 are 3/4 and 1/4; the student's are even: 4 (3/4 ln(3/2) + 1/4 ln(1/2))."""
    teacher = torch.tensor([[[2 * math.log(3)], [0.0]]])
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert distillation_loss(torch.zeros(1, 2, 1), teacher, 2.0).item() == pytest.approx(expected, abs=1e-6)
    assert distillation_loss(teacher, teacher, 2.0).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_of_distillation_is_temperature_times_the_difference(temperature):
    """Hinton et al., eq. 2, times T^2, mean of voxels: T (softmax(student / T) - softmax(teacher / T)) / voxels."""
    student, _ = _random(2)
    teacher, _ = _random(3)
    teacher = teacher.flatten()[: student.numel()].view_as(student).requires_grad_()
    half = student.bfloat16().requires_grad_()
    student = student.bfloat16().float().requires_grad_()
    distillation_loss(student, teacher, temperature).backward()
    difference = (student / temperature).softmax(1) - (teacher / temperature).softmax(1)
    voxels = student.numel() / 3
    torch.testing.assert_close(student.grad, temperature * difference.detach() / voxels, rtol=1e-4, atol=1e-7)
    assert teacher.grad is None
    loss = distillation_loss(half, teacher, temperature)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, distillation_loss(student, teacher, temperature))
