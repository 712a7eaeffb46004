"""Cross-validation where there is no test set: each fold is a dataset whose test cases are some of the labelled ones.

The labelled cases are dealt to the folds by patient, the same for every method, number of labels and seed. A network of
a fold learns from all other patients, so each labelled case is tested once by a network that has not seen its patient.
The files of a fold are links to those of the dataset.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crossmatch.atomic import new_folder, read_json, write_json
from crossmatch.benchmark.cells import Cell
from crossmatch.benchmark.results import GridPoint, Result
from crossmatch.dataset.check import frame_of, load_fingerprint
from crossmatch.dataset.dataset import Case, Dataset, open_dataset
from crossmatch.dataset.orientation import UNTURNED, turn_into
from crossmatch.dataset.writing import write_description
from crossmatch.errors import UserError, listed
from crossmatch.formats import DEFAULT_ENDING, Grid, parts

RECORD = "folds.json"  # beside the folds: what they were made of
SEED = 0  # of the dealing


def deal(cases: Sequence[Case], count: int) -> list[list[Case]]:
    """Cases to folds: whole patients in an order drawn by a fixed seed, those of most cases first, evenly.

    Raises:
        UserError: fewer patients than folds.
    """
    patients: dict[str, list[Case]] = {}
    for case in cases:
        patients.setdefault(case.patient, []).append(case)
    if len(patients) < count:
        raise UserError(
            f"{len(patients)} patients have labelled training cases: --folds takes a number from 2 to that, so that "
            "every fold has one to test."
        )
    folds: list[list[Case]] = [[] for _ in range(count)]
    order = np.random.default_rng(SEED).permutation(sorted(patients))
    for patient in sorted(order, key=lambda name: -len(patients[name])):
        min(folds, key=len).extend(patients[patient])
    return folds


def make_folds(root: Path, count: int, labelled: Sequence[str], out: Path) -> str:
    """Make the datasets of the folds, unless an equal call has made them.

    Args:
        root: the dataset; no test case has a label, and none is used.
        count: of folds.
        labelled: numbers of labels, or ``all``: for each number a list of so many cases is drawn in every fold.
        out: a folder for them.

    Returns:
        The place of a fold's dataset, with ``{fold}`` for its number.

    Raises:
        UserError: test cases with labels, too few patients or labelled cases, or folds in `out` of other data.
    """
    dataset = open_dataset(root)
    if test := [case for case in dataset.split("test") if case.label is not None]:
        raise UserError(
            f"{root} has {len(test)} test cases with labels: leave out --folds, and methods are compared on those. "
            "Folds are for datasets without such test cases."
        )
    folds = deal(dataset.labelled("all")[0], count)
    _refuse_other_axes(dataset, folds)
    made_of = {
        "data": load_fingerprint(dataset).digest,
        "folds": count,
        "seed": SEED,
        "labelled": sorted(labelled),
        "patients": {case.id: case.patient for case in dataset.split("train")},
    }
    place = out / f"{count}_folds"
    if not place.exists():
        with new_folder(place) as aside:
            for number, held_out in enumerate(folds):
                _write_fold(dataset, held_out, labelled, aside / f"fold{number}")
            write_json(aside / RECORD, made_of)
    if read_json(place / RECORD, dict[str, Any], "remove its folder") != made_of:
        raise UserError(
            f"{place} holds folds of other data, patients or numbers of labels: repeat the command that made them, or "
            "choose another --out."
        )
    return str(place / "fold{fold}")


def _refuse_other_axes(dataset: Dataset, folds: Sequence[Sequence[Case]]) -> None:
    """A UserError if the first training scan of a fold has other axes than the dataset's first.

    All scans are turned to the axes of the first one, by which the slice axis and the sizes are counted.
    """
    train = dataset.split("train")
    frame = frame_of(train)
    for held_out in folds:
        away = {case.patient for case in held_out}
        own = frame_of([case for case in train if case.patient not in away])
        if own is not None and turn_into(frame, Grid((1, 1, 1), np.array(own), (1.0, 1.0, 1.0))) != UNTURNED:
            raise UserError(
                f"{dataset.root}: the first training scan is stored with other axes than the first one without "
                f"{listed(sorted(away))}. A fold would be cut along another axis than the others. Store all scans with "
                "the same axes, or leave out --folds."
            )


def pooled(cells: Sequence[Cell], results: Sequence[Result], every: Sequence[Cell]) -> tuple[list[Result], list[str]]:
    """One result from the folds of each run: its test cases are all labelled cases.

    Args:
        cells: finished ones; results: theirs; every: all cells, of the same folds.

    Returns:
        The results whose folds are all there, and a line for each other one.
    """
    found: dict[tuple[str, str, int, GridPoint], dict[int | None, Result]] = {}
    for cell, result in zip(cells, results, strict=True):
        found.setdefault((cell.method, cell.labelled, cell.seed, cell.grid), {})[cell.fold] = result
    whole, lacking = [], []
    for key, by_fold in found.items():
        wanted = {cell.fold for cell in every if (cell.method, cell.labelled, cell.seed, cell.grid) == key}
        if by_fold.keys() == wanted:
            whole.append(_joined([by_fold[fold] for fold in sorted(wanted, key=str)]))
        else:
            lacking.append(f"{key[0]}, {key[1]} labels, seed {key[2]}: waits for its other folds")
    return whole, lacking


def fold_notes(results: Sequence[Result]) -> Iterator[str]:
    """What a table of cross-validated results can prove, and what not."""
    for count in sorted({int(count) for result in results if (count := _recorded(result).get("folds"))}):
        patients = len(set(results[0].patients.values()))
        yield (
            f"Cross-validation: {count} folds of the labelled cases of {patients} patients, by patient. Every case is "
            "tested once, by a network that learned from other patients. The table compares methods as they learn from "
            f"such data with about {_share(count)} of the labels; it is no measurement of one network that you could "
            "use, and none of patients from elsewhere. A run is all its folds: Training is their time together, Val "
            "the mean of their validations."
        )
        yield (
            "Networks of different folds share most of their training cases, so their scores are not independent: "
            "p-values are somewhat too small. There is no untouched test set here: whoever chooses a method or a "
            "setting by this table needs new labelled cases to know how good the choice is."
        )


def _recorded(result: Result) -> dict[str, Any]:
    return dict(result.evaluation.prediction or {})


def _share(count: int) -> str:
    return f"{100 * (count - 1) / count:.0f} %"


def _write_fold(dataset: Dataset, held_out: Sequence[Case], labelled: Sequence[str], target: Path) -> None:
    """A dataset of links whose test cases are the held-out ones; their patients' other cases are nowhere."""
    patients = {case.patient for case in held_out}
    train = [case for case in dataset.split("train") if case.patient not in patients]
    validation = dataset.split("val")
    known = [case.id for case in train if case.label is not None]
    drawn = np.random.default_rng(SEED).permutation(known).tolist()
    lists = {
        "train": [case.id for case in train],
        "val": [case.id for case in validation],
        "test": [case.id for case in held_out],
    }
    for number in labelled:
        if number == "all":
            continue
        if not number.isdecimal() or not 1 <= int(number) <= len(known):
            raise UserError(
                f"--labelled {number}: a fold has {len(known)} labelled training cases; name all, or a number up to "
                "that."
            )
        lists[f"train_{number}_label"] = sorted(drawn[: int(number)])
    target.mkdir()
    for case, part in [*((case, "Tr") for case in (*train, *validation)), *((case, "Ts") for case in held_out)]:
        for path in case.images:
            _link(path, target / f"images{part}")
        if case.label is not None:
            _link(case.label, target / f"labels{part}")
    stated = read_json(dataset.root / "dataset.json", dict[str, Any], "correct it")
    write_description(target, lists, stated, stated.get("file_ending", DEFAULT_ENDING))


def _link(path: Path, folder: Path) -> None:
    """Link the files of a scan into a folder; where the system makes no links, copy them."""
    folder.mkdir(exist_ok=True)
    for file in [path] if path.is_dir() else parts(path):
        try:
            (folder / file.name).symlink_to(file.resolve())
        except OSError:
            copy = shutil.copytree if file.is_dir() else shutil.copyfile
            copy(file, folder / file.name)


def _joined(results: Sequence[Result]) -> Result:
    """The result of all folds together."""
    first, evaluations = results[0], [result.evaluation for result in results]
    trainings, prediction = [result.training for result in results], _recorded(first)
    training = {**first.training, "seconds": sum(result.seconds for result in results)}
    for key in ("peak_memory_bytes", "validation_dice"):
        values = [value for each in trainings if (value := each.get(key)) is not None]
        joined = max(values, default=None) if key == "peak_memory_bytes" else float(np.mean(values or [0.0]))
        training[key] = joined if len(values) == len(results) else None
    digests = [result.fingerprint for result in results]
    data = {**prediction["data"], "fingerprint": hashlib.sha256(json.dumps(digests).encode()).hexdigest()}
    prediction |= {"data": data, "training": training, "folds": len(results)}
    whole = replace(
        first.evaluation,
        rows=tuple(row for each in evaluations for row in each.rows),
        missing=tuple(name for each in evaluations for name in each.missing),
        extra=tuple(name for each in evaluations for name in each.extra),
        prediction=prediction,  # type: ignore[arg-type]  # further keys are allowed
    )
    patients = {case: patient for result in results for case, patient in result.patients.items()}
    if len(patients) != sum(len(result.patients) for result in results):
        raise UserError(f"Folds share test cases: {listed(sorted(patients))}. Remove the folder of folds.")
    return replace(first, evaluation=whole, patients=patients)
