"""Where predicted masks come from: `prediction.json` in their folder says which run, checkpoint, settings and scans."""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from crossmatch.atomic import file_sha256, read_json, write_json
from crossmatch.errors import UserError
from crossmatch.formats import stem
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.checkpoint import Checkpoint, load_facts
from crossmatch.runs.record import ever_labelled
from crossmatch.runs.run import Run
from crossmatch.scoring.recorded_files import SourceFile

ORIGIN = "prediction.json"


Recorded = dict[str, list[SourceFile]]  # case -> the files of its channels, in order
Masks = dict[str, SourceFile]  # case -> its mask as `predict` wrote it; earlier versions recorded none
RECORDED, MASKS = TypeAdapter(Recorded), TypeAdapter(Masks)


def origin(
    runs: Sequence[Run],
    recipes: Sequence[Recipe],
    checkpoints: Sequence[Checkpoint],
    name: str,
    flips: bool,
    bf16: bool,
) -> dict[str, Any]:
    """What is written down of a prediction: of several runs what they are together, and under "members" each.

    Args:
        runs: of the networks; recipes: of the runs, with the settings of prediction that change the masks.
        checkpoints: those that were loaded; name: how the user named them, ``last``, ``best`` or a path.
        flips, bf16: see `Predictor`.
    """
    members = [_of_one(*one, name, flips, bf16) for one in zip(runs, recipes, checkpoints, strict=True)]
    if len(members) == 1:
        return members[0]
    first, trainings = members[0], [one["training"] for one in members]
    digests = "".join(one["weights_sha256"] for one in members)
    whole = {
        "run": " + ".join(one["run"] for one in members),
        "step": min(one["step"] for one in members),
        "weights_sha256": hashlib.sha256(digests.encode()).hexdigest(),
    }
    training = {
        **first["training"],
        "seconds": round(sum(one["seconds"] for one in trainings), 3),
        "parameters": _sum(one["parameters"] for one in trainings),
        "peak_memory_bytes": None,
        "validation_dice": None,
    }
    return {**first, **whole, "training": training, "members": members}


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def _of_one(run: Run, recipe: Recipe, checkpoint: Checkpoint, name: str, flips: bool, bf16: bool) -> dict[str, Any]:
    """What is written down of one run."""
    last = run.checkpoint("last")  # tells what the whole run took; without it, what it took up to the best checkpoint
    whole = load_facts(last) if name == "best" and last.is_file() else checkpoint.facts
    data: dict[str, Any] = {**run.data, "root": Path(run.data["root"]).name}
    data.pop("unlabelled_cases", None)  # which may be thousands
    if contents := run.data.get("contents"):
        named = {*ever_labelled(run.data), *run.data["validation"]}
        data["contents"] = {name: content for name, content in contents.items() if name in named}
    before: dict[str, Any] = {}  # what happened to its weights beside the recipe
    if "begun_from" in run.record:
        before["begun_from"] = Path(run.record["begun_from"]).name
    if "extended" in run.record:
        before["extended"] = run.record["extended"]
    return {
        "run": run.folder.resolve().name,
        "checkpoint": Path(name).name,
        "step": checkpoint.facts["step"],
        "weights_sha256": weights_digest(checkpoint.network),
        "flips": flips,
        "precision": "bf16" if bf16 else "float32",
        "recipe": recipe.model_dump(mode="json"),
        "data": data,
        **before,
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


def read_recorded(target: Path, facts: dict[str, Any]) -> tuple[Recorded, Masks]:
    """The scans that the masks in a folder were made from and these masks, by case; none where nothing is recorded.

    Args:
        target: the folder; it need not exist.
        facts: what will make the masks now, see `origin`.

    Raises:
        UserError: the folder holds masks of another origin.
    """
    path = target / ORIGIN
    if not path.exists():
        return {}, {}
    with contextlib.suppress(UserError):
        found = read_json(path, dict[str, Any], "")
        recorded, masks = found.pop("scans", {}), found.pop("masks", {})
        if found == json.loads(json.dumps(facts)):
            with contextlib.suppress(ValidationError):
                return RECORDED.validate_python(recorded, strict=True), MASKS.validate_python(masks, strict=True)
            return {}, {}
    raise UserError(
        f"{target} holds predictions of another run, checkpoint or setting, see {path}: choose another folder, "
        "or empty this one; nothing was overwritten."
    )


def file_state(folder: Path, path: Path) -> SourceFile:
    """A file of the folder of masks as it is now, with its digest."""
    stat = path.stat()
    return SourceFile(
        path=path.relative_to(folder).as_posix(),
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        ctime_ns=stat.st_ctime_ns,
        sha256=file_sha256(path),
    )


def write_origin(target: Path, facts: dict[str, Any], recorded: Recorded, masks: Masks) -> None:
    """Make the folder of masks and write down what makes them, from which scans, and the masks that are written."""
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / ORIGIN, {**facts, "scans": recorded, "masks": masks})


def weights_digest(network: dict[str, Tensor]) -> str:
    """SHA-256 of a network's weights: files of one name and step may hold different ones."""
    digest = hashlib.sha256()
    for name in sorted(network):
        weights = network[name].detach().cpu().contiguous()
        digest.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
        digest.update(weights.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
