"""The raw numbers of a benchmark in full precision: JSON with every cell and case, CSV with a line for each row.

Dice and Jaccard are fractions; published ones are in percent, as published. Undefined numbers are null in JSON and nan
in CSV; unknown ones are null and empty.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from crossmatch.benchmark.lines import Line
from crossmatch.benchmark.published import Published
from crossmatch.benchmark.results import Result
from crossmatch.errors import no_formula
from crossmatch.scoring.statistic import plain
from crossmatch.scoring.stored import CONVENTIONS

FORMAT = "crossmatch benchmark 1"
TEST = {
    "test": "Wilcoxon signed-rank, two-sided, exact; ties share mean ranks, pairs without a difference are left out",
    "runs": "those with a seed and data that all rows of the same number of labels have: test.seeds",
    "unit": "a patient of a data set: mean Dice of the patient's cases and of the seeds trained on that data set",
    "against": "the row of the same number of labels with the highest mean over the units of these runs",
    "first": "share of bootstrap samples over runs and patients in which the row's mean over units is the highest",
    "correction": "Holm, over the other rows of the same number of labels",
}
STATISTICS = {
    "mean": "over seeds, of each seed's mean over test cases",
    "sd": "standard deviation over seeds, ddof 1; null with one seed",
    "undefined": "cases with a class without distances, summed over seeds",
    "validation": "Dice of the validation cases by the tested checkpoint, over the seeds that have one",
    "parameters": "trained ones, of all networks that learn",
    "training_seconds": "mean over seeds; validation and checkpoints included",
    "peak_memory_bytes": "largest of the seeds; on CUDA of tensors, on a CPU of the whole process",
}


def to_json(
    table: Sequence[Line], notes: Sequence[str], missing: Sequence[str], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything as plain JSON values.

    Args:
        table: lines of the table.
        notes: the sentences below it.
        missing: a text for each cell that failed or has not been run.
        about: what was run, see `write_results`.
    """
    return {
        "format": FORMAT,
        **about,
        "rows": [plain(record(line)) for line in table],
        "methods": {line.row.name: line.row.results[0].method_settings for line in table},
        "cells": [plain(_cell(result)) for line in table for result in line.row.results],
        "missing": list(missing),
        "notes": list(notes),
        "test": TEST,
        "statistics": STATISTICS,
        "conventions": CONVENTIONS,
        "versions": {package: version(package) for package in ("crossmatch", "numpy", "scipy", "matplotlib")},
    }


def to_csv(table: Sequence[Line]) -> str:
    """A line for each row of the table; a column for each setting of the grid, under its dotted name."""
    records = [_flat(record(line)) for line in table]
    text = io.StringIO()
    fields = list(dict.fromkeys(key for found in records for key in found))
    writer = csv.DictWriter(text, fields, restval="", lineterminator="\n")
    writer.writeheader()
    for found in records:
        writer.writerow({key: no_formula(value) if isinstance(value, str) else value for key, value in found.items()})
    return text.getvalue()


def record(line: Line) -> dict[str, Any]:
    """One line of the table in numbers."""
    row, comparison = line.row, line.comparison
    return {
        "labelled": row.labelled,
        "method": row.method,
        "grid": dict(row.grid),
        "dataset": row.dataset,
        "seeds": [result.seed for result in row.results],
        "validation": row.validation._asdict(),
        "dice": row.dice._asdict(),
        "jaccard": row.jaccard._asdict(),
        "threshold_jaccard": row.threshold_jaccard._asdict(),
        "distance_unit": row.unit,
        "hd95": row.hd95._asdict(),
        "asd": row.asd._asdict(),
        "undefined": row.undefined,
        "parameters": row.parameters,
        "training_seconds": row.seconds,
        "peak_memory_bytes": row.peak_memory_bytes,
        "test": comparison._asdict() | {"seeds": list(comparison.seeds)},
        "published": {kind: _report(known) for kind, known in line.published._asdict().items()},
    }


def _report(known: Published | None) -> dict[str, Any]:
    """A published figure; all null where there is none."""
    return {
        "dice_percent": known and known.dice,
        "jaccard_percent": known and known.jaccard,
        "hd95_voxels": known and known.hd95,
        "asd_voxels": known and known.asd,
        "validation_list": known and known.validation_list,
        "last_dice_percent": known and known.last,
        "source": known and known.source,
    }


def _cell(result: Result) -> dict[str, Any]:
    """One run: what was trained where, its statistics over test cases, the Dice of each of them, and its evaluation.

    The evaluation has the form of summary.json: `known` reads it back. It does not say where files of this machine lie.
    """
    evaluation = {**result.evaluation.to_json(), "places": None}
    return {
        "labelled": result.labelled,
        "method": result.method,
        "grid": dict(result.grid),
        "seed": result.seed,
        "dataset": result.dataset,
        "fingerprint": result.fingerprint,
        "checkpoint": result.checkpoint,
        "step": result.step,
        "training": result.training,
        "mean": result.evaluation.statistics(),
        "cases": [
            {"case": case, "patient": result.patients[case], "dice": dice}
            for case, dice in result.evaluation.case_means("dice").items()
        ],
        "evaluation": {key: value for key, value in evaluation.items() if key not in ("summary", "conventions")},
    }


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Groups as columns named group_key; settings of the grid by their own names; lists joined by spaces."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= {sub if key == "grid" else f"{key}_{sub}": item for sub, item in _flat(value).items()}
        else:
            found[key] = value
    return {key: " ".join(map(str, item)) if isinstance(item, list) else item for key, item in found.items()}
