"""Distillation: a new network learns the soft predictions of a finished run on unlabelled images.

Shapes: B batch, C channels, K classes, *S space.
Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv 1503.02531, section 2.
"""

from pathlib import Path
from typing import Annotated, Self

import torch
from pydantic import Field, field_validator
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, distillation_loss, supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import NonNegative, Positive


class DistillationSettings(MethodSettings):
    """The teacher, and how much it counts.

    The paper's hard and soft targets are of the same images, and the hard ones weigh less. Here each kind has images of
    its own, and both weigh 1. The paper's temperatures lie between 1 and 20; its small networks did best with low ones.
    """

    teacher: Annotated[str, Field(validate_default=True)] = ""
    """Folder of a finished run; its last checkpoint teaches. It must be given."""
    unlabelled_weight: NonNegative = 1.0
    """Weight of the soft targets."""
    temperature: Positive = 2.0
    """Temperature of both softmaxes. Higher is softer."""

    @field_validator("teacher")
    @classmethod
    def _given(cls, folder: str) -> str:
        # Whether the run exists is checked when it is opened. A finished student can be read without its teacher.
        if not folder:
            raise ValueError(
                "distillation needs a trained run as its teacher; give its folder, "
                "for example --set method.teacher=runs/supervised"
            )
        return folder

    @property
    def taught_by(self) -> Path:
        """The folder of the teacher's run."""
        return Path(self.teacher)


class Distillation(Method):
    """L = L_sup + weight T^2 KL(teacher || student), both on the weak view.

    The teacher may have any architecture. It sees the images as the student's recipe makes them, so it should have been
    trained with the same `data` settings. It is frozen, and always in eval mode. Its weights are part of the last
    checkpoint, so a resumed training goes on with exactly the same teacher. Its run must still exist then, because the
    architecture is read from there.

    Args:
        network, settings, dice: as of every method.
        teacher: a trained network for the same images and classes as `network`.
    """

    about = "a finished run's soft predictions of unlabelled images teach a new network"
    paper = "Hinton et al., 2015, arXiv 1503.02531"
    learns_from = "supervised"
    remarks = ("Its training time leaves out the training of its teacher.",)
    Settings = DistillationSettings
    settings: DistillationSettings

    def __init__(
        self, network: Segmenter, settings: DistillationSettings, dice: DiceSettings, teacher: Segmenter | None = None
    ) -> None:
        super().__init__(network, settings, dice, teacher)
        assert teacher is not None  # else the line above raises
        self.teacher = teacher.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the teacher, which stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``; ``distil``: the student on the weak view against the teacher's soft targets."""
        assert batch.u is not None
        chosen, weak = self.settings, batch.u.weak
        x, w = self.network(torch.cat([batch.x, weak])).split([len(batch.x), len(weak)])
        with torch.no_grad():
            taught = self.teacher(weak)
        sup = supervised_loss(x, batch.y, self.dice)
        distil = distillation_loss(w, taught, chosen.temperature)
        return {"total": sup + chosen.unlabelled_weight * distil, "sup": sup, "distil": distil}
