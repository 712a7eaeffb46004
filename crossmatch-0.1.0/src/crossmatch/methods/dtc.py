"""DTC (dual-task consistency): one head segments, a second one regresses the distance to the boundary; both agree.

Shapes: B batch, C channels, K classes, *S space.
Source: Luo, Chen, Song, Wang, "Semi-supervised Medical Image Segmentation through Dual-task Consistency", AAAI 2021;
released code github.com/HiLab-git/DTC, code/train_la_dtc.py, commit 2525b9c.
"""

import torch
from torch import Tensor
from torch.nn import functional

from crossmatch.batches.batch import Batch
from crossmatch.methods.distance import signed_distance
from crossmatch.methods.losses import DiceSettings, counted, labelled_dice, one_hot
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.schedules import ramp_up
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Fraction, NonNegative, Positive


class DTCSettings(MethodSettings):
    """Weights of the distances and of the consistency; the defaults are the released constants.

    The released weight of the consistency climbs every 150 steps, ours at every step.
    """

    distance_weight: NonNegative = 0.3
    """Weight of the regression of distances on labelled images."""
    unlabelled_weight: NonNegative = 1.0
    """Weight of the consistency, after the warm-up."""
    warm_up: Fraction = 1.0
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start."""
    slope: Positive = 1500.0
    """Slope of the sigmoid that turns a distance into a probability."""


class DTC(Method):
    """L = Dice(p, y) + 0.3 mean (s - D)^2 + w(t) mean (sigmoid(-1500 s) - p)^2, with s = tanh of the second head.

    D is the signed distance map of the label, see `signed_distance`. The last term is of all images, labelled and
    unlabelled, and nothing in it is detached. Both heads see the decoder's finest features, after the network's last
    dropout. No cross entropy, as released. The segmentation head predicts; the other is left behind.

    What differs: any number of classes, with a distance map for each class but the background, where the released code
    has one channel and a sigmoid; the recipe's Dice (released: foreground, smooth 1e-5); a patch without a class has
    distance 1 everywhere (released: 0, "on the boundary"), one full of it -1 (released: NaN); distances are computed
    on the device (released: by SciPy on the CPU).
    """

    about = "a second head regresses distances to the boundary, which agree with the segmentation"
    paper = "Luo et al., AAAI 2021, arXiv 2009.04448"
    Settings = DTCSettings
    settings: DTCSettings

    def __init__(self, network: Segmenter, settings: DTCSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.distances = network.another_head(outputs=network.classes - 1)

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """See `dtc_loss`; ``weight`` is that of the consistency."""
        assert batch.u is not None
        network = self.network
        features = network.last_dropout(network.decoder(network.encode(torch.cat([batch.x, batch.u.weak])))[0])
        weight = self.settings.unlabelled_weight * ramp_up(progress, self.settings.warm_up)
        distances = self.distances(features).float().tanh()
        return dtc_loss(network.head(features), distances, batch.y, weight, self.settings, self.dice)


def labelled_terms(probability: Tensor, distances: Tensor, label: Tensor, dice: DiceSettings) -> dict[str, Tensor]:
    """``sup``, the Dice of the segmentation, and ``distance``, mean (s - D)^2; arguments as for `dtc_loss`.

    D is measured as if voxels to be ignored were background; the mean is over those that count.
    """
    count, classes = len(label), probability.shape[1]
    wanted, mask = signed_distance(one_hot(label, classes)[:, 1:] > 0), counted(label, classes)
    distance = functional.mse_loss(torch.where(mask > 0, distances[:count], wanted), wanted)
    return {
        "sup": labelled_dice(probability[:count], label, dice),
        "distance": distance * (mask.numel() / mask.sum().clamp(min=1)),
    }


def dtc_loss(
    logits: Tensor, distances: Tensor, label: Tensor, weight: Tensor, settings: DTCSettings, dice: DiceSettings
) -> dict[str, Tensor]:
    """``sup``, ``distance``, ``consistency``, ``weight`` and ``total``.

    Args:
        logits: (B, K, *S) on all images, the labelled ones first.
        distances: (B, K - 1, *S) from -1 to 1, of each class but the background.
        label: integers (b, *S) of the first b images.
        weight: scalar, of the consistency at this step.
        settings, dice: weights and slope; background and smoothing.
    """
    probability = logits.float().softmax(1)
    terms = labelled_terms(probability, distances, label, dice) | {
        "consistency": (torch.sigmoid(-settings.slope * distances) - probability[:, 1:]).square().mean(),
        "weight": weight,
    }
    terms["total"] = terms["sup"] + settings.distance_weight * terms["distance"] + weight * terms["consistency"]
    return terms
