"""Where predicted masks come from: `prediction.json` in their folder says which run, checkpoint, settings and scans."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from torch import Tensor
from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch.atomic import read_json, write_json
from crossmatch.errors import UserError
from crossmatch.formats import stem
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.checkpoint import Checkpoint, load_facts
from crossmatch.runs.run import Run

ORIGIN = "prediction.json"


@with_config(ConfigDict(extra="forbid"))
class SourceFile(TypedDict):
    """A file of a scan as it was when its mask was made."""

    path: str  # from the folder of the masks
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int  # changes with every change of the file, whatever its time says
    sha256: str | None  # of its bytes; None until it is read


Recorded = dict[str, list[SourceFile]]  # case -> the files of its channels, in order


def origin(run: Run, recipe: Recipe, checkpoint: Checkpoint, name: str, flips: bool) -> dict[str, Any]:
    """What is written down of a prediction.

    Args:
        run: of the network; recipe: of the run, with the settings of prediction that change the masks.
        checkpoint: the one that was loaded; name: how the user named it, ``last``, ``best`` or a path.
        flips: see `Predictor`.
    """
    last = run.checkpoint("last")  # tells what the whole run took; without it, what it took up to the best checkpoint
    whole = load_facts(last) if name == "best" and last.is_file() else checkpoint.facts
    return {
        "run": run.folder.resolve().name,
        "checkpoint": Path(name).name,
        "step": checkpoint.facts["step"],
        "weights_sha256": weights_digest(checkpoint.network),
        "flips": flips,
        "recipe": recipe.model_dump(mode="json"),
        "data": {**run.data, "root": Path(run.data["root"]).name},
        "training": {
            "seconds": round(whole["seconds"], 3),
            "parameters": whole.get("parameters"),  # unknown to runs of earlier versions
            "peak_memory_bytes": whole.get("peak_memory"),
            "validation_dice": checkpoint.facts.get("best" if name == "best" else "validation"),
            **{key: run.record[key] for key in ("code", "device", "versions")},
        },
    }


def refuse_file(target: Path) -> None:
    """Raise UserError if the place for masks is a file, or named like one."""
    if (target.exists() and not target.is_dir()) or stem(target) is not None:
        raise UserError(f"{target} is a file: name a folder for the masks.")


def read_recorded(target: Path, facts: dict[str, Any]) -> Recorded:
    """The scans that the masks in a folder were made from, by case; none where nothing is recorded.

    Args:
        target: the folder; it need not exist.
        facts: what will make the masks now, see `origin`.

    Raises:
        UserError: the folder holds masks of another origin.
    """
    path = target / ORIGIN
    if not path.exists():
        return {}
    with contextlib.suppress(UserError):
        found = read_json(path, dict[str, Any], "")
        recorded = found.pop("scans", {})
        if found == json.loads(json.dumps(facts)):
            with contextlib.suppress(ValidationError):
                return _RECORDED.validate_python(recorded, strict=True)
            return {}
    raise UserError(
        f"{target} holds predictions of another run, checkpoint or setting, see {path}: choose another folder, "
        "or empty this one; nothing was overwritten."
    )


def write_origin(target: Path, facts: dict[str, Any], recorded: Recorded) -> None:
    """Make the folder of masks and write down what makes them, and from which scans."""
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / ORIGIN, {**facts, "scans": recorded})


def weights_digest(network: dict[str, Tensor]) -> str:
    """SHA-256 of a network's weights: files of one name and step may hold different ones."""
    digest = hashlib.sha256()
    for name in sorted(network):
        weights = network[name].detach().cpu().contiguous()
        digest.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
        digest.update(weights.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


_RECORDED = TypeAdapter(Recorded)
