"""Cross-validation: who is tested by whom, what a fold's dataset holds, how folds become one result."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from finished import result

from command import call
from crossmatch.benchmark.cells import Cell, plan_cells
from crossmatch.benchmark.folds import deal, fold_notes, make_folds, pooled
from crossmatch.benchmark.results import aggregate
from crossmatch.dataset.dataset import Case, open_dataset
from crossmatch.errors import UserError
from tiny import write_dataset
from train_tiny import TINY


def cases_of(**patients: int) -> list[Case]:
    return [
        Case(f"{patient}_frame{n:02d}", (), Path("x"), "train", patient)
        for patient, count in patients.items()
        for n in range(count)
    ]


def scans(root: Path, n_train: int = 6, n_val: int = 1, unlabelled: int = 2, n_test: int = 0) -> Path:
    """Of the training cases, the last ones unlabelled."""
    return write_dataset(root, n_train=n_train, n_val=n_val, n_test=n_test, unlabelled=unlabelled, subsets=())


def test_whole_patients_are_dealt_evenly_and_always_alike() -> None:
    cases = cases_of(a=2, b=2, c=2, d=1, e=1, f=1)
    folds = [{case.id for case in fold} for fold in deal(cases, 3)]
    assert [len(fold) for fold in folds] == [3, 3, 3]
    assert set.union(*folds) == {case.id for case in cases}
    patients = [{name[0] for name in fold} for fold in folds]
    assert sum(map(len, patients)) == 6
    assert [{case.id for case in fold} for fold in deal(cases[::-1], 3)] == folds
    assert [len(fold) for fold in deal(cases_of(a=5, b=1, c=1), 2)] == [5, 2]
    with pytest.raises(UserError, match="3 patients have labelled training cases"):
        deal(cases_of(a=5, b=1, c=1), 4)


def test_each_labelled_case_is_tested_once_by_a_network_that_has_not_seen_it(tmp_path: Path) -> None:
    place = make_folds(scans(tmp_path / "data"), 2, ["all", "1"], tmp_path / "out")
    tested = []
    for fold in (0, 1):
        dataset = open_dataset(place.replace("{fold}", str(fold)))
        here = [case.id for case in dataset.split("test")]
        tested += here
        assert all(case.label is not None for case in dataset.split("test"))
        assert [case.id for case in dataset.split("val")] == ["case_007"]
        assert {case.id for case in dataset.split("train")} == {f"case_00{n}" for n in range(1, 7)} - {*here}
        assert len(dataset.labelled("all")[0]) == 2
        assert len(dataset.labelled("1")[0]) == 1
        assert all(path.is_symlink() for path in dataset.files())
    assert sorted(tested) == ["case_001", "case_002", "case_003", "case_004"]


def test_unlabelled_scans_of_a_tested_patient_are_left_out(tmp_path: Path) -> None:
    data = scans(tmp_path / "data", n_train=4, n_val=0)
    for folder in ("imagesTr", "labelsTr"):  # 1 and 3 are one patient, 2 and 4 another; 3 and 4 have no label
        for path in sorted((data / folder).iterdir()):
            number = int(path.name[5:8])
            path.rename(path.with_name(f"p{2 - number % 2}_frame{number:02d}{path.name[8:]}"))
    for path in (data / "splits").iterdir():
        path.unlink()
    place = make_folds(data, 2, ["all"], tmp_path / "out")
    for fold in (0, 1):
        dataset = open_dataset(place.replace("{fold}", str(fold)))
        tested, trained = ([case.patient for case in dataset.split(split)] for split in ("test", "train"))
        assert (len(tested), len(trained)) == (1, 2)
        assert tested[0] not in trained


def test_folds_are_made_once_and_only_of_their_data(tmp_path: Path) -> None:
    data = scans(tmp_path / "data")
    place = make_folds(data, 2, ["all"], tmp_path / "out")
    made = {path: path.lstat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert make_folds(data, 2, ["all"], tmp_path / "out") == place
    assert {path: path.lstat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == made
    with pytest.raises(UserError, match="holds folds of other data, patients or numbers of labels"):
        make_folds(data, 2, ["all", "2"], tmp_path / "out")
    with pytest.raises(UserError, match="--labelled 3: a fold has 2 labelled training cases"):
        make_folds(data, 2, ["3"], tmp_path / "other")
    assert not list((tmp_path / "other").glob("*"))
    with pytest.raises(UserError, match="has 1 test cases with labels: leave out --folds"):
        make_folds(scans(tmp_path / "tested", n_test=1), 2, ["all"], tmp_path / "out")


def test_folds_know_the_patients_that_they_were_dealt_by(tmp_path: Path) -> None:
    """With another `patient_regex` the same scans are of other patients, which the old folds may split."""
    data = scans(tmp_path / "data")
    make_folds(data, 2, ["all"], tmp_path / "out")
    described = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**described, "patient_regex": "case_(.*)"}))
    with pytest.raises(UserError, match="holds folds of other data, patients or numbers of labels"):
        make_folds(data, 2, ["all"], tmp_path / "out")


def test_test_cases_without_labels_do_not_hinder_folds(tmp_path: Path) -> None:
    data = scans(tmp_path / "data", n_test=1)
    (unread,) = [case.id for case in open_dataset(data).split("test")]
    shutil.rmtree(data / "labelsTs")
    place = make_folds(data, 2, ["all"], tmp_path / "out")
    for fold in (0, 1):
        cases = open_dataset(place.replace("{fold}", str(fold))).cases
        assert unread not in {case.id for case in cases}


def cells_of(folds: int, seeds: tuple[int, ...] = (0,)) -> list[Cell]:
    settings = {"methods": ["supervised"], "labelled": ["all"], "seeds": list(seeds), "folds": folds}
    return plan_cells("phantom", "data/fold{fold}", **settings)


def test_cells_of_folds_are_runs_of_their_own() -> None:
    cells = cells_of(2, seeds=(0, 1))
    names = ["seed0_fold0", "seed0_fold1", "seed1_fold0", "seed1_fold1"]
    assert [cell.folder.name for cell in cells] == names
    assert [str(cell.data) for cell in cells] == ["data/fold0", "data/fold1"] * 2
    assert str(cells[1]).endswith("seed 0, fold 1")


def test_folds_become_one_result_over_all_cases() -> None:
    cells = cells_of(2)
    parts = [
        result("supervised", {"a": 0.5, "b": 0.7}, labelled="all", fingerprint="f0", seconds=10.0, validation_dice=0.5),
        result("supervised", {"c": 0.9}, labelled="all", fingerprint="f1", seconds=20.0, validation_dice=0.7),
    ]
    (whole,), lacking = pooled(cells, parts, cells)
    assert lacking == []
    assert whole.evaluation.case_means() == {"a": 0.5, "b": 0.7, "c": 0.9}
    (row,) = aggregate([whole])
    assert row.dice.mean == pytest.approx(0.7)  # over cases, not over folds
    assert row.seconds == 30
    assert whole.validation_dice == pytest.approx(0.6)
    assert whole.fingerprint not in ("f0", "f1")
    first, second = fold_notes([whole])
    assert "Training is their time together" in first  # 30 s, of two trainings
    assert "2 folds of the labelled cases of 3 patients" in first
    assert "50 % of the labels" in first
    assert "no untouched test set" in second
    assert list(fold_notes(parts)) == []


def test_a_run_whose_folds_are_not_all_there_waits() -> None:
    cells = cells_of(2)
    part = result("supervised", {"a": 0.5}, labelled="all")
    assert pooled(cells[:1], [part], cells) == ([], ["supervised, all labels, seed 0: waits for its other folds"])


def test_what_folds_cannot_be_made_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("benchmark", "phantom", "--methods", "supervised", "--out", tmp_path / "bench", "--folds", 2)
    for more, told in (
        ((), "name its folder with --data"),
        (("--data", "{seed}"), "name its folder with --data"),
        (("--data", tmp_path, "--known", tmp_path), "leave out one of the two"),
    ):
        code, _, err = call(capsys, *words, *more)
        assert (code, told in " ".join(err.split())) == (2, True), err


@pytest.mark.slow
def test_a_benchmark_of_two_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, bench = scans(tmp_path / "data", n_train=3, unlabelled=1), tmp_path / "bench"
    settings = [word for text in TINY if "labelled=1" not in text for word in ("--set", text)]
    words = ["phantom", "--methods", "supervised", "--data", data, "--out", bench, "--folds", 2, "--seeds", 0]
    words += ["--labelled", "all", "--device", "cpu", *settings, "--set", "train.steps=2", "--set", "data.dataset="]
    for finished in (0, 2):
        code, out, err = call(capsys, "benchmark", *words)
        assert code == 0, out + err
        assert f"2 cells, {finished} of them finished" in out
    text = (bench / "results.md").read_text()
    assert "2 folds of the labelled cases of 2 patients" in text
    (cell,) = json.loads((bench / "results.json").read_text())["cells"]
    assert sorted({row["case"] for row in cell["evaluation"]["cases"]}) == ["case_001", "case_002"]


def test_folds_whose_scans_would_be_cut_along_other_axes_are_refused(tmp_path: Path) -> None:
    """The first scan alone has other axes, so the fold that tests it would be cut along another one."""
    root = scans(tmp_path / "data")
    assert make_folds(root, 2, ["all"], tmp_path / "alike")
    for path in (*root.glob("images*/case_001_0000.nii.gz"), *root.glob("labels*/case_001.nii.gz")):
        order = np.array([[2, 1], [0, 1], [1, 1]])
        nib.save(nib.load(path).as_reoriented(order), path)
    with pytest.raises(UserError, match="stored with other axes than the first one without case_001, case_004"):
        make_folds(root, 2, ["all"], tmp_path / "out")
    assert not (tmp_path / "out" / "2_folds").exists()
