"""FixMatch: confident predictions of the weak view of an image are labels for its strong view.

Shapes: B batch, C channels, K classes, *S space.
Source: Sohn et al., "FixMatch", NeurIPS 2020, for segmentation with CutMix as in Yang et al., CVPR 2023; constants of
their code github.com/LiheYoung/UniMatch, fixmatch.py, commit 0324f3d.
"""

import torch
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.pseudo import Lesson, cutmix, cutmix_target, lesson, partner_label, pseudo_label, sure_shares
from crossmatch.methods.schedules import ramp_up
from crossmatch.settings import Fraction, NonNegative


class FixMatchSettings(MethodSettings):
    """Threshold and weight. The defaults are the released constants.

    The supervised loss is the mean of cross entropy and Dice, as for every method here (released: cross entropy alone).
    A weight of 1 is less than it looks: the loss of the pseudo-labels is divided by the number of all voxels, also of
    those that do not count.
    """

    threshold: NonNegative = 0.95
    """Lowest confidence (softmax maximum) at which a voxel's pseudo-label counts. Above 1 none does."""
    unlabelled_weight: NonNegative = 1.0
    """Weight of the pseudo-labels beside 1 for the supervised loss. The total is half the sum."""
    warm_up: Fraction = 0.0
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start."""


def masked_entropy(logits: Tensor, taught: Lesson) -> Tensor:
    """Cross entropy of logits (B, K, *S) against a lesson: summed over confident voxels, divided by all voxels.

    As released. The fewer voxels are confident, the less they weigh.
    """
    return -(taught.one_hot * logits.float().log_softmax(1)).sum(1).mean()


class FixMatch(Method):
    """The first strong view, with CutMix, learns from the weak views of the image and of its partner.

    The weak view is labelled in train mode, with the network's dropout, as released.
    """

    about = "the weak view of an image teaches its strong view, where it is sure"
    paper = "Sohn et al., NeurIPS 2020, arXiv 2001.07685"
    Settings = FixMatchSettings
    settings: FixMatchSettings

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``; ``strong``; ``confident``, ``pseudo_foreground``: see `sure_shares`, of the weak view."""
        assert batch.u is not None
        assert batch.mix is not None
        u, mix, box, chosen = batch.u, batch.mix, batch.u.box[:, 0], self.settings
        partner = partner_label(self.network, mix.weak)
        x, w = self.network(torch.cat([batch.x, u.weak])).split([len(batch.x), len(u.weak)])
        s = self.network(cutmix(mix.strong[:, 0], u.strong[:, 0], box))

        own = pseudo_label(w)
        taught = lesson(cutmix_target(partner, own, box), x.shape[1], chosen.threshold)
        sup, strong = supervised_loss(x, batch.y, self.dice), masked_entropy(s, taught)
        weight = chosen.unlabelled_weight * ramp_up(progress, chosen.warm_up)
        return {
            "total": (sup + weight * strong) / 2,
            "sup": sup,
            "strong": strong,
            **sure_shares(own, chosen.threshold),
        }
