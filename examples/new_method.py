"""A method of your own in one file: entropy minimisation, registered and trained without a change to the package.

    .venv/bin/python examples/new_method.py DATA OUT [STEPS]

DATA is a dataset, for instance that of train_and_predict.py; OUT is a new folder for the run.
"""

import argparse
from pathlib import Path

from torch import Tensor

import crossmatch
from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.schedules import ramp_up


class EntropySettings(MethodSettings):
    """What a recipe, or a keyword of `crossmatch.train`, can set."""

    weight: float = 0.1
    """Weight of the entropy; the supervised loss has 1."""
    warm_up: float = 0.5
    """Share of the run in which the weight grows to its full value."""


class EntropyMinimisation(Method):
    """L = L_sup + weight(t) * mean entropy of the predictions on unlabelled images, which should be sure.

    Shapes: B batch, C channels, K classes, *S space.
    """

    about = "predictions on unlabelled images should be sure"
    paper = "Grandvalet and Bengio, NeurIPS 2004"
    Settings = EntropySettings
    settings: EntropySettings

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``, ``entropy``, and ``total``, which is minimised; all three are logged."""
        assert batch.u is not None
        supervised = supervised_loss(self.network(batch.x), batch.y, self.dice)
        log_probability = self.network(batch.u.weak).float().log_softmax(1)  # (B, K, *S)
        entropy = -(log_probability.exp() * log_probability).sum(1).mean()
        weight = self.settings.weight * ramp_up(progress, self.settings.warm_up)
        return {"sup": supervised, "entropy": entropy, "total": supervised + weight * entropy}


# From here on every recipe and command of this process knows it. A run of it is loaded after this line, too.
crossmatch.methods.METHODS["entropy"] = EntropyMinimisation


def main(data: Path, out: Path, steps: int = 600) -> None:
    """Train it by the phantom's recipe, with another weight than the default."""
    model = crossmatch.train("phantom", data, out, method__name="entropy", method__weight=0.05, train__steps=steps)
    print(model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("steps", metavar="STEPS", type=int, nargs="?", default=600)
    main(**vars(parser.parse_args()))
