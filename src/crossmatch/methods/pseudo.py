"""Pseudo-labels: labels made of predictions, CutMix of images and labels, and the loss against them.

Shapes: B batch, C channels, K classes, *S space.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from crossmatch.methods.losses import DiceSettings, dice_loss, one_hot


class Target(NamedTuple):
    """Hard pseudo-labels and their confidence. No gradient passes through either."""

    label: Tensor  # (B, *S) int64
    confidence: Tensor  # (B, *S) float32, the softmax maximum


def pseudo_label(logits: Tensor) -> Target:
    """Logits (B, K, *S) -> argmax and softmax maximum, without gradient."""
    confidence, label = logits.detach().float().softmax(1).max(1)
    return Target(label, confidence)


def sure_shares(target: Target, threshold: Tensor | float) -> dict[str, Tensor]:
    """What a log says of pseudo-labels, scalars.

    Returns:
        ``confident``: the share of voxels that reach the threshold. ``pseudo_foreground``: the share of foreground
        among these, 0 where there are none. While it is 0, background alone is taught.
    """
    sure = target.confidence >= threshold
    foreground = (sure & (target.label > 0)).float().sum()
    return {"confident": sure.float().mean(), "pseudo_foreground": foreground / sure.float().sum().clamp(min=1)}


def cutmix(inside: Tensor, outside: Tensor, box: Tensor) -> Tensor:
    """`inside` where the box is, `outside` elsewhere: both (B, *S) or (B, C, *S), box (B, *S) bool."""
    if outside.ndim > box.ndim:
        box = box.unsqueeze(1)
    return torch.where(box, inside, outside)


def cutmix_target(inside: Target, outside: Target, box: Tensor) -> Target:
    """CutMix of label and confidence alike; box (B, *S) bool."""
    return Target(cutmix(inside.label, outside.label, box), cutmix(inside.confidence, outside.confidence, box))


@torch.no_grad()
def partner_label(network: nn.Module, images: Tensor) -> Target:
    """Pseudo-labels of the CutMix partners' weak view (B, C, *S), by the network in eval mode, without gradient.

    As in the released FixMatch and UniMatch. The network is left in the mode that it was in.
    """
    training = network.training
    target = pseudo_label(network.eval()(images))
    network.train(training)
    return target


class Lesson(NamedTuple):
    """A target in the form that losses take. It is made once for all that learn from it."""

    one_hot: Tensor  # (B, K, *S) float32, 0 where the voxel does not count
    mask: Tensor  # (B, 1, *S) float32, 1 where the voxel is confident


def lesson(target: Target, classes: int, threshold: Tensor | float) -> Lesson:
    """A target as a lesson: one-hot where the confidence reaches the threshold, 0 elsewhere."""
    mask = (target.confidence >= threshold).float().unsqueeze(1)
    return Lesson(one_hot(target.label, classes) * mask, mask)


def match(logits: Tensor, taught: Lesson, dice: DiceSettings) -> Tensor:
    """Dice of logits (B, K, *S) against a lesson, over its confident voxels: the loss of UniMatch and CrossMatch."""
    return dice_loss(logits.float().softmax(1), taught.one_hot, taught.mask, dice)
