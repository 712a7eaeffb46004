"""Cross pseudo supervision (CPS): two networks of different initial weights label unlabelled images for each other.

Shapes: B batch, C channels, K classes, *S space.
Source: Chen, Yuan, Zeng, Wang, "Semi-Supervised Semantic Segmentation with Cross Pseudo Supervision", CVPR 2021.
Constants for medical images: github.com/HiLab-git/SSL4MIS, commit 06df604, train_cross_pseudo_supervision_2D.py.
"""

import torch
from torch import Tensor
from torch.nn import functional

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.pseudo import pseudo_label
from crossmatch.methods.schedules import ramp_up
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Fraction, NonNegative


class CPSSettings(MethodSettings):
    """Weight of the cross supervision and its warm-up. The defaults are the released constants.

    The released weight grows in steps over the whole run; ours grows at every step. (The paper has a constant weight,
    1.5 on its first dataset and 6 on its second.)
    """

    unlabelled_weight: NonNegative = 0.1
    """Weight of the two cross-supervision terms, after the warm-up."""
    warm_up: Fraction = 1.0
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start."""


class CPS(Method):
    """L = L_sup(z1) + L_sup(z2) + lambda(t) (CE(z1, argmax z2) + CE(z2, argmax z1)).

    Every pseudo-label counts. Labelled images get no cross supervision. Both networks see the same weak views, and the
    first one is the predictor. Both are initialised by the same rule, as in the released 2D code; the released 3D code
    uses He's rule for one and Glorot's for the other. Some experiments of the paper add CutMix. The released code does
    not have it, and it is not used here.
    """

    about = "two networks with different initial weights teach each other by hard pseudo-labels"
    paper = "Chen et al., CVPR 2021, arXiv 2106.01226"
    remarks = ("Its parameters are those of two networks.",)
    Settings = CPSSettings
    settings: CPSSettings

    def __init__(self, network: Segmenter, settings: CPSSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.second = network.another()

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup`` and ``cross``: sums over both networks; ``weight``: of ``cross``; ``total``; ``agreement``.

        ``agreement`` is the share of unlabelled voxels to which both networks give the same label.
        """
        assert batch.u is not None
        images, sizes = torch.cat([batch.x, batch.u.weak]), [len(batch.x), len(batch.u.weak)]
        x1, u1 = self.network(images).float().split(sizes)
        x2, u2 = self.second(images).float().split(sizes)
        label1, label2 = pseudo_label(u1).label, pseudo_label(u2).label
        terms = {
            "sup": supervised_loss(x1, batch.y, self.dice) + supervised_loss(x2, batch.y, self.dice),
            "cross": functional.cross_entropy(u1, label2) + functional.cross_entropy(u2, label1),
            "agreement": (label1 == label2).float().mean(),
            "weight": self.settings.unlabelled_weight * ramp_up(progress, self.settings.warm_up),
        }
        terms["total"] = terms["sup"] + terms["weight"] * terms["cross"]
        return terms
