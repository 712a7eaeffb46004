"""AD-MT (alternate diverse mean teacher): two averages of the student teach together and are updated in turns.

Shapes: B batch, C channels, K classes, *S space.
Source: Zhao et al., "Alternate Diverse Teaching for Semi-supervised Medical Image Segmentation", ECCV 2024; released
code github.com/ZhenZHAO/AD-MT, code/train_post_2d_aut.py and train_post_3d_aut.py, commit 03ef84c.
"""

from bisect import bisect
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.pseudo import Target, cutmix, lesson, match, pseudo_label, sure_shares
from crossmatch.methods.schedules import ramp_up
from crossmatch.networks.average import Average
from crossmatch.networks.segmenter import Segmenter
from crossmatch.perturb.cutmix import box_mask
from crossmatch.settings import BelowOne, Count, Fraction, NonNegative

LOG_EPSILON = 1e-10  # released, in the teachers' entropy
CENTRE = 8  # centres of boxes lie between this part of an edge and its end, released


class ADMTSettings(MethodSettings):
    """The defaults are the released constants of ACDC.

    The released weight of the pseudo-labels grows every 150 steps; ours grows at every step.
    """

    threshold: NonNegative = 0.95
    """Pseudo-labels whose confidence is below this are left out. Released 3D: 0.8."""
    pseudo_loss: Literal["dice", "cross_entropy"] = "dice"
    """Loss of the pseudo-labels that count. Released 3D: cross_entropy, their mean."""
    unlabelled_weight: NonNegative = 2.0
    """Weight of the pseudo-labels, after the warm-up."""
    warm_up: Fraction = 0.25
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start. Released 3D: 0.4."""
    longest_turn: Count = 50
    """Most steps in which one teacher follows the student. Released: half a pass over the unlabelled images, 50 on
    ACDC, 19 on LA, 14 on Pancreas-CT."""
    copying: Fraction = 1 / 300
    """Share of the run in which a teacher is a copy of the student. Released 3D: 0.0053."""
    decay: BelowOne = 0.99
    """Decay of the teachers' moving averages, at most."""


class ADMT(Method):
    """L = L_sup(l) + w(t) L_u(strong view of u), with labels that two teachers A and B give together.

    Turns of A and B alternate; each lasts a number of steps drawn from 1 to `longest_turn`. Only the teacher of the
    turn follows the student, and it alone has batch statistics; the other is in `eval()`. Labels of the weak view are
    those of the teachers' mean, weighted by their certainty, and the student's own where it may overrule them, see
    `combined` and `overruled`. What the student sees differs too: in A's turns the product's first strong view, in B's
    a CutMix of the weak views, with one size of box a batch. One pass of labelled, weak and strong images. Teacher A is
    the predictor.

    As released, CutMix moves the teachers' labels, but not the student's with which they are then compared.

    What differs: the strong view is that of all methods here (released: brightness and contrast, then blur in 2D, noise
    in 3D).

    Each turn is a `stage`: with ``--graphs`` a step is captured again at every turn, which may cost more than it saves.
    """

    about = "two averages of the network, updated in turns, label together what a strong view learns"
    paper = "Zhao et al., ECCV 2024, arXiv 2311.17325"
    Settings = ADMTSettings
    settings: ADMTSettings
    taken: Tensor

    def __init__(self, network: Segmenter, settings: ADMTSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.first, self.second = (Average(network, settings.decay, buffers_too=True) for _ in range(2))
        self.register_buffer("taken", torch.ones(()), persistent=False)  # by the teacher's next update: 1 - decay
        self.seed = int(torch.randint(2**31, ()))  # of the turns
        self.ends: list[int] = []  # of the turns, in steps
        self._begin_turn(0)

    def before_step(self, step: int, steps: int) -> None:
        """Choose the turn, and how far its teacher goes towards the student after the step."""
        if not self.ends or self.ends[-1] < steps:
            drawn = torch.Generator().manual_seed(self.seed)
            self.ends = torch.randint(1, self.settings.longest_turn + 1, (steps,), generator=drawn).cumsum(0).tolist()
        self._begin_turn(bisect(self.ends, step) % 2)
        updates = step // 2 - round(self.settings.copying * steps / 2) + 1
        self.taken.fill_(max(1 / max(updates, 1), 1 - self.settings.decay))

    def _begin_turn(self, turn: int) -> None:
        self.stage = turn
        self.first.train(turn == 0)
        self.second.train(turn == 1)

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """See `admt_loss`; also ``agreement``, the share of voxels that both teachers give the same label."""
        assert batch.u is not None
        weak, strong = batch.u.weak, batch.u.strong[:, 0]
        with torch.no_grad():
            taught = combined(self.first.network(weak), self.second.network(weak))
        agreement = 1 - taught.conflict.float().mean()
        if self.stage == 1:
            partner, box = torch.rand(len(weak), device=weak.device).argsort(), draw_boxes(weak)
            strong = cutmix(weak[partner], weak, box)
            taught = Taught(*(cutmix(value[partner], value, box) for value in taught))
        logits = self.network(torch.cat([batch.x, weak, strong]))
        x, w, s = logits.split([len(batch.x), len(weak), len(weak)])
        weight = self.settings.unlabelled_weight * ramp_up(progress, self.settings.warm_up)
        target = overruled(taught, pseudo_label(w))
        return admt_loss(x, batch.y, s, target, weight, self.settings, self.dice) | {"agreement": agreement}

    def after_step(self) -> None:
        """Move the teacher of the turn."""
        (self.first, self.second)[self.stage].update(self.network, self.taken)

    def predictor(self) -> Segmenter:
        """Teacher A."""
        return self.first.predictor()


class Taught(NamedTuple):
    """What both teachers predict; no gradient passes through."""

    label: Tensor  # (B, *S) int64
    confidence: Tensor  # (B, *S) float32
    conflict: Tensor  # (B, *S) bool, where their labels differ


@torch.no_grad()
def combined(first: Tensor, second: Tensor) -> Taught:
    """Both teachers' mean softmax, each voxel weighted by exp(-H), H a teacher's entropy in bits; logits (B, K, *S)."""
    p1, p2 = first.float().softmax(1), second.float().softmax(1)
    certainty1, certainty2 = ((p * (p + LOG_EPSILON).log2()).sum(1, keepdim=True).exp() for p in (p1, p2))
    mean = (certainty1 * p1 + certainty2 * p2) / (certainty1 + certainty2)
    confidence, label = mean.max(1)
    return Taught(label, confidence, p1.argmax(1) != p2.argmax(1))


def overruled(taught: Taught, student: Target) -> Target:
    """The teachers' labels, and the student's where they conflict, it says something else and is surer than they."""
    doubtful = taught.conflict & (student.label != taught.label) & (student.confidence > taught.confidence)
    label = torch.where(doubtful, student.label, taught.label)
    return Target(label, torch.where(doubtful, student.confidence, taught.confidence))


def draw_boxes(images: Tensor) -> Tensor:
    """One box an image (B, C, *S), bool (B, *S): all have one share of every edge, sqrt(1 - Beta(4, 4)).

    Centres lie anywhere but in the first eighth of an axis; boxes are cut at the image's edges.
    """
    size = torch.Size(images.shape[2:])
    # the middle one of seven uniform numbers has the distribution Beta(4, 4)
    share = (1 - torch.rand(7, device=images.device).sort().values[3]).sqrt()
    start, stop = [], []
    for length in size:
        half = (share * length).long() // 2
        centre = torch.randint(length // CENTRE, length, (len(images), 1), device=images.device)
        start.append((centre - half).clamp(min=0))
        stop.append((centre + half).clamp(max=length))
    return box_mask(torch.cat(start, 1), torch.cat(stop, 1), size)


def admt_loss(
    labelled: Tensor,
    label: Tensor,
    strong: Tensor,
    target: Target,
    weight: Tensor,
    settings: ADMTSettings,
    dice: DiceSettings,
) -> dict[str, Tensor]:
    """``sup``, ``pseudo``, ``weight``, ``total``; ``confident``, ``pseudo_foreground``: see `sure_shares`.

    Args:
        labelled: logits (b, K, *S) of the labelled images; label: theirs (b, *S).
        strong: logits (B, K, *S) of the strong views; target: what they learn.
        weight: scalar, of the pseudo-labels at this step.
        settings, dice: threshold and kind of loss; background and smoothing.
    """
    taught = lesson(target, strong.shape[1], settings.threshold)
    if settings.pseudo_loss == "dice":
        pseudo = match(strong, taught, dice)
    else:
        entropy = functional.cross_entropy(strong.float(), target.label, reduction="none")
        pseudo = (entropy * taught.mask[:, 0]).sum() / taught.mask.sum().clamp(min=1)  # released: NaN if nothing counts
    sup = supervised_loss(labelled, label, dice)
    terms = {"sup": sup, "pseudo": pseudo, "weight": weight, **sure_shares(target, settings.threshold)}
    terms["total"] = sup + weight * pseudo
    return terms
