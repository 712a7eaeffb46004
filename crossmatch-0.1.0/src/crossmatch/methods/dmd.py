"""Deep mutual distillation (DMD): two networks agree in their softened predictions, measured by Dice.

Shapes: B batch, C channels, K classes, *S space.
Source: Xie, Yin, Li, Wang, "Deep Mutual Distillation for Semi-supervised Medical Image Segmentation", MICCAI 2023;
released code github.com/SilenceMonk/Dual-Mutual-Distillation, train_dmd.py, commit 9be47df.
"""

import torch
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, labelled_dice, soft_dice_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import NonNegative, Positive


class DMDSettings(MethodSettings):
    """Weight and temperature of the distillation; the defaults are the released constants."""

    unlabelled_weight: NonNegative = 4.0
    """Weight of the mutual distillation."""
    temperature: Positive = 2.0
    """Temperature of both softmaxes. Released: 2 with 8 labelled scans, 1.93 with 16."""


class DMD(Method):
    """L = Dice(p1, y) + Dice(p2, y) + 4 Dice(p1^T, p2^T), with p^T = softmax(z / T).

    The last Dice is of all images, labelled and unlabelled, and both sides learn from it: a voxel of which both
    networks are unsure counts little. Constant weight, no cross entropy, no threshold, one view, as released. The first
    network is the predictor.

    What differs: the recipe's Dice (released: foreground, smooth 1e-5), and softmax for any number of classes where the
    released code has one channel and a sigmoid. The released script gives its labels no channel axis, so that each
    prediction is compared with the labels of every image of the batch; here each with its own, as in the paper.
    """

    about = "two networks distil each other: Dice of their softened predictions"
    paper = "Xie et al., MICCAI 2023"
    remarks = ("Its parameters are those of two networks.",)
    Settings = DMDSettings
    settings: DMDSettings

    def __init__(self, network: Segmenter, settings: DMDSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.second = network.another()

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """See `dmd_loss`."""
        assert batch.u is not None
        images = torch.cat([batch.x, batch.u.weak])
        return dmd_loss(self.network(images), self.second(images), batch.y, self.settings, self.dice)


def dmd_loss(
    first: Tensor, second: Tensor, label: Tensor, settings: DMDSettings, dice: DiceSettings
) -> dict[str, Tensor]:
    """``sup``, the sum over both networks; ``mutual``, the Dice of their softened predictions; ``total``.

    Args:
        first, second: logits (B, K, *S) of both networks on all images, the labelled ones first.
        label: integers (b, *S) of the first b images.
        settings, dice: weight and temperature; background and smoothing.
    """
    logits = (first.float(), second.float())
    soft = [(z / settings.temperature).softmax(1) for z in logits]
    terms = {
        "sup": torch.stack([labelled_dice(z[: len(label)].softmax(1), label, dice) for z in logits]).sum(),
        "mutual": soft_dice_loss(soft[0], soft[1], dice),
    }
    terms["total"] = terms["sup"] + settings.unlabelled_weight * terms["mutual"]
    return terms
