"""CrossMatch: image views and feature views of one network teach each other.

An image view is the image as augmentation shows it: weak, or one of two strong views with CutMix. A feature view is one
encoding as the decoder sees it: clean, or with channels dropped at a low or a high rate. Predictions of less disturbed
views are labels for more disturbed ones.

Shapes: B batch, C channels, K classes, *S space.
Source: Zhao, Wang, Ding, "CrossMatch", IEEE JBHI 2024; constants of the released code
github.com/AiEson/CrossMatch, commit 59772e0.
"""

from typing import Generic, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.pseudo import Lesson, Target, cutmix, cutmix_target, lesson, match, pseudo_label, sure_shares
from crossmatch.methods.schedules import ramp_up, threshold_at
from crossmatch.networks.segmenter import Segmenter
from crossmatch.perturb.feature import DropoutKind, FeaturePerturbation
from crossmatch.settings import BelowOne, Fraction, NonNegative, Positive

T = TypeVar("T")


class CrossMatchSettings(MethodSettings):
    """Weights of the losses, threshold and feature perturbations. The defaults are the released 2D constants."""

    supervised_weight: NonNegative = 0.5
    """Weight of the supervised loss."""
    image_weight: NonNegative = 0.25
    """Weight of `L_ip`, the mean over the two strong views."""
    distillation_weight: NonNegative = 0.25
    """Weight of `(1 - eta) L_tkd + eta L_dkd`. Released 3D: 0.5."""
    eta: Fraction = 0.3
    """Mix of the distillation terms: 0 is `L_tkd` alone, 1 is `L_dkd` alone."""
    threshold: NonNegative = 0.95
    """Lowest confidence (softmax maximum) at which a voxel's pseudo-label counts. Above 1 none does."""
    threshold_ramp: NonNegative = 0.0
    """Time in which the threshold rises towards 1; 1 is the whole run. 0: it is constant."""
    threshold_scale: Positive = 1.0
    """Factor of the threshold. Released 3D: ln 2."""
    warm_up: Fraction = 0.0
    """Share of the run in which the weights of the unlabelled terms grow to their full values. 0: from the start."""
    perturbation: DropoutKind = "channel"
    """Kind of feature dropout: whole channels, single elements (alpha dropout), or whole channels of alpha dropout."""
    weak_rate: BelowOne = 0.25
    """Dropout rate of the weak feature view."""
    strong_rate: BelowOne = 0.75
    """Dropout rate of the strong feature view."""
    grouping: Literal["lean", "released"] = "lean"
    """Passes over the CutMix partners. `lean`: one. `released`: two, the second beside the labelled images."""


class Decodings(NamedTuple, Generic[T]):
    """One thing for each feature view: logits (B, K, *S), or what is made of them."""

    clean: T
    weak: T
    strong: T


def objective(
    x: Tensor,
    y: Tensor,
    weak: Decodings[Tensor],
    strong1: Tensor,
    strong2: Decodings[Tensor],
    partner: Decodings[Tensor],
    boxes: Tensor,
    settings: CrossMatchSettings,
    dice: DiceSettings,
    threshold: Tensor | float,
    unlabelled: Tensor | float = 1.0,
) -> dict[str, Tensor]:
    """Every term of the method, from logits alone.

    Args:
        x: logits of the labelled images (B, K, *S).
        y: their labels (B, *S), integers.
        weak: logits of the weak view. They teach; the weakly and strongly dropped ones also learn from the clean one.
        strong1: logits of the first strong view, clean features.
        strong2: logits of the second strong view.
        partner: logits of the CutMix partners' weak view. They only teach.
        boxes: (B, 2, *S) bool, where the partner was mixed into the first and the second strong view.
        settings: weights and eta.
        dice: background and smoothing.
        threshold: voxels whose pseudo-label is less sure than this do not count.
        unlabelled: factor of all terms but the supervised one.

    Returns:
        Scalars. ``sup``: supervised. ``ip1``, ``ip2``: image perturbation, one for each strong view. ``tkd``: teacher
        distillation, the mean of ``tkd_ww``, ``tkd_ws``, ``tkd_sw``, ``tkd_ss`` (the first letter is the image view
        that learns, the second its feature view). ``dkd``: decoder distillation, the mean of ``dkd_w`` and ``dkd_s``.
        ``total``: their weighted sum. ``confident``, ``pseudo_foreground``: see `sure_shares`, of the weak view.
    """

    def taught(target: Target) -> Lesson:
        return lesson(target, x.shape[1], threshold)

    def mixed(inside: Target, outside: Target, box: Tensor) -> Lesson:
        return taught(cutmix_target(inside, outside, box))

    own, other = Decodings(*map(pseudo_label, weak)), Decodings(*map(pseudo_label, partner))
    box1, box2 = boxes.unbind(1)
    label = taught(own.clean)
    label1 = mixed(other.clean, own.clean, box1)
    label2 = Decodings(
        clean=mixed(other.clean, own.clean, box2),
        weak=mixed(other.weak, own.weak, box2),
        strong=mixed(other.strong, own.strong, box2),
    )

    terms = {
        "sup": supervised_loss(x, y, dice),
        "ip1": match(strong1, label1, dice),
        "ip2": match(strong2.clean, label2.clean, dice),
        "tkd_ww": match(weak.weak, label, dice),
        "tkd_ws": match(weak.strong, label, dice),
        "tkd_sw": match(strong2.weak, label2.clean, dice),
        "tkd_ss": match(strong2.strong, label2.clean, dice),
        "dkd_w": match(strong2.weak, label2.weak, dice),
        "dkd_s": match(strong2.strong, label2.strong, dice),
    }
    image = (terms["ip1"] + terms["ip2"]) / 2
    terms["tkd"] = (terms["tkd_ww"] + terms["tkd_ws"] + terms["tkd_sw"] + terms["tkd_ss"]) / 4
    terms["dkd"] = (terms["dkd_w"] + terms["dkd_s"]) / 2
    distillation = (1 - settings.eta) * terms["tkd"] + settings.eta * terms["dkd"]
    terms["total"] = settings.supervised_weight * terms["sup"] + unlabelled * (
        settings.image_weight * image + settings.distillation_weight * distillation
    )
    terms |= sure_shares(own.clean, threshold)
    return terms


class CrossMatch(Method):
    """The method. The lean step has one encoder pass and one decoder pass each for partners, weak and strong views.

    The released code passes over the partners twice: the clean ones by themselves, then all feature views of them with
    the labelled images beside them. Leaving one pass out saves 8 % of the arithmetic. It also changes batch
    normalisation: other images meet in the passes without gradient, and running statistics move 3 times a step, not 4.
    """

    about = "weak and strong image views and feature views of one network teach each other"
    paper = "Zhao et al., IEEE JBHI 2024, arXiv 2405.00354"
    nesterov = True
    Settings = CrossMatchSettings
    settings: CrossMatchSettings

    def __init__(self, network: Segmenter, settings: CrossMatchSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.weakly = FeaturePerturbation(settings.perturbation, settings.weak_rate)
        self.strongly = FeaturePerturbation(settings.perturbation, settings.strong_rate)

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """The terms of `objective` for a batch."""
        assert batch.u is not None
        assert batch.mix is not None
        u, mix, chosen = batch.u, batch.mix, self.settings
        image1, image2 = (cutmix(mix.strong[:, i], u.strong[:, i], u.box[:, i]) for i in (0, 1))

        with torch.no_grad():
            partner = self._decode_partners(mix.weak, beside=batch.x)
        x, weak = self._decode_views(u.weak, clean_only=batch.x)
        strong1, strong2 = self._decode_views(image2, clean_only=image1)

        threshold = threshold_at(progress, chosen.threshold, chosen.threshold_ramp, chosen.threshold_scale)
        warmth = ramp_up(progress, chosen.warm_up)
        return objective(
            x, batch.y, weak, strong1, strong2, partner, u.box, chosen, self.dice, threshold, unlabelled=warmth
        )

    def _decode_partners(self, images: Tensor, beside: Tensor) -> Decodings[Tensor]:
        """Logits of the partners (B, C, *S); in the released grouping the labelled images `beside` share a pass."""
        if self.settings.grouping == "lean":
            return self._decode_views(images)[1]
        clean = self.network(images)
        return self._decode_views(images, clean_only=beside)[1]._replace(clean=clean)

    def _decode_views(self, images: Tensor, clean_only: Tensor | None = None) -> tuple[Tensor, Decodings[Tensor]]:
        """One encoder pass and one decoder pass.

        Args:
            images: (B, C, *S), decoded in all feature views.
            clean_only: (A, C, *S), decoded clean in the same passes; None: no further images.

        Returns:
            Logits of `clean_only` (A, K, *S), A = 0 where there are none, and of `images`.
        """
        first = images[:0] if clean_only is None else clean_only
        features = self.network.encode(torch.cat([first, images]))
        rest = [level[len(first) :] for level in features]
        levels = zip(features, self.weakly(rest), self.strongly(rest), strict=True)
        logits = self.network.decode([torch.cat(views) for views in levels])
        count = len(images)
        plain, clean, weak, strong = torch.split(logits, [len(first), count, count, count])
        return plain, Decodings(clean, weak, strong)
