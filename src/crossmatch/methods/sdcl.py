"""SDCL: two students of different kind on BCP's mixtures learn most where they disagree.

Shapes: B batch, K classes, *S space.
Source: Song, Wang, "SDCL: Students Discrepancy-Informed Correction Learning", MICCAI 2024; constants of the released
code github.com/pascalcpp/SDCL, commit cfb260f, code/ACDC_train.py, LA_train.py, pancreas/losses.py.
"""

import torch
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.bcp import BCP, BCPSettings, Mixture, sum_of
from crossmatch.methods.losses import DiceSettings, one_hot
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import BelowOne, NonNegative

EPSILON = 1e-16  # released, beside the number of voxels


class SDCLSettings(BCPSettings):
    """BCP's settings, and the weights of the correction. The defaults are the released constants."""

    pretraining: BelowOne = 0.2
    """Share of the run that trains on labelled images alone. Released: 100 of 500 epochs on ACDC, 80 of 355 on LA, 101
    of 422 on Pancreas-CT."""
    correction_weight: NonNegative = 0.5
    """Weight of the squared distance to the label where the students disagree."""
    uncertainty_weight: NonNegative = 0.05
    """Weight of the uniform distribution where a student that disagrees is wrong."""


class SDCL(BCP):
    """BCP with a second student whose encoder is residual, and two more terms for each student and mixture.

    L = L_BCP + 0.5 L_mse + 0.05 L_kl, see `correction`, summed over both students. The students see the same mixtures
    with the same labels. The teacher follows the first student, which is the predictor. In pre-training both learn from
    BCP's mixtures of labelled images.

    Differences from the released code, beside those of `BCP`:

    - One optimiser has both students, which is the same as one for each. It is the recipe's; released: Adam with the
      constant rate 1e-3, no decay.
    - One student is evaluated. The released code tests each and their mean, and keeps the best of each on test scans.
    - In 2D the released code draws the second student's initial weights by He's rule; here they are PyTorch's.
    - The second encoder has the network's normalisation (released: batch in 2D, instance in 3D) and, as released, no
      dropout.
    """

    about = "two students of different kind on BCP's mixtures, corrected where they disagree"
    paper = "Song and Wang, MICCAI 2024"
    version = 3
    remarks = ("Its parameters are those of two networks.",)
    Settings = SDCLSettings
    settings: SDCLSettings

    def __init__(self, network: Segmenter, settings: SDCLSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.second = network.another()
        self.second.encoder = network.another_encoder()

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``, ``pseudo``: BCP's; ``correction``: L_mse; ``uncertainty``: L_kl. Each is summed over the students.

        The last two are 0 while pre-training.
        """
        mixtures = self.mixtures(batch)
        first, second = ([student(each.image) for each in mixtures] for student in (self.network, self.second))
        ours, theirs = self.terms(mixtures, first), self.terms(mixtures, second)
        terms = {name: ours[name] + theirs[name] for name in ours}
        nothing = torch.zeros_like(terms["sup"])
        terms |= {"correction": nothing, "uncertainty": nothing}
        if self.stage:
            weight = self.settings.unlabelled_weight
            every = [correction(*each, weight) for each in zip(mixtures, first, second, strict=True)]
            terms["correction"], terms["uncertainty"] = (sum_of(kind) for kind in zip(*every, strict=True))
        corrections = self.settings.correction_weight * terms["correction"]
        corrections = corrections + self.settings.uncertainty_weight * terms["uncertainty"]
        return {**terms, "total": terms["total"] + corrections}


def correction(mixture: Mixture, first: Tensor, second: Tensor, unlabelled_weight: float) -> tuple[Tensor, Tensor]:
    """L_mse and L_kl of one mixture, each summed over both students.

    Let D be the voxels whose most probable class differs between the students, without those to be ignored, y the
    mixture's label, w the weight of a voxel: 1 in the labelled region, `unlabelled_weight` beyond it. For a student
    with softmax p

        L_mse = sum over D of w mean_c (p_c - [y = c])^2 / |D|
        L_kl = sum over E of w mean_c -log p_c / |E|, with E the voxels of D where the student's class is not y.

    D, E and y have no gradient. The least L_kl has p uniform.

    Args:
        first, second: logits (B, K, *S) of both students.
    """
    logits = (first.float(), second.float())
    classes = [each.max(1).indices for each in logits]
    label = torch.where(mixture.region, mixture.label, mixture.other)
    apart = (classes[0] != classes[1]) & (label < first.shape[1])
    weight = torch.where(mixture.region, 1.0, unlabelled_weight)
    target = one_hot(label, first.shape[1])
    squares, surprises = [], []
    for each, found in zip(logits, classes, strict=True):
        square = (each.softmax(1) - target).square().mean(1)
        squares.append(_mean_over(square * weight, apart))
        surprises.append(_mean_over(-each.log_softmax(1).mean(1) * weight, apart & (found != label)))
    return sum_of(squares), sum_of(surprises)


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean over the chosen voxels, 0 if there are none."""
    return (values * chosen).sum() / (chosen.sum() + EPSILON)
