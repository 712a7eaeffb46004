"""What the tests of training share: settings of a tiny run, a display without a screen, what a run has kept."""

import signal
from pathlib import Path

from torch import Tensor

from crossmatch.runs.checkpoint import load_checkpoint

TINY = [
    "data.size=[16, 16]",
    "data.labelled=1",
    "train.optimizer=sgd",
    "train.learning_rate=0.01",
    "network.width=4",
    "network.dropout=[0.1, 0.1]",
    "train.steps=10",
    "train.batch.labelled=2",
    "train.batch.unlabelled=2",
    "train.validate_every=5",
    "train.checkpoint_every=5",
    "train.log_every=2",
]


class Quiet:
    """A display that shows nothing and presses Ctrl-C after a step."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.interrupt_at, self.last = interrupt_at, {}
        self.warnings: list[str] = []

    def loading(self, done: int, total: int) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def step(self, step: int, steps: int, values: dict[str, float]) -> None:
        self.last = values
        if step == self.interrupt_at:
            signal.raise_signal(signal.SIGINT)


def weights(run: Path) -> dict[str, Tensor]:
    """All that a run goes on with: the method's weights, averaged ones, the optimiser's state."""
    return load_checkpoint(run / "checkpoints" / "last.safetensors").training
