"""Cases that earlier runs learned from with labels, of a run that begins with their weights or is taught by them."""

import json
from pathlib import Path

import pytest

from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.runs.pack import pack
from crossmatch.runs.record import DataFacts, ever_labelled
from crossmatch.runs.run import Run
from crossmatch.training.material import dataset_facts
from crossmatch.training.past import with_past
from tiny import write_dataset
from untrained import small_recipe, untrained_run

NEW = "labels of cases that are for validation or test now: case_001, case_002. Their scores say little about new scans"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five training cases; the first run learns from two of them, then the splits are dealt anew."""
    root = write_dataset(tmp_path / "data", n_train=5, n_val=1, n_test=0, classes=2, subsets=())
    (root / "splits" / "train_2_label.txt").write_text("case_001\ncase_002\n")
    return root


@pytest.fixture
def first(data: Path, tmp_path: Path) -> Run:
    run = untrained_run(tmp_path / "first", data, "data.labelled=2")
    deal(data, train="case_003 case_004 case_005", val="case_001", test="case_002")
    return run


def deal(root: Path, **splits: str) -> None:
    for name, cases in splits.items():
        (root / "splits" / f"{name}.txt").write_text(cases.replace(" ", "\n"))
    (root / "splits" / "train_2_label.txt").write_text("case_003\ncase_004\n")


def begun(data: Path, start: Path | None, *changes: str) -> tuple[DataFacts, list[str]]:
    """What a run of two labelled cases would record that begins with another, and what is told."""
    dataset, told = open_dataset(data), list[str]()
    names = ([case.id for case in cases] for cases in dataset.labelled("2"))
    facts = dataset_facts(dataset, load_fingerprint(dataset), *names)
    return with_past(facts, dataset, small_recipe("data.labelled=2", *changes), start, told.append), told


def test_cases_of_the_run_that_gave_the_weights(data: Path, first: Run) -> None:
    facts, told = begun(data, first.folder)
    assert facts["labelled"] == ["case_003", "case_004"]
    assert facts["labelled_before"] == ["case_001", "case_002"]
    assert ever_labelled(facts) == ["case_003", "case_004", "case_001", "case_002"]
    assert told == [f"{first.folder} learned from the {NEW}"]


def test_cases_go_on_from_run_to_run(data: Path, first: Run, tmp_path: Path) -> None:
    second = untrained_run(tmp_path / "second", data, "data.labelled=2")
    second.record["data"] = begun(data, first.folder)[0]
    (second.folder / "run.json").write_text(json.dumps(second.record))
    facts, told = begun(data, second.folder)
    assert facts["labelled_before"] == ["case_001", "case_002"]
    assert told == [f"{second.folder} learned from the {NEW}"]


def test_cases_of_a_teacher(data: Path, first: Run) -> None:
    facts, told = begun(data, None, "method.name=distillation", f"method.teacher={first.folder}")
    assert facts["labelled_before"] == ["case_001", "case_002"]
    assert told == [f"{first.folder} learned from the {NEW}"]


def test_nothing_is_said_where_the_splits_are_those_of_before(data: Path, first: Run) -> None:
    """More labels, as after a review, or the same."""
    deal(data, train="case_001 case_002 case_003 case_004", val="case_005", test="")
    facts, told = begun(data, first.folder)
    assert facts["labelled_before"] == ["case_001", "case_002"]
    (data / "splits" / "train_2_label.txt").write_text("case_001\ncase_002\n")
    again, told_again = begun(data, first.folder)
    assert "labelled_before" not in again
    assert told == told_again == []


def test_another_dataset_may_have_the_same_names(data: Path, first: Run, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other", n_train=5, n_val=1, n_test=0, classes=2, subsets=())
    description = json.loads((other / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps({**description, "name": "Other"}))
    deal(other, train="case_003 case_004 case_005", val="case_001", test="case_002")
    facts, told = begun(other, first.folder)
    assert "labelled_before" not in facts
    assert told == []


def test_a_packed_model_names_no_cases(data: Path, first: Run, tmp_path: Path) -> None:
    model = pack(first.folder, tmp_path / "model.zip")
    facts, told = begun(data, model)
    assert "labelled_before" not in facts
    (remark,) = told
    assert remark.startswith(f"{model} is a packed model, which names no cases. If it learned from cases that are for")
    deal(data, train="case_003 case_004 case_005", val="", test="")
    assert begun(data, model)[1] == []


def test_what_is_no_run_is_refused_elsewhere(data: Path, tmp_path: Path) -> None:
    facts, told = begun(data, tmp_path / "nowhere")
    assert "labelled_before" not in facts
    assert told == []
