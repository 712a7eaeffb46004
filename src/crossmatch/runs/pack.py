"""One file to hand on: the weights, the recipe and the facts of a run, without its data and who trained it.

Left out are the cases' names, all folders, the remarks of the recipe, the log, and the state that only training needs.
What estimates of quality were fitted on goes with it: numbers of each case, without its name.
"""

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save

from crossmatch.atomic import read_json
from crossmatch.errors import UserError
from crossmatch.runs.checkpoint import load_facts
from crossmatch.runs.record import CheckpointFacts, DataFacts, RunRecord
from crossmatch.runs.run import CALIBRATIONS, Run, open_run
from crossmatch.runs.zipped import ENDING, FACTS, read_packed, write_packed

_KEPT = ("step", "seconds", "best", "validation", "peak_memory", "parameters", "method")
_OF_FILES = ("reference_files", "content")  # of a fit


def pack(
    folder: Path,
    out: Path,
    checkpoint: Literal["last", "best"] = "last",
    *,
    is_old: Callable[[Run, Mapping[str, Any]], bool] = lambda run, kept: False,
    warn: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write a run as one file, which predicts where the run does.

    Args:
        folder: the run.
        out: the file, whose name ends in .zip; an earlier packed model there is replaced, any other file is not.
        checkpoint: ``last`` or ``best``.
        is_old: tells the fits of quality that must not go with it, see `changed_since_fit`.
        warn: is told of these.

    Returns:
        The file's path. Packed again from equal weights and facts, it has the same bytes.

    Raises:
        UserError: no run, no such checkpoint, or a place that cannot be used; nothing is overwritten.
    """
    if out.suffix.lower() != ENDING:
        raise UserError(f"{out} is no name for a packed model: let it end in {ENDING}.")
    if out.is_dir():
        raise UserError(f"{out} is a folder: name a file.")
    if out.exists():
        read_packed(out, FACTS)  # a UserError where it is another file
    run = open_run(folder)
    if run.is_packed:
        raise UserError(f"{folder} is packed already: copy it.")
    network, loaded = run.load_network(checkpoint)
    tensors = {f"network/{name}": value.contiguous() for name, value in network.state_dict().items()}
    facts = {key: value for key, value in loaded.facts.items() if key in _KEPT}
    weights = save(tensors, metadata={"crossmatch": json.dumps(facts)})
    calibrations = _calibrations(run, is_old)
    if None in calibrations.values():
        warn(
            "a fit of quality is left out: scans or labels of its cases were changed since, or it is "
            "of an earlier version, which does not tell. Fit again with `crossmatch predict --quality`, then pack again"
        )
    kept = {name: fit for name, fit in calibrations.items() if fit is not None}
    record = json.dumps(_without_origin(run, checkpoint, loaded.facts, kept), indent=1, allow_nan=False)
    write_packed(out, record.encode(), weights)
    return out


def _without_origin(
    run: Run, checkpoint: Literal["last", "best"], facts: CheckpointFacts, calibrations: dict[str, Any]
) -> RunRecord:
    """What run.json says, without names of cases and places."""
    last = run.checkpoint("last")
    done = load_facts(last)["step"] if last.is_file() else facts["step"]
    recipe: dict[str, Any] = run.recipe.settings()
    if "teacher" in recipe["method"]:  # the folder of the run that taught it
        recipe["method"] = {**recipe["method"], "teacher": "teacher"}
    counts = {key: [f"{key} {n}" for n, _ in enumerate(run.data[key], 1)] for key in ("labelled", "validation")}
    data: DataFacts = {**run.data, "root": "", "labelled": counts["labelled"], "validation": counts["validation"]}
    data.pop("labelled_before", None)
    data.pop("contents", None)
    data.pop("contents_before", None)
    data.pop("unlabelled_cases", None)
    record: RunRecord = {
        "recipe": recipe,
        "data": data,
        "code": run.record["code"],
        "versions": run.record["versions"],
        "device": run.record["device"],
        "packed": {
            "format": "crossmatch model 1",
            "by": version("crossmatch"),
            "checkpoint": checkpoint,
            "steps_left": max(0, run.recipe.train.steps - done),
        },
    }
    if calibrations:
        record["packed"]["calibrations"] = calibrations
    if "extended" in run.record:
        record["extended"] = run.record["extended"]
    return record


def _calibrations(run: Run, is_old: Callable[[Run, Mapping[str, Any]], bool]) -> dict[str, Any]:
    """What the run keeps of the cases that estimates of quality are fitted on, nameless; None: an old fit."""
    found: dict[str, Any] = {}
    for path in sorted((run.folder / CALIBRATIONS).glob("*.json")):
        kept = read_json(path, dict[str, Any], "remove it, and fit again with `crossmatch predict --quality`")
        if is_old(run, {"references": {}, **kept}):
            found[path.stem] = None
            continue
        cases, references = kept.get("cases", []), kept.get("references", {})
        number = {name: f"case {n}" for n, name in enumerate(dict.fromkeys([*cases, *references]), start=1)}
        found[path.stem] = {key: value for key, value in kept.items() if key not in _OF_FILES} | {
            "files": "",
            "cases": [number[name] for name in cases],
            "references": {number[name]: shapes for name, shapes in references.items()},
        }
    return found
