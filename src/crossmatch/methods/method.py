"""What a method is: how a network learns from a batch of labelled and unlabelled images."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from crossmatch.batches.batch import Batch
from crossmatch.networks.segmenter import Segmenter


class Method(nn.Module, ABC):
    """A way to learn. It owns the network and whatever else it trains or follows (a teacher, extra heads).

    Attributes:
        network: the network that learns.
        needs_unlabelled: whether batches must carry `u` and `mix`.
        stage: which of several things a step computes, where that changes during a training. A graph of the step holds
            for one stage; whatever else changes must be in tensors.
        about, paper: a line each for `crossmatch methods`: what it does; authors, venue, year.
        remarks: sentences that a reader of a benchmark's table must know about this method's numbers.
    """

    about: ClassVar[str]
    paper: ClassVar[str]
    remarks: ClassVar[tuple[str, ...]] = ()
    network: Segmenter
    needs_unlabelled: bool = True
    stage: int = 0

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

    def predictor(self) -> Segmenter:
        """The network to validate, evaluate and export."""
        return self.network
