"""CrossMatch: image views and feature views of one network teach each other.

Shapes: B batch, C channels, K classes, *S space. In names, the letter is the image view (w weak, s1 and s2 strong,
mix the CutMix partners' weak view), the field is the feature view (clean, weakly or strongly dropped).
Source: Zhao, Wang, Ding, "CrossMatch", IEEE JBHI 2024; constants of the released code
github.com/AiEson/CrossMatch, commit 59772e0.
"""

from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.pseudo import Lesson, Target, cutmix, cutmix_target, lesson, match, pseudo_label
from crossmatch.methods.schedules import ramp_up, threshold_at
from crossmatch.networks.segmenter import Segmenter
from crossmatch.perturb.feature import DropoutKind, FeaturePerturbation
from crossmatch.settings import BelowOne, Fraction, NonNegative, Positive

T = TypeVar("T")


class CrossMatchSettings(MethodSettings):
    """Weights of the total, the distillation mix and the perturbations; the defaults are the released 2D constants."""

    supervised_weight: NonNegative = 0.5
    image_weight: NonNegative = 0.25  # of L_ip, the mean over the two strong views
    distillation_weight: NonNegative = 0.25  # of (1 - eta) L_tkd + eta L_dkd; released 3D: 0.5
    eta: Fraction = 0.3
    threshold: NonNegative = 0.95  # on the softmax maximum; above 1 nothing unlabelled is learned
    threshold_ramp: NonNegative = 0.0  # rise towards 1 over so many runs; 0: constant
    threshold_scale: Positive = 1.0  # released 3D: ln 2
    warm_up: Fraction = 0.0  # share of the run over which the unlabelled terms grow to full
    perturbation: DropoutKind = "channel"
    weak_rate: BelowOne = 0.25
    strong_rate: BelowOne = 0.75


class Decodings(NamedTuple, Generic[T]):
    """One thing for each feature view: logits (B, K, *S), or the `Target` made from them."""

    clean: T
    weak: T
    strong: T


def objective(
    x: Tensor,
    y: Tensor,
    w: Decodings[Tensor],
    s1: Tensor,
    s2: Decodings[Tensor],
    mix: Decodings[Tensor],
    boxes: Tensor,
    settings: CrossMatchSettings,
    dice: DiceSettings,
    threshold: Tensor | float,
    unlabelled: Tensor | float = 1.0,
) -> dict[str, Tensor]:
    """Every term of the method, from logits alone.

    Args:
        x: logits of the labelled images (B, K, *S); y: their labels (B, *S), integers.
        w, mix: logits of the weak view and of the CutMix partners' weak view; they teach, and `w.weak` and `w.strong`
            learn from `w.clean`.
        s1: logits of the first strong view, features clean; s2: of the second, all feature views.
        boxes: (B, 2, *S) bool, where the partner was mixed into s1 and s2.
        settings: weights and eta; dice: background and smoothing.
        threshold: pseudo-labels whose confidence lies below do not count.
        unlabelled: factor of all terms but the supervised one.

    Returns:
        Scalars: ``total``, ``sup``, ``ip1``, ``ip2``, ``tkd``, ``dkd`` and their parts (``tkd_sw``: weak decoding of
        the strong image against the clean teacher), and ``confident``, the share of voxels of the clean teacher that
        reach the threshold.
    """

    def counted(target: Target) -> Lesson:
        return lesson(target, x.shape[1], threshold)

    t = Decodings(*map(pseudo_label, w))
    m = Decodings(*map(pseudo_label, mix))
    box1, box2 = boxes.unbind(1)
    t_w = counted(t.clean)
    t_s1 = counted(cutmix_target(m.clean, t.clean, box1))
    t_s2 = Decodings(*(counted(cutmix_target(inside, outside, box2)) for inside, outside in zip(m, t, strict=True)))

    terms = {
        "sup": supervised_loss(x, y, dice),
        "ip1": match(s1, t_s1, dice),
        "ip2": match(s2.clean, t_s2.clean, dice),
        "tkd_ww": match(w.weak, t_w, dice),
        "tkd_ws": match(w.strong, t_w, dice),
        "tkd_sw": match(s2.weak, t_s2.clean, dice),
        "tkd_ss": match(s2.strong, t_s2.clean, dice),
        "dkd_w": match(s2.weak, t_s2.weak, dice),
        "dkd_s": match(s2.strong, t_s2.strong, dice),
    }
    image = (terms["ip1"] + terms["ip2"]) / 2
    terms["tkd"] = (terms["tkd_ww"] + terms["tkd_ws"] + terms["tkd_sw"] + terms["tkd_ss"]) / 4
    terms["dkd"] = (terms["dkd_w"] + terms["dkd_s"]) / 2
    distillation = (1 - settings.eta) * terms["tkd"] + settings.eta * terms["dkd"]
    terms["total"] = settings.supervised_weight * terms["sup"] + unlabelled * (
        settings.image_weight * image + settings.distillation_weight * distillation
    )
    terms["confident"] = t_w.mask.mean()
    return terms


class CrossMatch(Method):
    """One encoder pass and one decoder pass for each of: the partners, the weak views, the strong views.

    This is the lean step: the released code also encodes the labelled images beside the partners and decodes the
    clean partners apart. Leaving that out saves 8 % of the arithmetic; BatchNorm sees other groups in the pass without
    gradient, and its running statistics move 3 times a step instead of 4.
    """

    about = "weak and strong image views and feature views of one network teach each other"
    paper = "Zhao et al., IEEE JBHI 2024, arXiv 2405.00354"
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
        u, mix, labelled, chosen = batch.u, batch.mix, len(batch.x), self.settings
        with torch.no_grad():
            m_n, m_w, m_s = self._decode_views(self.network.encode(mix.weak), skip=0)
        x, w_n, w_w, w_s = self._decode_views(self.network.encode(torch.cat([batch.x, u.weak])), skip=labelled)
        s1, s2 = (cutmix(mix.strong[:, i], u.strong[:, i], u.box[:, i]) for i in (0, 1))
        s1_n, s2_n, s2_w, s2_s = self._decode_views(self.network.encode(torch.cat([s1, s2])), skip=len(s1))
        return objective(
            x,
            batch.y,
            Decodings(w_n, w_w, w_s),
            s1_n,
            Decodings(s2_n, s2_w, s2_s),
            Decodings(m_n, m_w, m_s),
            u.box,
            chosen,
            self.dice,
            threshold_at(progress, chosen.threshold, chosen.threshold_ramp, chosen.threshold_scale),
            ramp_up(progress, chosen.warm_up),
        )

    def _decode_views(self, features: list[Tensor], skip: int) -> list[Tensor]:
        """One decoder pass over all images clean, and all but the first `skip` also weakly and strongly dropped.

        Returns the logits in groups: the skipped images (if any), then the rest clean, weak, strong.
        """
        rest = [level[skip:] for level in features]
        levels = zip(features, self.weakly(rest), self.strongly(rest), strict=True)
        logits = self.network.decode([torch.cat(views) for views in levels])
        count = len(rest[0])
        return list(torch.split(logits, [skip, count, count, count] if skip else [count, count, count]))
