"""Mean Teacher: the network agrees with the moving average of its own weights, which sees noisy images.

Shapes: B batch, C channels, K classes, *S space.
Source: Tarvainen, Valpola, "Mean teachers are better role models", NeurIPS 2017. Constants for segmentation:
github.com/HiLab-git/SSL4MIS, commit 06df604, train_mean_teacher_2D.py.
"""

import torch
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.schedules import ramp_up
from crossmatch.networks.average import Average
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import BelowOne, Fraction, NonNegative

NOISE, NOISE_LIMIT = 0.1, 0.2  # standard deviation and clip of the noise, in units of the image; released


class MeanTeacherSettings(MethodSettings):
    """Weight of the consistency, its warm-up, and the teacher's memory. The defaults are the released constants.

    The released weight grows in steps over the whole run; ours grows at every step. The released code leaves the
    consistency out for the first 1,000 steps, where its weight is below 0.001.
    """

    unlabelled_weight: NonNegative = 0.1
    """Weight of the consistency with the teacher, after the warm-up."""
    warm_up: Fraction = 1.0
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start."""
    decay: BelowOne = 0.99
    """Decay of the teacher's moving average."""


class MeanTeacher(Method):
    """L_sup + lambda(t) mean (p - p')^2, with p of the student and p' of the teacher on the unlabelled images.

    As released: labelled and unlabelled images go through the student in one pass, without noise. The teacher is in
    train mode. The noise has the same strength for all images, whether they lie in [0, 1] or are z-scored.

    Differences from the released code:

    - The teacher is the predictor, as the paper recommends. The released code evaluates the student. For prediction the
      teacher has the student's batch statistics, as its own are of noisy images. They do not quite fit its weights
      until the learning rate has fallen.
    - The teacher begins as a copy of the student. The released teacher begins with weights of its own, which the first
      update replaces.
    """

    about = "the average of the network's own weights teaches it, through noise"
    paper = "Tarvainen and Valpola, NeurIPS 2017, arXiv 1703.01780"
    Settings = MeanTeacherSettings
    settings: MeanTeacherSettings
    taken: Tensor

    def __init__(self, network: Segmenter, settings: MeanTeacherSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.teacher = Average(network, settings.decay)
        self.register_buffer("taken", torch.ones(()), persistent=False)  # 1 - decay, of the next update

    def before_step(self, step: int, steps: int) -> None:
        """The teacher is the mean of all students in the first steps, then their moving average."""
        self.taken.fill_(max(1 / (step + 1), 1 - self.settings.decay))

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``; ``consistency``, see `consistency`; ``weight``: of the consistency; ``total``."""
        assert batch.u is not None
        logits = self.network(torch.cat([batch.x, batch.u.weak])).float()
        labelled, unlabelled = logits.split([len(batch.x), len(batch.u.weak)])
        terms = {"sup": supervised_loss(labelled, batch.y, self.dice)}
        terms |= self.consistency(unlabelled.softmax(1), batch.u.weak, progress)
        terms["weight"] = self.settings.unlabelled_weight * ramp_up(progress, self.settings.warm_up)
        terms["total"] = terms["sup"] + terms["weight"] * terms["consistency"]
        return terms

    def consistency(self, student: Tensor, images: Tensor, progress: Tensor) -> dict[str, Tensor]:
        """Terms by name: ``consistency``, how far the student is from the teacher, and what is to be logged beside it.

        Args:
            student: its softmax (B, K, *S) on the unlabelled images.
            images: those images (B, C, *S).
            progress: scalar tensor, from 0 to 1.
        """
        return {"consistency": (student - self.teach(images)).square().mean()}

    @torch.no_grad()
    def teach(self, images: Tensor) -> Tensor:
        """Softmax (B, K, *S) of the teacher on images (B, C, *S) to which noise is added, without gradient."""
        noise = (NOISE * torch.randn_like(images)).clamp(-NOISE_LIMIT, NOISE_LIMIT)
        taught: Tensor = self.teacher.network(images + noise).float().softmax(1)
        return taught

    def after_step(self) -> None:
        """Move the teacher."""
        self.teacher.update(self.network, self.taken)

    def predictor(self) -> Segmenter:
        """The teacher."""
        return self.teacher.predictor()
