"""What a method is: how a network learns from a batch of labelled and unlabelled images."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Settings


class MethodSettings(Settings):
    """What a recipe can set of a method. A method without settings of its own has this."""

    @property
    def taught_by(self) -> Path | None:
        """The folder of a finished run whose network teaches; None: no such teacher is needed."""
        return None

    def rate_share(self, progress: float) -> float | None:
        """Share of ``train.learning_rate`` that a step has, from its progress in [0, 1); None: the recipe's decay."""
        return None

    def extended(self, before: int, steps: int) -> Self:
        """The settings of a run of `before` steps that goes on to `steps`: stages that are over must not come again."""
        return self


class Method(nn.Module, ABC):
    """A way to learn. It owns the network and all else that it trains or follows (a teacher, further heads).

    Args:
        network: the network that learns.
        settings: an object of the class's `Settings`.
        dice: how Dice is computed.
        teacher: the network of the run ``settings.taught_by``, where there is one.

    Attributes:
        about, paper: a line each for `crossmatch methods`: what it does; authors, venue, year.
        remarks: sentences that a reader of a benchmark's table must know about this method's numbers.
        version: of the method; a change of what a training computes adds one. Runs record it, and a benchmark takes
            cells that were measured elsewhere only if theirs is the same.
        nesterov: whether SGD has Nesterov momentum, as in this method's released code, or plain momentum.
        learns_from: the method whose finished run teaches this one in a benchmark; None for most.
        Settings: the class of the method's settings.
        needs_unlabelled: whether batches must carry `u` and `mix`.
        augmented: whether labelled images are augmented even where ``views.augment.labelled`` is off.
        stage: which of several computations a step does, if this changes during a training. A CUDA graph is valid for
            one stage. All else that changes from step to step must be in tensors.
    """

    about: ClassVar[str]
    paper: ClassVar[str]
    remarks: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    nesterov: ClassVar[bool] = False
    learns_from: ClassVar[str | None] = None
    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    needs_unlabelled: ClassVar[bool] = True
    augmented: ClassVar[bool] = False
    settings: MethodSettings
    stage: int = 0

    def __init__(
        self, network: Segmenter, settings: MethodSettings, dice: DiceSettings, teacher: Segmenter | None = None
    ) -> None:
        super().__init__()
        if (teacher is None) != (settings.taught_by is None):
            raise TypeError(f"teacher: {type(self).__name__} is taught by {settings.taught_by or 'no finished run'}")
        self.network, self.settings, self.dice = network, settings, dice

    @abstractmethod
    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """Scalar tensors by name; ``total`` is minimised, the others are logged.

        Args:
            batch: see `Batch`.
            progress: scalar tensor, from 0 at the first step to 1 after the last.
        """

    def forward(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """`loss`, under the name that Lightning Fabric and DDP wrap."""
        return self.loss(batch, progress)

    def before_step(self, step: int, steps: int) -> None:
        """Called before each step, counted from 0, of a run of `steps`, e.g. to change the stage of a training.

        What depends on it must be a function of its arguments and of the method's tensors alone: a resumed run calls it
        with its next step. Numbers go into tensors, or into `stage`. Nothing by default.
        """

    def after_step(self) -> None:
        """Called after each optimiser step, e.g. to move a teacher. Nothing by default."""

    def second_optimizer(self, capturable: bool) -> torch.optim.Optimizer | None:
        """An optimiser for weights that the recipe's one must not move, e.g. a discriminator's. None by default.

        Its rate stays as it is. Both optimisers step on the gradients of ``total``, so `loss` detaches what must not
        push the other's weights. Checkpoints keep its state.

        Args:
            capturable: the step is to be a CUDA graph; PyTorch's optimisers take this argument.
        """
        return None

    def predictor(self) -> Segmenter:
        """The network to validate, evaluate and export."""
        return self.network
