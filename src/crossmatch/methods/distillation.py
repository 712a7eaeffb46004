"""Distillation: a finished run teaches a new network what it says, softened, of unlabelled images.

Shapes: B batch, C channels, K classes, *S space.
Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv 1503.02531, section 2.
"""

from pathlib import Path
from typing import Annotated, Self

import torch
from pydantic import Field, field_validator
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.errors import UserError
from crossmatch.methods.losses import DiceSettings, distillation_loss, supervised_loss
from crossmatch.methods.method import Method
from crossmatch.networks.layers import to_channels_last
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Settings

# what teacher and student must have in common, in words
SHARED = {"dims": "spatial axes", "in_channels": "image channels", "classes": "classes, background included"}


class DistillationSettings(Settings):
    """The teacher must be given.

    The paper weighs hard targets less than soft ones, of the same images; here each has its own images, and both
    weigh 1. Its temperatures lie between 1 and 20, and its small networks did best with low ones.
    """

    teacher: Annotated[str, Field(validate_default=True)] = ""  # the folder of a run, its last checkpoint is taken
    unlabelled_weight: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 2.0

    @field_validator("teacher")
    @classmethod
    def _given(cls, folder: str) -> str:
        # whether the run is there is asked when it is opened: a finished student is read without its teacher
        if not folder:
            raise ValueError(
                "distillation needs a trained run as its teacher; give its folder, "
                "for example --set method.teacher=runs/supervised"
            )
        return folder


class Distillation(Method):
    """L = L_sup + weight T^2 KL(teacher || student), both on the weak view.

    The teacher may have any architecture. It sees the images as the student's recipe makes them, so it should have been
    trained with the same `data` settings. It is frozen and in eval mode, whatever mode the method is in. Its weights
    are part of the method's state, hence of the last checkpoint (once, and not of the best): resuming goes on with
    exactly them. The teacher's run must still be there then, for its architecture.

    Raises:
        UserError: the teacher is no run, has no checkpoint, or takes or gives something else than the student.
    """

    about = "a finished run's soft predictions of unlabelled images teach a new network"
    paper = "Hinton et al., 2015, arXiv 1503.02531"
    remarks = ("Its training time leaves out the training of its teacher.",)

    def __init__(self, network: Segmenter, settings: DistillationSettings, dice: DiceSettings) -> None:
        super().__init__()
        self.network, self.settings, self.dice = network, settings, dice
        self.teacher = _teacher(Path(settings.teacher), network).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Also keeps the teacher in eval mode: its statistics are those it finished with, and it drops nothing."""
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


def _teacher(folder: Path, student: Segmenter) -> Segmenter:
    from crossmatch.runs.run import open_run  # here: runs know recipes, and recipes know methods

    try:
        run = open_run(folder)
    except UserError as error:
        raise UserError(f"method.teacher cannot be used: {error}") from None
    if not run.checkpoint("last").is_file():
        raise UserError(
            f"method.teacher: the run {folder} has no checkpoint yet. Train it to its end first (go on with --resume), "
            "or give another run."
        )
    teacher, _ = run.load_network("last")
    for what, words in SHARED.items():
        theirs, ours = getattr(teacher, what), getattr(student, what)
        if theirs != ours:
            raise UserError(
                f"method.teacher: the network of {folder} has {theirs} {words}, this one {ours}. Give a run that was "
                "trained on the same kind of images and labels."
            )
    return to_channels_last(teacher)
