"""Pseudo-labels: the network learns its own confident labels of unlabelled images as if they were given.

Shapes: B batch, C channels, K classes, *S space.
Source: Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks", ICML
workshop on challenges in representation learning, 2013: the loss is eq. 15, its growing weight eq. 16.
"""

import torch
from torch import Tensor
from torch.nn import functional

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.pseudo import pseudo_label, sure_shares
from crossmatch.methods.schedules import ramp_up
from crossmatch.settings import Fraction, NonNegative


class PseudoLabelSettings(MethodSettings):
    """Weight, threshold and warm-up. Two of them depart from the paper, which classifies whole images.

    The paper counts every pseudo-label (threshold 0). In a scan most voxels lie far from any border, so the threshold
    of the other methods leaves out the uncertain ones. The paper's weight grows linearly from epoch 100 to 600; here it
    has the ramp of the other methods, over the whole run.
    """

    unlabelled_weight: NonNegative = 3.0
    """Weight of the pseudo-labels, after the warm-up (the paper's alpha_f)."""
    threshold: NonNegative = 0.95
    """Lowest confidence (softmax maximum) at which a voxel's pseudo-label counts. Above 1 none does."""
    warm_up: Fraction = 1.0
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start."""


class PseudoLabel(Method):
    """L = L_sup + alpha(t) L_pseudo, from one pass over the labelled images and the weak view."""

    about = "the network's own confident labels of unlabelled images teach it"
    paper = "Lee, ICML workshop 2013"
    Settings = PseudoLabelSettings
    settings: PseudoLabelSettings

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``; ``pseudo``: cross entropy with the pseudo-labels; and `sure_shares` of them.

        The mean is over all voxels, and those below the threshold add 0. The fewer count, the less they weigh.
        """
        assert batch.u is not None
        chosen, labelled = self.settings, len(batch.x)
        logits = self.network(torch.cat([batch.x, batch.u.weak])).float()
        x, w = logits[:labelled], logits[labelled:]
        target = pseudo_label(w)
        counts = (target.confidence >= chosen.threshold).float()
        sup = supervised_loss(x, batch.y, self.dice)
        pseudo = (functional.cross_entropy(w, target.label, reduction="none") * counts).mean()
        alpha = chosen.unlabelled_weight * ramp_up(progress, chosen.warm_up)
        return {"total": sup + alpha * pseudo, "sup": sup, "pseudo": pseudo, **sure_shares(target, chosen.threshold)}
