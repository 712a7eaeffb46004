"""Where predicted masks come from: `prediction.json` in their folder says which run, checkpoint and settings."""

import contextlib
import json
from pathlib import Path
from typing import Any

from crossmatch.atomic import read_json, write_json
from crossmatch.errors import UserError
from crossmatch.formats import stem
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.checkpoint import Checkpoint, load_facts
from crossmatch.runs.run import Run

ORIGIN = "prediction.json"


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


def note_origin(target: Path, facts: dict[str, Any]) -> None:
    """Make the folder of masks and write down what makes them, before the first mask.

    Raises:
        UserError: the folder holds masks of another origin.
    """
    path = target / ORIGIN
    if path.exists():
        with contextlib.suppress(UserError):
            if read_json(path, dict[str, Any], "") == json.loads(json.dumps(facts)):
                return
        raise UserError(
            f"{target} holds predictions of another run, checkpoint or setting, see {path}: choose another folder, "
            "or empty this one; nothing was overwritten."
        )
    target.mkdir(parents=True, exist_ok=True)
    write_json(path, facts)
