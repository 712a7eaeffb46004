"""UniMatch: the weak view teaches two strong views of the image, and a decoding of its own with dropped features.

Shapes: B batch, C channels, K classes, *S space.
Source: Yang et al., "Revisiting Weak-to-Strong Consistency", CVPR 2023; constants of the released code for medical
images, github.com/LiheYoung/UniMatch, more-scenarios/medical/unimatch.py, commit 0324f3d.
"""

import torch
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.pseudo import cutmix, cutmix_target, lesson, match, partner_label, pseudo_label, sure_shares
from crossmatch.methods.schedules import ramp_up
from crossmatch.networks.segmenter import Segmenter
from crossmatch.perturb.feature import FeaturePerturbation
from crossmatch.settings import BelowOne, Fraction, NonNegative


class UniMatchSettings(MethodSettings):
    """Threshold, weights and dropout. The defaults are the released constants. Dice is that of the recipe."""

    threshold: NonNegative = 0.95
    """Lowest confidence (softmax maximum) at which a voxel's pseudo-label counts. Above 1 none does."""
    image_weight: NonNegative = 0.5
    """Weight of the mean over the two strong views; the supervised loss has 1."""
    feature_weight: NonNegative = 0.5
    """Weight of the view with dropped features; the supervised loss has 1."""
    warm_up: Fraction = 0.0
    """Share of the run in which the weights of the unlabelled terms grow to their full values. 0: from the start."""
    rate: BelowOne = 0.5
    """Share of the channels dropped at each level between encoder and decoder."""


class UniMatch(Method):
    """Three passes: partners (in eval mode), labelled images with weak views, strong views.

    The second pass decodes all its images clean and with dropped features, as released. The dropped decoding of the
    labelled images has no loss, but it counts in the decoder's batch statistics.
    """

    about = "the weak view teaches two strong views and its own decoding from dropped features"
    paper = "Yang et al., CVPR 2023, arXiv 2208.09910"
    Settings = UniMatchSettings
    settings: UniMatchSettings

    def __init__(self, network: Segmenter, settings: UniMatchSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.dropped = FeaturePerturbation("channel", settings.rate)

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``; ``s1``, ``s2``: the strong views; ``fp``: the dropped features.

        ``confident``, ``pseudo_foreground``: see `sure_shares`, of the weak view.
        """
        assert batch.u is not None
        assert batch.mix is not None
        u, mix, chosen = batch.u, batch.mix, self.settings
        partner = partner_label(self.network, mix.weak)
        x, w, w_fp = self._weak_pass(batch.x, u.weak)
        views = [cutmix(mix.strong[:, i], u.strong[:, i], u.box[:, i]) for i in (0, 1)]
        s1, s2 = self.network.decode(self.network.encode(torch.cat(views))).chunk(2)

        own = pseudo_label(w)
        t, t1, t2 = (
            lesson(target, x.shape[1], chosen.threshold)
            for target in (own, *(cutmix_target(partner, own, u.box[:, i]) for i in (0, 1)))
        )
        terms = {
            "sup": supervised_loss(x, batch.y, self.dice),
            "s1": match(s1, t1, self.dice),
            "s2": match(s2, t2, self.dice),
            "fp": match(w_fp, t, self.dice),
        }
        image = (terms["s1"] + terms["s2"]) / 2
        unlabelled = chosen.image_weight * image + chosen.feature_weight * terms["fp"]
        terms["total"] = (terms["sup"] + ramp_up(progress, chosen.warm_up) * unlabelled) / 2
        return terms | sure_shares(own, chosen.threshold)

    def _weak_pass(self, x: Tensor, weak: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the labelled images, of the weak views, and of the weak views from dropped features."""
        features = self.network.encode(torch.cat([x, weak]))
        pairs = zip(features, self.dropped(features), strict=True)
        clean, dropped = self.network.decode([torch.cat(pair) for pair in pairs]).chunk(2)
        return clean[: len(x)], clean[len(x) :], dropped[len(x) :]
