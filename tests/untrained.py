"""Runs on disk without training, and networks whose answers are known, for tests of prediction and of commands."""

from pathlib import Path

import torch
from torch import Tensor

from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.networks import NetworkSettings, Segmenter
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.checkpoint import Checkpoint, save_checkpoint
from crossmatch.runs.machine import Machine
from crossmatch.runs.run import Run, create_run
from crossmatch.training.material import dataset_facts

SMALL = [
    "data.size=[16, 16]",
    "data.labelled=1",
    "network.width=4",
    "network.dropout=[0.0, 0.0]",
    "train.precision=float32",
    "data.normalise=minmax",
    "train.steps=3",
]


def small_recipe(*changes: str) -> Recipe:
    """The phantom's recipe, small enough for a test."""
    return load_recipe("phantom", [*SMALL, *changes])


def untrained_run(folder: Path, data: Path, *changes: str, seed: int = 0) -> Run:
    """A run with a `last` checkpoint of fresh weights, of step 3."""
    recipe, dataset = small_recipe(*changes), open_dataset(data)
    labelled, unlabelled = dataset.labelled(recipe.data.labelled)
    facts = dataset_facts(
        dataset, load_fingerprint(dataset), [case.id for case in labelled], [case.id for case in unlabelled]
    )
    run = create_run(folder, recipe, facts, Machine(torch.device("cpu"), "float32"))
    save_untrained(run, "last", seed)
    return run


def save_untrained(run: Run, name: str, seed: int) -> None:
    """Write fresh weights as a checkpoint of the run."""
    torch.manual_seed(seed)
    network = run.build_network()
    with torch.no_grad():
        network.get_parameter("head.weight").mul_(20)  # so that every class is found somewhere
    save_checkpoint(
        run.checkpoint(name), Checkpoint({"step": 3, "seconds": 0.0, "best": None}, network.state_dict(), {})
    )


class AnySize(NetworkSettings):
    """Of a network that takes images of any size."""

    @property
    def multiple(self) -> int:
        return 1


class Levels(Segmenter):
    """Label k where the last channel minus the others is k / (K - 1): voxel by voxel, so flips change nothing."""

    def __init__(self, classes: int, channels: int = 1, dims: int = 2) -> None:
        super().__init__(dims, channels, classes, AnySize())
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        levels = torch.linspace(0, 1, self.classes).view(1, -1, *[1] * self.dims)
        return -1000 * (2 * x[:, -1:] - x.sum(1, keepdim=True) - levels) ** 2


class Stamped(Segmenter):
    """Gives one label map whatever it sees."""

    def __init__(self, labels: Tensor, classes: int) -> None:
        super().__init__(2, 1, classes, AnySize())
        self.labels = labels

    def forward(self, x: Tensor) -> Tensor:
        one_hot = torch.nn.functional.one_hot(self.labels, self.classes).movedim(-1, 0)
        return 10 * one_hot.float().expand(len(x), *one_hot.shape)
