"""Pseudo-labels: what a prediction teaches, and CutMix of images and of what they teach.

Shapes: B batch, C channels, K classes, *S space.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from crossmatch.methods.losses import DiceSettings, dice_loss, one_hot


class Target(NamedTuple):
    """Hard pseudo-labels and how sure they are; no gradient passes through either."""

    label: Tensor  # (B, *S) int64
    confidence: Tensor  # (B, *S) float32, the softmax maximum


def pseudo_label(logits: Tensor) -> Target:
    """Logits (B, K, *S) -> argmax and softmax maximum, without gradient."""
    confidence, label = logits.detach().float().softmax(1).max(1)
    return Target(label, confidence)


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
    """What a network in `eval()` says of the CutMix partners' weak view (B, C, *S), without gradient.

    As FixMatch and UniMatch are released: running statistics, nothing dropped, and nothing in the network moves.
    """
    training = network.training
    target = pseudo_label(network.eval()(images))
    network.train(training)
    return target


class Lesson(NamedTuple):
    """A target in the form that losses take, made once for all who learn from it; no gradient passes through."""

    one_hot: Tensor  # (B, K, *S) float32, 0 where the voxel does not count
    mask: Tensor  # (B, 1, *S) float32, 1 where the voxel is confident


def lesson(target: Target, classes: int, threshold: Tensor | float) -> Lesson:
    """The voxels of a target whose confidence reaches the threshold, one-hot."""
    mask = (target.confidence >= threshold).float().unsqueeze(1)
    return Lesson(one_hot(target.label, classes) * mask, mask)


def match(logits: Tensor, taught: Lesson, dice: DiceSettings) -> Tensor:
    """Dice of logits (B, K, *S) against a lesson, over its confident voxels: the loss of UniMatch and CrossMatch."""
    return dice_loss(logits.float().softmax(1), *taught, dice)
