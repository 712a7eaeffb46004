"""The baseline: learn from the labelled images alone, with cross entropy and Dice."""

from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import supervised_loss
from crossmatch.methods.method import Method


class Supervised(Method):
    """L_sup alone. It has the weak views and the number of steps of every other method."""

    about = "labelled images alone: cross entropy and Dice"
    paper = "Ronneberger et al., MICCAI 2015; Milletari et al., 3DV 2016"
    needs_unlabelled = False

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``total``: the mean of cross entropy and Dice on the labelled images."""
        return {"total": supervised_loss(self.network(batch.x), batch.y, self.dice)}
