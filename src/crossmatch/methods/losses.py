"""Losses: plain functions of logits and labels, for two or three spatial axes.

Shapes: B batch, K classes, *S space. All is computed in float32, whatever the type of the logits.
A voxel of label K is one to be ignored (`Dataset.ignore`): it is left out of every loss against labels. Where no voxel
is left, such a loss is 0.
Source: paper Zhao et al., JBHI 2024; constants of the released code github.com/AiEson/CrossMatch, commit 59772e0.
"""

import torch
from torch import Tensor
from torch.nn import functional

from crossmatch.settings import Positive, Settings


class DiceSettings(Settings):
    """How the Dice loss is computed. The defaults are the released 2D constants."""

    background: bool = True
    """Whether the background class counts. Released 3D: no."""
    smooth: Positive = 1e-4
    """Added to numerator and denominator of each class. Released 3D: 1e-5."""


def one_hot(label: Tensor, classes: int) -> Tensor:
    """Labels (B, *S) of integers -> float32 (B, K, *S), 0 in every class where a voxel is to be ignored.

    >>> one_hot(torch.tensor([[0, 2]]), classes=3)
    tensor([[[1., 0.],
             [0., 0.],
             [0., 1.]]])
    """
    values = torch.arange(classes, device=label.device).view(1, classes, *[1] * (label.ndim - 1))
    return (label.unsqueeze(1) == values).float()


def counted(label: Tensor, classes: int) -> Tensor:
    """Which voxels count: labels (B, *S) of integers -> float32 (B, 1, *S), 0 where a voxel is to be ignored.

    >>> counted(torch.tensor([[0, 2, 1]]), classes=2)
    tensor([[[1., 0., 1.]]])
    """
    return (label < classes).float().unsqueeze(1)


def dice_loss(probability: Tensor, target: Tensor, mask: Tensor | None, settings: DiceSettings) -> Tensor:
    """One minus Dice with squared denominators, mean over classes. Sums run over batch and space together.

    Args:
        probability: softmax output (B, K, *S).
        target: one-hot labels (B, K, *S), already multiplied with `mask` where there is one.
        mask: float (B, 1, *S), 1 where a voxel counts. Other voxels are left out of all sums. None: every voxel counts.
        settings: background and smoothing.

    Returns:
        A scalar. It is 0, as for a perfect prediction, if no voxel counts: log the share of counted voxels beside it.

    >>> label = one_hot(torch.tensor([[0, 1, 1]]), classes=2)
    >>> right, wrong = (dice_loss(found, label, None, DiceSettings()).item() for found in (label, 1 - label))
    >>> right, round(wrong, 3)
    (0.0, 1.0)
    """
    counted = probability if mask is None else probability * mask
    sums = (0, *range(2, probability.ndim))
    overlap = (probability * target).sum(sums)
    size = (counted * probability).sum(sums) + target.sum(sums)  # a mask or label squared is itself
    per_class = 1 - (2 * overlap + settings.smooth) / (size + settings.smooth)
    return per_class[0 if settings.background else 1 :].mean()


def soft_dice_loss(first: Tensor, second: Tensor, settings: DiceSettings, power: int = 2) -> Tensor:
    """One minus Dice of two soft maps, mean of classes; sums run over batch and space together.

    With a one-hot second map and power 2 it is `dice_loss`.

    Args:
        first, second: softmax outputs or one-hot labels (B, K, *S); both carry a gradient.
        settings: background class in or out, smoothing.
        power: exponent of the denominator's sums: 2, or 1 as in some released codes.
    """
    return soft_dice(first, second, settings.smooth, power)[0 if settings.background else 1 :].mean()


def soft_dice(first: Tensor, second: Tensor, smooth: float, power: int) -> Tensor:
    """One minus Dice of each class (K,), see `soft_dice_loss`."""
    sums = (0, *range(2, first.ndim))
    overlap = (first * second).sum(sums)
    size = first.pow(power).sum(sums) + second.pow(power).sum(sums)
    return 1 - (2 * overlap + smooth) / (size + smooth)


def labelled_dice(probability: Tensor, label: Tensor, settings: DiceSettings, power: int = 2) -> Tensor:
    """Dice of a softmax output (B, K, *S) against labels (B, *S) of integers, see `soft_dice_loss`."""
    classes = probability.shape[1]
    return soft_dice_loss(probability * counted(label, classes), one_hot(label, classes), settings, power)


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Mean over the voxels that count: logits (B, K, *S), label (B, *S) of integers -> scalar."""
    classes = logits.shape[1]
    entropy = functional.cross_entropy(logits, label, ignore_index=classes, reduction="sum")
    return entropy / counted(label, classes).sum().clamp(min=1)


def supervised_loss(logits: Tensor, label: Tensor, settings: DiceSettings, power: int = 2) -> Tensor:
    """Mean of cross entropy and Dice: logits (B, K, *S), label (B, *S) of integers -> scalar (the paper's L_sup).

    `power` is the exponent in Dice's denominator, see `soft_dice_loss`.
    """
    logits = logits.float()
    return (cross_entropy(logits, label) + labelled_dice(logits.softmax(1), label, settings, power)) / 2


def kl_divergence(log_probability: Tensor, log_target: Tensor) -> Tensor:
    """KL(target || probability) of each voxel, sum of classes: two log-softmaxes (B, K, *S) -> (B, *S).

    Both sides carry a gradient. Detach the target where it teaches.
    """
    return functional.kl_div(log_probability, log_target, reduction="none", log_target=True).sum(1)


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Soft targets: T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over voxels.

    Logits (B, K, *S) of both -> scalar. No gradient reaches the teacher. The factor T^2 keeps the size of the gradient
    when T changes.
    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2. The cross entropy
    with soft targets used there has the same gradient.
    """
    taught = (teacher.detach().float() / temperature).log_softmax(1)
    return temperature**2 * kl_divergence((student.float() / temperature).log_softmax(1), taught).mean()
