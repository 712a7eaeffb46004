"""Self-distillation: the network's soft predictions of the weak view are targets for the strong view.

Shapes: B batch, C channels, K classes, *S space.
Sources: a network is its own teacher in Zhang et al., "Be Your Own Teacher", ICCV 2019, where deep layers teach shallow
ones. The two views are those of Sohn et al., "FixMatch", NeurIPS 2020. The loss is that of Hinton et al., "Distilling
the Knowledge in a Neural Network", 2015.
"""

import torch
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import distillation_loss, supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.schedules import ramp_up
from crossmatch.settings import Fraction, NonNegative, Positive


class SelfDistillationSettings(MethodSettings):
    """Weight and temperature, which are those of `distillation`, and the warm-up. There is no released code of this
    form.

    The warm-up lasts the whole run, as for the consistency terms of github.com/HiLab-git/SSL4MIS, commit 06df604: at
    first the network has nothing to teach.
    """

    unlabelled_weight: NonNegative = 1.0
    """Weight of the soft targets, after the warm-up."""
    temperature: Positive = 2.0
    """Temperature of both softmaxes. Higher is softer."""
    warm_up: Fraction = 1.0
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start."""


class SelfDistillation(Method):
    """L = L_sup + weight(t) T^2 KL(weak || strong), from one pass over labelled, weak and strong images.

    In one pass, batch normalisation treats the view that teaches and the view that learns alike. There is no CutMix.
    """

    about = "the weak view's soft predictions teach the strong view, in one network"
    paper = "idea: Zhang et al., ICCV 2019; soft targets: Hinton et al., 2015, arXiv 1503.02531"
    Settings = SelfDistillationSettings
    settings: SelfDistillationSettings

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``; ``distil``: the strong view against the weak view's soft targets."""
        assert batch.u is not None
        chosen, sizes = self.settings, [len(batch.x), len(batch.u.weak), len(batch.u.strong)]
        images = torch.cat([batch.x, batch.u.weak, batch.u.strong[:, 0]])
        x, w, s = self.network(images).split(sizes)
        sup = supervised_loss(x, batch.y, self.dice)
        distil = distillation_loss(s, w, chosen.temperature)
        weight = chosen.unlabelled_weight * ramp_up(progress, chosen.warm_up)
        return {"total": sup + weight * distil, "sup": sup, "distil": distil}
