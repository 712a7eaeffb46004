"""Cases that earlier runs learned from with labels, of a run that begins with their weights or is taught by them."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.same_image import content_of
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
    fingerprint = load_fingerprint(dataset)
    facts, contents = dataset_facts(dataset, fingerprint, *names), {c.id: content_of(c) for c in fingerprint.cases}
    recipe = small_recipe("data.labelled=2", *changes)
    return with_past(facts, contents, dataset, recipe, start, told.append), told


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


def other_dataset(root: Path, seed: int, letters: str = "") -> Path:
    """One of another name, with other scans, or for seed 0 with the same; cases are called by letters where given."""
    write_dataset(root, n_train=5, n_val=1, n_test=0, classes=2, subsets=(), seed=seed)
    description = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**description, "name": root.name}))
    for number, letter in enumerate(letters, start=1):
        for path in root.glob(f"*/case_{number:03d}*"):
            path.rename(path.with_name(path.name.replace(f"case_{number:03d}", letter)))
    one, two, three, four, five = letters or [f"case_{number:03d}" for number in range(1, 6)]
    deal(root, train=f"{three} {four} {five}", val=one, test=two)
    (root / "splits/train_2_label.txt").write_text(f"{three}\n{four}\n")
    return root


def forgetful(run: Run) -> None:
    """As runs of earlier versions are, which do not tell the images of their cases."""
    record = json.loads((run.folder / "run.json").read_text())
    del record["data"]["contents"]
    (run.folder / "run.json").write_text(json.dumps(record))


def test_another_dataset_may_have_the_same_names(data: Path, first: Run, tmp_path: Path) -> None:
    facts, told = begun(other_dataset(tmp_path / "other", seed=1), first.folder)
    assert "labelled_before" not in facts
    assert len(facts["contents_before"]) == 2
    assert told == []


def test_scans_that_were_imported_again_are_known_under_any_name(data: Path, first: Run, tmp_path: Path) -> None:
    same = other_dataset(tmp_path / "again", seed=0)
    facts, told = begun(same, first.folder)
    assert facts["labelled_before"] == ["case_001", "case_002"]
    assert told == [f"{first.folder} learned from the {NEW}"]
    renamed = other_dataset(tmp_path / "renamed", seed=0, letters="abcde")
    facts, told = begun(renamed, first.folder)
    assert facts["labelled_before"] == ["a", "b"]
    assert ever_labelled(facts) == ["c", "d", "a", "b"]
    assert told == [f"{first.folder} learned from the {NEW.replace('case_001, case_002', 'a, b')}"]


def test_scans_go_on_through_a_run_whose_dataset_lacks_them(data: Path, first: Run, tmp_path: Path) -> None:
    between = other_dataset(tmp_path / "between", seed=1)
    second = untrained_run(tmp_path / "second", between, "data.labelled=2")
    second.record["data"] = begun(between, first.folder)[0]
    (second.folder / "run.json").write_text(json.dumps(second.record))
    facts, told = begun(other_dataset(tmp_path / "again", seed=0, letters="abcde"), second.folder)
    assert facts["labelled_before"] == ["a", "b"]
    assert len(facts["contents_before"]) == 3  # of the two cases of the run between, and of b, which is for testing
    assert "now: a, b. Their scores" in told[0]


def test_a_scan_is_known_in_another_type_and_with_other_axes(data: Path, first: Run, tmp_path: Path) -> None:
    """Its file has other bytes, and the frame of the dataset is another."""
    other = other_dataset(tmp_path / "other", seed=1)
    image = nib.load(data / "imagesTr/case_001_0000.nii.gz")
    voxels = np.asarray(image.dataobj).astype(np.float32).transpose(1, 0, 2)[:, ::-1]
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), other / "imagesTr/case_001_0000.nii.gz")
    label = np.asarray(nib.load(data / "labelsTr/case_001.nii.gz").dataobj).transpose(1, 0, 2)[:, ::-1]
    nib.save(nib.Nifti1Image(label, np.eye(4)), other / "labelsTr/case_001.nii.gz")
    facts, told = begun(other, first.folder)
    assert facts["labelled_before"] == ["case_001"]
    assert "now: case_001. Their scores" in told[0]


def test_a_run_that_does_not_tell_its_images_may_have_learned_from_cases_of_these_names(
    data: Path, first: Run, tmp_path: Path
) -> None:
    forgetful(first)
    facts, (told,) = begun(other_dataset(tmp_path / "other", seed=0), first.folder)
    assert "labelled_before" not in facts
    assert told.startswith(
        f"{first.folder} may have learned from the labels of cases that are for validation or test now: it had cases "
        "of the names case_001, case_002, and is of an earlier version"
    )
    assert begun(other_dataset(tmp_path / "renamed", seed=0, letters="abcde"), first.folder)[1] == []
    assert begun(data, first.folder)[0]["labelled_before"] == ["case_001", "case_002"]  # by their names, as before


def test_a_case_with_the_image_of_a_labelled_one_is_labelled(data: Path) -> None:
    shutil.copy(data / "imagesTr/case_001_0000.nii.gz", data / "imagesTr/case_006_0000.nii.gz")
    facts, _ = begun(data, None)
    assert facts["validation"] == ["case_006"]
    assert ever_labelled(facts) == ["case_001", "case_002", "case_006"]


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
