"""Cells that were measured elsewhere: taken only where a run here would be the same; every difference is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossmatch.benchmark.cells import Cell, plan_cells
from crossmatch.benchmark.known import Known, match, read_known
from crossmatch.errors import UserError
from crossmatch.methods import METHODS
from crossmatch.scoring.stored import FORMAT
from tiny import write_dataset
from untrained import SMALL

CHANGES = [change for change in SMALL if not change.startswith("data.labelled")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("known") / "data", n_test=2, classes=2)


def planned(data: Path, methods: str = "supervised", **more: Any) -> list[Cell]:
    return plan_cells(
        "phantom", str(data), methods=methods.split(","), labelled=["1"], seeds=[0], changes=CHANGES, **more
    )


def summary(cell: Cell, **prediction: Any) -> dict[str, Any]:
    """The summary.json of a cell, as `crossmatch evaluate` writes it; scores by hand."""
    scores = {"dice": 0.5, "jaccard": 0.25, "hd95_voxels": 2.0, "asd_voxels": None, "assd_voxels": 1.0}
    names = {"RV": 1}
    cases = [{"case": case, "class": "RV", "value": 1, **scores} for case in ("case_005", "case_006")]
    facts = {
        "checkpoint": "last",
        "step": 3,
        "recipe": cell.recipe.model_dump(mode="json"),
        "data": {"fingerprint": "f", "labelled": ["case_001"]},
        "training": {"code": {"commit": "abc", "method_version": METHODS[cell.method].version}},
        **prediction,
    }
    whole = {"format": FORMAT, "predictions": "test", "references": "labelsTs", "dataset": None, "labels": names}
    return {**whole, "missing": [], "extra": [], "cases": cases, "prediction": facts}


def found(tmp_path: Path, data: Path, cells: list[Cell], *stored: dict[str, Any], checkpoint: str = "last") -> Known:
    """What `--known` takes of these summaries, each in a file of its own."""
    files = [tmp_path / f"{number}.json" for number in range(len(stored))]
    for file, content in zip(files, stored, strict=True):
        file.write_text(json.dumps(content))
    return match(cells, read_known(files), checkpoint, {data: "f"})


def test_an_equal_cell_is_taken_with_its_scores(tmp_path: Path, data: Path) -> None:
    (cell,) = planned(data)
    known = found(tmp_path, data, [cell], summary(cell))
    assert known.remarks == ()
    result = known.results[cell.folder]
    assert (result.method, result.labelled, result.seed, result.fingerprint) == ("supervised", "1", 0, "f")
    assert result.evaluation.case_means() == {"case_005": 0.5, "case_006": 0.5}
    assert set(result.patients) == {"case_005", "case_006"}


def other_steps(stored: dict[str, Any]) -> None:
    stored["prediction"]["recipe"]["train"]["steps"] = 9


def unknown_setting(stored: dict[str, Any]) -> None:
    stored["prediction"]["recipe"]["train"]["gone"] = 1


def other_class(stored: dict[str, Any]) -> None:
    stored["labels"] = {"lump": 1}
    stored["cases"] = [{**case, "class": "lump"} for case in stored["cases"]]


def one_case(stored: dict[str, Any]) -> None:
    stored["cases"].pop()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (other_steps, "train.steps was 9, now 3"),
        (unknown_setting, "unknown key train.gone"),
        (one_case, "tested on other cases"),
        (lambda stored: stored["prediction"].update(step=2), "tested after step 2"),
        (lambda stored: stored["prediction"]["data"].update(fingerprint="g"), "data.fingerprint was 'g', now 'f'"),
        (
            lambda stored: stored["prediction"]["data"].update(labelled=["case_002"]),
            "labelled cases was ['case_002']",
        ),
        (lambda stored: stored["prediction"].update(checkpoint="best"), "checkpoint was 'best', now 'last'"),
        (lambda stored: stored["prediction"]["training"].pop("code"), "version of the method was None, now 1"),
        (lambda stored: stored["prediction"].update(flips=True), "its masks are averages over mirror images"),
        (lambda stored: stored["prediction"].update(members=[{}, {}]), "its masks are of 2 runs together"),
        (lambda stored: stored["prediction"].update(begun_from="a"), "it began with the weights of another run"),
        (
            lambda stored: stored["prediction"].update(extended=[{}]),
            "it was finished before, and went on",
        ),
        (lambda stored: stored.update(largest_component=True), "only the largest component of each class was tested"),
        (lambda stored: stored.update(jaccard_threshold=0.65), "jaccard_threshold of the dataset was 0.65, now None"),
        (lambda stored: stored.update(edited=["case_005"]), "changed after predict wrote them: case_005"),
        (other_class, "other classes were tested: lump"),
        (
            lambda stored: stored["prediction"]["training"]["code"].update(method_version=7),
            "version of the method was 7, now 1",
        ),
    ],
)
def test_a_cell_that_differs_runs_here_and_the_difference_is_said(
    tmp_path: Path, data: Path, change: Callable[[dict[str, Any]], Any], told: str
) -> None:
    (cell,) = planned(data)
    stored = summary(cell)
    change(stored)
    known = found(tmp_path, data, [cell], stored)
    assert known.results == {}
    (remark,) = known.remarks
    assert remark.startswith("supervised, 1 labels, seed 0: measured elsewhere, and different: ")
    assert told in remark
    assert found(tmp_path, data, [cell], stored, summary(cell)).remarks == ()  # of two the one that fits is taken


def test_points_of_a_grid_are_told_apart_and_what_nobody_asked_for_is_counted(tmp_path: Path, data: Path) -> None:
    cells = planned(data, grid=[("train.learning_rate", ("0.1", "0.2"))])
    (elsewhere,) = planned(data, methods="mean_teacher")
    known = found(tmp_path, data, cells, summary(cells[1]), summary(elsewhere))
    assert list(known.results) == [cells[1].folder]
    assert known.results[cells[1].folder].grid == (("train.learning_rate", "0.2"),)
    different, beyond = known.remarks
    assert "train.learning_rate was 0.2, now 0.1" in different
    assert beyond == "1 known cells that this command did not name are left out"


def test_a_cell_is_taken_with_its_teacher_or_not_at_all(tmp_path: Path, data: Path) -> None:
    teacher, taught = planned(data, methods="supervised,distillation")
    alone = found(tmp_path, data, [teacher, taught], summary(taught))
    assert alone.results == {}
    assert "its teacher is not taken from the same file" in alone.remarks[0]
    needed = found(tmp_path, data, [teacher, taught], summary(teacher))
    assert needed.results == {}
    assert "so does its teacher" in needed.remarks[0]
    file = tmp_path / "both.json"
    cells = [{"evaluation": summary(cell)} for cell in (teacher, taught)]
    file.write_text(json.dumps({"format": "crossmatch benchmark 1", "cells": cells}))
    both = match([teacher, taught], read_known([file]), "last", {data: "f"})
    assert list(both.results) == [teacher.folder, taught.folder]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"format": "crossmatch benchmark 1", "cells": [{"method": "bcp"}]}, "holds no cell with its scores"),
        ({"format": "other"}, "--known takes the results.json"),
        ("prediction", "does not say which run it is of"),
    ],
)
def test_files_that_hold_no_cell(tmp_path: Path, data: Path, content: Any, told: str) -> None:
    if content == "prediction":
        content = summary(planned(data)[0]) | {"prediction": None}
    file = tmp_path / "results.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=told):
        read_known([file])
