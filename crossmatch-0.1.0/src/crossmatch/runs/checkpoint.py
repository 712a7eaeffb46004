"""Checkpoints: one safetensors file, whose header holds plain facts as JSON. No pickle."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from torch import Tensor

from crossmatch.atomic import parse_json, written_aside
from crossmatch.errors import UserError
from crossmatch.runs.record import CheckpointFacts
from crossmatch.runs.zipped import WEIGHTS, is_packed, read_packed


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint: predicting needs `network`, going on with a training needs all of it."""

    facts: CheckpointFacts
    network: dict[str, Tensor]  # state dict of the predictor
    training: dict[str, Tensor]  # state dict of the method, averages and optimiser, under prefixed names


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file whole or not at all: after a crash it is the old one or the new one."""
    groups = {"network": checkpoint.network, "training": checkpoint.training}
    tensors = {f"{group}/{name}": value for group, state in groups.items() for name, value in state.items()}
    unshared = {name: value.detach().contiguous().cpu().clone() for name, value in tensors.items()}
    with written_aside(path) as aside:
        try:
            save_file(unshared, aside, metadata={"crossmatch": json.dumps(checkpoint.facts)})
        except SafetensorError as error:  # what safetensors raises for a full disk
            raise OSError(str(error)) from error
        with aside.open("r+b") as file:  # Windows flushes no file that is open for reading alone
            os.fsync(file.fileno())


def load_checkpoint(path: Path, training: bool = True) -> Checkpoint:
    """Read a checkpoint onto the CPU; with `training` false, without the tensors that only training needs.

    Raises:
        UserError: no such file, unreadable, or not one of ours.
    """
    if is_packed(path):
        return _packed(path)
    state: dict[str, dict[str, Tensor]] = {"network": {}, "training": {}}
    with _opened(path) as (file, facts):
        for key in file.keys():  # type: ignore[no-untyped-call]  # noqa: SIM118 (not a mapping)
            group, _, name = key.partition("/")
            if training or group != "training":
                state[group][name] = file.get_tensor(key)  # type: ignore[no-untyped-call]
    return Checkpoint(facts, state["network"], state["training"])


def load_facts(path: Path) -> CheckpointFacts:
    """The facts of a checkpoint from its header; no tensor is read. Raises as `load_checkpoint` does."""
    if is_packed(path):
        return _packed(path).facts
    with _opened(path) as (_, facts):
        return facts


def _packed(path: Path) -> Checkpoint:
    """The checkpoint of a packed model, without what only training needs."""
    content = read_packed(path, WEIGHTS)
    told = f"The header of the weights in {path}"
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["crossmatch"]
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{told} cannot be read ({error}): it is damaged; pack the run again.") from None
    facts = parse_json(header, CheckpointFacts, told, "pack the run again")
    return Checkpoint(facts, {name.removeprefix("network/"): value for name, value in tensors.items()}, {})


@contextmanager
def _opened(path: Path) -> Iterator[tuple[safe_open, CheckpointFacts]]:
    """The open file of a checkpoint and its facts."""
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}: train first, or choose another with --checkpoint.")
    if not os.access(path, os.R_OK):  # safetensors says that there is no such file
        raise UserError(f"The checkpoint {path} may not be read: change its permissions.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = (file.metadata() or {})["crossmatch"]
            yield file, parse_json(header, CheckpointFacts, f"The header of the checkpoint {path}", "use another one")
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        if "Too many open files" in str(error):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path)) from None
        raise UserError(f"The checkpoint {path} cannot be read ({error}): it is damaged; use another one.") from None
    except KeyError:
        raise UserError(f"{path} is a safetensors file, but no checkpoint of crossmatch.") from None


def load_weights(module: torch.nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Load weights into a module; `origin` names their file in the message.

    Raises:
        UserError: the names or shapes are those of another network.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(
            f"{origin} belongs to another network than the recipe's: {first} "
            "Use the recipe the checkpoint was trained with."
        ) from None
