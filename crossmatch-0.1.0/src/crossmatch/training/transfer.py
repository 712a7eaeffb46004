"""Weights of another run to begin with: what fits is taken, channels and labels by name, the rest stays fresh.

Two runs may differ in image channels and in labels. Which tensors depend on them, and along which axis, is found by
building the network once more with one channel or one label more: no network has to say so.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossmatch.errors import UserError, listed
from crossmatch.networks import NETWORKS, Segmenter
from crossmatch.runs.checkpoint import load_checkpoint
from crossmatch.runs.run import Run

LEAST = 0.5  # share of the weights that must fit


@dataclass(frozen=True)
class Transfer:
    """What a run takes from another one."""

    step: int  # of the other run
    fresh: tuple[str, ...]  # in words, what was not


def begin_with(network: Segmenter, run: Run, other: Run) -> Transfer:
    """Put weights of the other run's last checkpoint into a fresh network of `run`.

    Raises:
        UserError: the other run has no checkpoint, or less than half of it fits.
    """
    if not other.checkpoint("last").is_file():
        raise UserError(f"The run {other.folder} has no checkpoint yet: train it first, or begin without --from.")
    checkpoint = load_checkpoint(other.checkpoint("last"), training=False)
    known, ours = checkpoint.network, network.state_dict()
    channels, labels = _axes(run, channels=1), _axes(run, labels=1)
    fresh: list[str] = []
    for name, weight in ours.items():
        source = known.get(name)
        if source is None or not _taken(weight, source, name, (run, other), channels, labels):
            fresh.append(name)
    sizes = {name: weight.numel() for name, weight in network.named_parameters()}
    if sum(n for name, n in sizes.items() if name not in fresh) < LEAST * sum(sizes.values()):
        raise UserError(
            f"Hardly anything of the run {other.folder} fits: its network is {_told(other)}, and this run's is "
            f"{_told(run)}. Use the recipe it was trained with, or begin without --from."
        )
    network.load_state_dict(ours)
    missing = [f"tensors {listed(fresh)}"] if fresh else []
    for what, here, there in zip(("channels", "labels"), _names(run), _names(other), strict=True):
        new = [name for name in here if name not in there]
        missing += [f"{what} {listed(new)}"] if new else []
    return Transfer(int(checkpoint.facts["step"]), tuple(missing))


def _taken(
    weight: Tensor,
    source: Tensor,
    name: str,
    runs: tuple[Run, Run],
    channels: dict[str, int],
    labels: dict[str, int],
) -> bool:
    """Copy what fits of `source` into `weight`; whether anything did."""
    ours: list[Tensor] = [torch.arange(n) for n in weight.shape]
    theirs: list[Tensor] = [torch.arange(n) for n in source.shape]
    for axes, here, there in zip((channels, labels), *map(_names, runs), strict=True):
        if name in axes:
            shared = [each for each in here if each in there]
            ours[axes[name]] = torch.tensor([here.index(each) for each in shared], dtype=torch.long)
            theirs[axes[name]] = torch.tensor([there.index(each) for each in shared], dtype=torch.long)
    if [len(rows) for rows in ours] != [len(rows) for rows in theirs] or not all(len(rows) for rows in ours):
        return False
    if not weight.ndim:
        weight.copy_(source)
    else:
        weight[torch.meshgrid(*ours, indexing="ij")] = source[torch.meshgrid(*theirs, indexing="ij")].to(weight.dtype)
    return True


def _axes(run: Run, *, channels: int = 0, labels: int = 0) -> dict[str, int]:
    """The tensors that grow with the channels, or the labels, and the axis they grow along."""
    kind, settings = NETWORKS[run.recipe.network.name], run.recipe.network.settings
    count = len(run.data["channels"])
    with torch.device("meta"):
        now = kind(run.recipe.dims, count, run.classes, settings).state_dict()
        more = kind(run.recipe.dims, count + channels, run.classes + labels, settings).state_dict()
    return {
        name: next(axis for axis, n in enumerate(value.shape) if n != more[name].shape[axis])
        for name, value in now.items()
        if value.shape != more[name].shape
    }


def _names(run: Run) -> tuple[list[str], list[str]]:
    """Of its channels and of its labels, in the order of the tensors."""
    return list(run.data["channels"]), list(run.data["labels"])


def _told(run: Run) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in run.recipe.network.model_dump(mode="json").items())
    return f"{run.recipe.dims}D ({settings})"
