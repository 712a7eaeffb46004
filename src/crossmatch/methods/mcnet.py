"""MC-Net and MC-Net+: decoders of one encoder learn from each other's sharpened predictions.

Shapes: B batch, C channels, K classes, *S space.
Source: Wu et al., "Semi-supervised Left Atrium Segmentation with Mutual Consistency Training", MICCAI 2021 (two);
"Mutual Consistency Learning for Semi-supervised Medical Image Segmentation", Medical Image Analysis 81, 2022 (three).
Released code github.com/ycwu1997/MC-Net, code/train_mcnet_2d.py and train_mcnet_3d.py, commit fee453c.
"""

from collections.abc import Sequence
from itertools import permutations
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, labelled_dice
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.schedules import ramp_up
from crossmatch.networks.layers import other_upsamplings
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Fraction, NonNegative

SMALLEST = 1e-6  # probabilities nearer to 0 or 1 are sharpened as this one, which is rounded to 0 or 1


class MCNetSettings(MethodSettings):
    """Decoders, weights and sharpening. The defaults are the released 2D constants.

    The released weight climbs every 150 steps, ours at every step.
    """

    decoders: Literal[2, 3] = 3
    """Number of decoders: 2 is MC-Net, 3 is MC-Net+."""
    supervised_weight: NonNegative = 1.0
    """Weight of the supervised loss. Released 3D: 0.5."""
    unlabelled_weight: NonNegative = 0.1
    """Weight of the consistency, after the warm-up. Released 3D: 1."""
    warm_up: Fraction = 1.0
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start. Released 3D: 0.4."""
    temperature: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Temperature of the sharpening. Lower is sharper."""
    dice_power: Literal[1, 2] = 2
    """Exponent in the denominator of Dice. Released 3D: 1."""


class MCNet(Method):
    """L = w_s sum over decoders of Dice(p_i, y) + w(t) sum over pairs i != j of mean (p_i - S(p_j))^2.

    S sharpens each class on its own, S(p) = p^(1/T) / (p^(1/T) + (1 - p)^(1/T)), and is differentiated, as released:
    both sides learn. The second term is of all images, labelled and unlabelled. Decoders have own heads and differ in
    upsampling: first the network's own, then the others in the order transposed, linear, nearest. One encoding serves
    all. Each decoder drops features before its head where the network does. No cross entropy, as released. The network
    with its own decoder is the predictor.

    What differs: the recipe's Dice, whose overlap counts twice (the released 2D code forgets the 2, so that a perfect
    prediction costs 0.5 and its gradient is half). Released 3D Dice is of the foreground, with smooth 1e-8.
    """

    about = "decoders of one encoder, with different upsampling, learn from each other's sharpened predictions"
    paper = "Wu et al., MICCAI 2021, arXiv 2103.02911; Medical Image Analysis 2022, arXiv 2109.09960"
    Settings = MCNetSettings
    settings: MCNetSettings

    def __init__(self, network: Segmenter, settings: MCNetSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        others = other_upsamplings(network.UPSAMPLING)[: settings.decoders - 1]
        self.decoders = nn.ModuleList(network.another_decoder(kind) for kind in others)
        self.heads = nn.ModuleList(network.another_head() for _ in others)

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """See `mcnet_loss`; ``weight`` is that of the consistency."""
        assert batch.u is not None
        network = self.network
        features = network.encode(torch.cat([batch.x, batch.u.weak]))
        pairs = zip([network.decoder, *self.decoders], [network.head, *self.heads], strict=True)
        logits = [head(network.last_dropout(decoder(features)[0])) for decoder, head in pairs]
        weight = self.settings.unlabelled_weight * ramp_up(progress, self.settings.warm_up)
        return mcnet_loss(logits, batch.y, weight, self.settings, self.dice)


def mcnet_loss(
    logits: Sequence[Tensor], label: Tensor, weight: Tensor, settings: MCNetSettings, dice: DiceSettings
) -> dict[str, Tensor]:
    """``sup``, the sum over decoders; ``consistency``, see `mutual_consistency`; ``weight``; ``total``.

    Args:
        logits: (B, K, *S) of each decoder on all images, the labelled ones first.
        label: integers (b, *S) of the first b images.
        weight: scalar, of the consistency at this step.
        settings, dice: weights and sharpening; background and smoothing.
    """
    probabilities = [z.float().softmax(1) for z in logits]
    sup = [labelled_dice(p[: len(label)], label, dice, settings.dice_power) for p in probabilities]
    terms = {
        "sup": torch.stack(sup).sum(),
        "consistency": mutual_consistency(probabilities, settings.temperature),
        "weight": weight,
    }
    terms["total"] = settings.supervised_weight * terms["sup"] + weight * terms["consistency"]
    return terms


def mutual_consistency(probabilities: Sequence[Tensor], temperature: float) -> Tensor:
    """Sum over ordered pairs i != j of the mean squared difference of p_i from the sharpened p_j; each (B, K, *S)."""
    sharpened = [sharpen(p, temperature) for p in probabilities]
    pairs = permutations(range(len(probabilities)), 2)
    return torch.stack([(probabilities[i] - sharpened[j]).square().mean() for i, j in pairs]).sum()


def sharpen(probability: Tensor, temperature: float) -> Tensor:
    """p^(1/T) / (p^(1/T) + (1 - p)^(1/T)), element by element, written so that no power underflows."""
    return torch.sigmoid(torch.logit(probability, SMALLEST) / temperature)
