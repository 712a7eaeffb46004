"""BCP: labelled and unlabelled images are pasted into each other, both ways, and the network segments the mixtures.

Shapes: B batch, C channels, K classes, *S space.
Source: Bai et al., "Bidirectional Copy-Paste", CVPR 2023; constants of the released code for ACDC,
github.com/DeepMed-Lab-ECNU/BCP, code/ACDC_BCP_train.py, commit 7879f98.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from crossmatch.batches.batch import Batch
from crossmatch.methods.components import largest_components
from crossmatch.methods.losses import DiceSettings, counted, dice_loss, one_hot
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.pseudo import cutmix, pseudo_label
from crossmatch.networks.average import Average
from crossmatch.networks.segmenter import Segmenter
from crossmatch.perturb.cutmix import box_mask
from crossmatch.settings import BelowOne, Fraction, NonNegative

ROUNDING = 1e-9  # shares of a run and of an axis are rounded
EDGE = 2 / 3  # of the box, as a share of each axis: the paper's beta


class StagedSettings(MethodSettings):
    """Settings of methods that learn from labelled images alone at first."""

    pretraining: BelowOne = 0.25
    """Share of the run that trains on labelled images alone."""

    def begins(self, steps: int) -> int:
        """The first step, counted from 0, that learns from unlabelled images too, in a run of `steps`."""
        return round(self.pretraining * steps)

    def extended(self, before: int, steps: int) -> Self:
        """Pre-training keeps its steps, so that self-training goes on with the teacher that it has."""
        return self.model_copy(update={"pretraining": self.pretraining * before / steps})


class BCPSettings(StagedSettings):
    """Lengths and weights. The defaults are the released constants."""

    pretraining: BelowOne = 0.25
    """Share of the run that trains on labelled images alone. Released: 10,000 of 40,000 steps on ACDC, 2/17 on LA; 60
    of 260 epochs on Pancreas-CT, which are 0.243 of the steps with 6 labelled scans and 0.265 with 12."""
    rate_falls: Fraction = 1.0
    """Share of the run after which self-training's learning rate is a tenth, and again after as much more. Pre-training
    has the full rate. Released: 1 (never) on ACDC and Pancreas-CT, 2,500 of 17,000 steps on LA. 0: the recipe's decay,
    in both stages."""
    unlabelled_weight: NonNegative = 0.5
    """Weight of the regions with pseudo-labels; labelled regions have 1."""
    decay: BelowOne = 0.99
    """Decay of the teacher's moving average."""
    largest_component: Annotated[int, Field(ge=0, le=3)] = 3
    """Pseudo-labels keep the largest component of each class. Voxels are neighbours if their indices differ by at most
    1 in at most so many axes (released: ACDC 2 of 2, LA 3 of 3, Pancreas-CT 2 of 3). 0: labels are kept as they are."""

    def rate_share(self, progress: float) -> float | None:
        """1, and in self-training a tenth of that after each `rate_falls`."""
        if self.rate_falls == 0:
            return None
        return float(0.1 ** max(0, math.floor((progress - self.pretraining) / self.rate_falls + ROUNDING)))


class Mixture(NamedTuple):
    """Images that are pasted together of two."""

    image: Tensor  # (B, C, *S)
    label: Tensor  # (B, *S) true labels, which count in the region
    other: Tensor  # (B, *S) labels that count beyond it: the teacher's, and in pre-training true ones too
    region: Tensor  # (1, *S) bool


def draw_box(size: torch.Size, share: float, device: torch.device) -> Tensor:
    """One box at a random place, `share` of every axis long, rounded down: bool (1, *size), True inside."""
    edges = [int(share * length + ROUNDING) for length in size]
    places = [length - edge for length, edge in zip(size, edges, strict=True)]  # the last one is left out, as released
    start = [torch.randint(count, (1, 1), device=device) for count in places]
    stop = [corner + edge for corner, edge in zip(start, edges, strict=True)]
    return box_mask(torch.cat(start, 1), torch.cat(stop, 1), tuple(size))


def region_loss(logits: Tensor, label: Tensor, region: Tensor, dice: DiceSettings) -> Tensor:
    """Mean of cross entropy and Dice over a region, without voxels to be ignored.

    Args:
        logits: (B, K, *S).
        label: (B, *S) integers.
        region: (1, *S) bool, where voxels count, the same in every image.
        dice: background and smoothing.
    """
    logits, classes = logits.float(), logits.shape[1]
    mask = region.unsqueeze(1) * counted(label, classes)
    entropy = functional.cross_entropy(logits, label, reduction="none", ignore_index=classes) * mask[:, 0]
    mean = entropy.sum() / mask.sum().clamp(min=1)
    return (mean + dice_loss(logits.softmax(1), one_hot(label, classes) * mask, mask, dice)) / 2


def halves(images: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """A batch (B, ...) as images a and b, `count` of each.

    Images a are taken from the first one on, images b from the middle one on. Both go on at the front after the last.
    """
    turn = torch.arange(count, device=images.device)
    return images[turn % len(images)], images[(turn + len(images) // 2) % len(images)]


def pairs(*images: Tensor) -> int:
    """How many images one pass has: half the larger batch, and at least two.

    Batch statistics of one image would be poor. The released 3D code also has two of four images in a pass.
    """
    return max(2, (max(map(len, images)) + 1) // 2)


class BCP(Method):
    """Pre-training pastes labelled images into each other. Self-training pastes labelled and unlabelled ones.

    In self-training a moving average of the network, the teacher, labels the unlabelled images. Its labels keep the
    largest component of each class. Batches are cut into halves a and b, and each mixture is a pass of its own. Images
    of small batches are used more than once, see `halves` and `pairs`.

    Differences from the released code:

    - Both stages are one run. The optimiser's state goes on (as released for ACDC and Pancreas-CT), and self-training
      begins with the last weights. Released: with the weights that were best on validation (3D: on test) scans.
    - In 3D too, each region of a pre-training mixture has sums of its own. Released: one loss over the whole mixture;
      ours is 1.95 times it, and the cosine between the gradients is 0.98.
    - The teacher labels both halves in one pass, with common batch statistics. Released: one pass for each half.
    - Components are found on the device. Released: on the CPU.
    - Dice is that of the recipe. Released: smooth 1e-10 in 2D; in 3D per image, with background, denominators not
      squared.
    """

    about = "labelled and unlabelled images pasted into each other; a teacher labels the unlabelled"
    paper = "Bai et al., CVPR 2023, arXiv 2305.00673"
    version = 2
    Settings = BCPSettings
    settings: BCPSettings

    def __init__(self, network: Segmenter, settings: BCPSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.teacher = Average(network, settings.decay)
        self.stage = 1  # 0: pre-training, 1: self-training

    def before_step(self, step: int, steps: int) -> None:
        """Choose the stage. When self-training begins, the teacher becomes a copy of the student."""
        begins = self.settings.begins(steps)
        self.stage = int(step >= begins)
        if step == begins:
            self.teacher.network.load_state_dict(self.network.state_dict())

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``, over labelled regions, and ``pseudo``, over pseudo-labelled ones: 0 while pre-training."""
        mixtures = self.mixtures(batch)
        return self.terms(mixtures, [self.network(mixture.image) for mixture in mixtures])

    def after_step(self) -> None:
        """Move the teacher, once there is one."""
        if self.stage:
            self.teacher.update(self.network)

    def mixtures(self, batch: Batch) -> tuple[Mixture, ...]:
        """What the stage learns from; all mixtures of a step have one box.

        Pre-training: labelled images b are pasted into a. Self-training: labelled images a are pasted into unlabelled
        a, and unlabelled b into labelled b.
        """
        box = draw_box(batch.x.shape[2:], EDGE, batch.x.device)
        if self.stage == 0:
            count = pairs(batch.x)
            (x_a, x_b), (y_a, y_b) = halves(batch.x, count), halves(batch.y, count)
            return (Mixture(cutmix(x_b, x_a, box), y_a, y_b, ~box),)
        assert batch.u is not None
        with torch.no_grad():
            label = pseudo_label(self.teacher.network(batch.u.weak)).label
            if self.settings.largest_component:
                label = largest_components(label, self.network.classes, self.settings.largest_component)
        count = pairs(batch.x, label)
        (x_a, x_b), (y_a, y_b) = halves(batch.x, count), halves(batch.y, count)
        (u_a, u_b), (p_a, p_b) = halves(batch.u.weak, count), halves(label, count)
        around = Mixture(cutmix(x_a, u_a, box), y_a, p_a, box)  # the unlabelled image lies around the labelled
        return around, Mixture(cutmix(u_b, x_b, box), y_b, p_b, ~box)

    def terms(self, mixtures: Sequence[Mixture], logits: Sequence[Tensor]) -> dict[str, Tensor]:
        """The terms of `loss` from the logits (B, K, *S) of each mixture. Every region has sums of its own."""
        both = list(zip(logits, mixtures, strict=True))
        sup = sum_of(region_loss(each, mixture.label, mixture.region, self.dice) for each, mixture in both)
        other = sum_of(region_loss(each, mixture.other, ~mixture.region, self.dice) for each, mixture in both)
        if self.stage == 0:
            sup, other = sup + other, torch.zeros_like(sup)
        return {"total": sup + self.settings.unlabelled_weight * other, "sup": sup, "pseudo": other}


def sum_of(losses: Iterable[Tensor]) -> Tensor:
    """The sum of scalars."""
    return torch.stack(list(losses)).sum()
