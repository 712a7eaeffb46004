"""The baseline: learn from the labelled images alone (cross entropy and Dice), same weak views, same steps."""

from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.methods.method import Method
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Settings


class SupervisedSettings(Settings):
    """No settings of its own."""


class Supervised(Method):
    """L_sup alone."""

    about = "labelled images alone: cross entropy and Dice"
    paper = "Ronneberger et al., MICCAI 2015; Milletari et al., 3DV 2016"
    needs_unlabelled = False

    def __init__(self, network: Segmenter, settings: SupervisedSettings, dice: DiceSettings) -> None:
        super().__init__()
        self.network, self.dice = network, dice

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``total``: the mean of cross entropy and Dice on the labelled images."""
        return {"total": supervised_loss(self.network(batch.x), batch.y, self.dice)}
