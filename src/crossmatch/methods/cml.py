"""CML (cross-view mutual learning): two networks that look at different features label mixtures for each other.

Shapes: B batch, C channels, K classes, E features, *S space.
Source: Wu et al., "Cross-View Mutual Learning for Semi-Supervised Medical Image Segmentation", ACM Multimedia 2024;
constants of the released code github.com/SongwuJob/CML, commit 1229a71, code/CML_ACDC_train.py and CML_LA_train.py.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from crossmatch.batches.batch import Batch
from crossmatch.methods.bcp import StagedSettings, draw_box, halves, pairs, sum_of
from crossmatch.methods.components import largest_components
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.method import Method
from crossmatch.methods.pseudo import cutmix, pseudo_label
from crossmatch.networks.layers import other_upsamplings
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import BelowOne, Fraction, NonNegative

POWER = 1  # exponent in Dice's denominator, released


class CMLSettings(StagedSettings):
    """Lengths and weights. The defaults are the released constants of ACDC."""

    pretraining: BelowOne = 0.25
    """Share of the run that trains on labelled images alone. Released: 10,000 of 40,000 steps on ACDC, 2/17 on LA."""
    unlabelled_weight: NonNegative = 0.5
    """Weight of the mixtures of unlabelled images; those of labelled ones have 1. Released: 1 on LA."""
    discrepancy_weight: NonNegative = 0.1
    """Weight of the similarity of both networks' features. Released: 0.2 on LA."""
    edge: Fraction = 0.5
    """Edge of the pasted box, as a share of each axis. Released: 2/3 on LA."""
    largest_component: Annotated[int, Field(ge=0, le=3)] = 3
    """Pseudo-labels keep the largest component of each class. Voxels are neighbours if their indices differ by at most
    1 in at most so many axes. 0: labels are kept as they are."""


class CML(Method):
    """L = L_l + 0.5 L_u + 0.1 L_dis, of two networks with own weights and different upsampling.

    In every half of a batch, images b are pasted into images a by one box a step. A mixture's label is mixed alike:

    - L_l: both networks learn the mixed true labels of labelled images.
    - L_u: network 1 learns network 2's label of a around the box, and its own label of b inside of it; network 2 the
      reverse. Labels come from one pass in train mode without gradient. They keep the largest component of each class,
      and all of them count.
    - L_dis = 1 + cos(f_1, sg f_2) and 1 + cos(f_2, sg f_1), for labelled and for unlabelled mixtures, f the finest
      features: the networks are to see different things. sg: no gradient.

    The first two are (CE + Dice) / 2, summed over both networks, Dice with p and y not squared in the denominator.
    Pre-training has labelled images alone: L_l and their share of L_dis. The first network is the predictor.

    Differences from the released code:

    - In 2D the released networks are the same encoder and decoder, which dropout alone tells apart: the second decoder
      is built and never called. Here the networks differ in 2D as they do in 3D.
    - The first network is evaluated. Released: the mean of both networks' logits.
    - Dice has the recipe's background and smoothing, and sums over the batch. Released: of each image, with background.
    - Both stages are one run, with the recipe's decay of the rate. Released: SGD with 0.01, in two programs.
    - Components are found on the device.

    We implemented the equations without the code, so these are our readings: the cosine is that of a voxel's features
    after the last dropout, mean over voxels; both mixtures of a step have the same box and go through a network in one
    pass; components take corners as neighbours.
    """

    about = "two networks with discrepant features label copy-paste mixtures for each other"
    paper = "Wu et al., ACM Multimedia 2024"
    remarks = ("Its parameters are those of two networks.",)
    Settings = CMLSettings
    settings: CMLSettings

    def __init__(self, network: Segmenter, settings: CMLSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.second = network.another()
        self.second.decoder = network.another_decoder(other_upsamplings(network.UPSAMPLING)[0])
        self.stage = 1  # 0: pre-training, 1: both kinds of images

    def before_step(self, step: int, steps: int) -> None:
        """Choose the stage."""
        self.stage = int(step >= self.settings.begins(steps))

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``: L_l; ``pseudo``: L_u, 0 while pre-training; ``discrepancy``: L_dis."""
        chosen, box = self.settings, draw_box(batch.x.shape[2:], self.settings.edge, batch.x.device)
        images, label = pasted(batch.x, box), pasted(batch.y, box)
        labelled = len(images)
        if self.stage:
            assert batch.u is not None
            images = torch.cat([images, pasted(batch.u.weak, box)])
            taught = self.cross_labels(batch.u.weak, box)
        both = (self.network, self.second)
        features = [net.last_dropout(net.decoder(net.encode(images))[0]) for net in both]
        logits = [net.head(f) for net, f in zip(both, features, strict=True)]
        terms = {"sup": sum_of(supervised_loss(z[:labelled], label, self.dice, POWER) for z in logits)}
        terms["pseudo"], unlike = torch.zeros_like(terms["sup"]), discrepancy(*(f[:labelled] for f in features))
        if self.stage:
            lessons = zip(logits, taught, strict=True)
            terms["pseudo"] = sum_of(supervised_loss(z[labelled:], y, self.dice, POWER) for z, y in lessons)
            unlike = unlike + discrepancy(*(f[labelled:] for f in features))
        total = terms["sup"] + chosen.unlabelled_weight * terms["pseudo"] + chosen.discrepancy_weight * unlike
        return {**terms, "discrepancy": unlike, "total": total}

    @torch.no_grad()
    def cross_labels(self, images: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        """What networks 1 and 2 learn of the mixtures of unlabelled `images` (B, C, *S): integers (b, *S) each."""
        one, two = (self._labels(net, images) for net in (self.network, self.second))
        return cutmix(one[1], two[0], box), cutmix(two[1], one[0], box)

    def _labels(self, network: Segmenter, images: Tensor) -> tuple[Tensor, Tensor]:
        """A network's labels of images a and b."""
        label = pseudo_label(network(images)).label
        if self.settings.largest_component:
            label = largest_components(label, network.classes, self.settings.largest_component)
        return halves(label, pairs(label))


def pasted(values: Tensor, box: Tensor) -> Tensor:
    """Images or labels b pasted into a: (B, ...) -> (b, ...), see `halves` and `pairs`; box (1, *S) bool."""
    around, inside = halves(values, pairs(values))
    return cutmix(inside, around, box)


def discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """1 + cosine of each voxel's features, mean over voxels, once for either network: features (B, E, *S) -> scalar.

    The least is 0, where the features point in opposite directions. Each side's gradient takes the other for fixed.
    """
    first, second = first.float(), second.float()
    cosines = [functional.cosine_similarity(*sides) for sides in ((first, second.detach()), (first.detach(), second))]
    return sum_of(1 + cosine.mean() for cosine in cosines)
