"""The model card: a YAML head that machines read, counts, settings, scores with intervals, where not to use it."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from crossmatch.dataset.check import check
from crossmatch.export.export_run import export_run
from crossmatch.export.scored import interval
from crossmatch.inference.predict import Options, predict
from crossmatch.reports.seen_before import SeenCases, seen_before
from crossmatch.runs.run import open_run
from crossmatch.scoring.evaluate import evaluate
from crossmatch.scoring.scores import load_evaluation
from crossmatch.scoring.statistic import Statistic
from tiny import write_dataset
from untrained import save_untrained, untrained_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose test and validation cases were predicted and evaluated."""
    place = tmp_path_factory.mktemp("card")
    data = write_dataset(place / "data", n_train=4, n_val=2, n_test=3)
    check(data)
    run = untrained_run(place / "run", data)
    predict(run.folder, data / "imagesTs", run.folder / "test", Options(device="cpu"))
    evaluate(run.folder / "test", data / "labelsTs", run.folder / "test")
    for case in ("case_005", "case_006"):
        predict(run.folder, data / f"imagesTr/{case}_0000.nii.gz", place / "val", Options(device="cpu"))
    evaluate(place / "val", data / "labelsTr", place / "val", partial=True)
    return run.folder


def card(run: Path, out: Path, **more: object) -> str:
    return (export_run(run, out, "torch", **more) / "README.md").read_text()


def test_a_card_is_filled_from_the_run(run: Path, tmp_path: Path) -> None:
    text = card(run, tmp_path / "model", evaluations=[run.parent / "val"])
    _, head, page = text.split("---\n", 2)
    assert "license: other\nlicense_name: not-stated\nlicense_link: LICENSE\n" in head
    assert "library_name: crossmatch\npipeline_tag: image-segmentation\n" in head
    assert "metrics:\n  - dice\n  - hd95\n" in head
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    read = yaml.safe_load(head)
    assert {"medical", "semi-supervised", "2d", "unet", "crossmatch"} <= set(read["tags"])
    results = read["model-index"][0]["results"]
    assert [each["dataset"]["name"] for each in results] == [
        "2 validation cases, 4 others have no mask",
        "3 test cases",
    ]
    assert "| labelled training cases | 1 |\n| unlabelled training cases | 3 |\n| validation cases | 2 |" in page
    assert "| `train.optimizer` | adamw |" in page
    assert "case_0" not in text
    assert str(run.parent) not in text


def test_scores_have_intervals_over_cases(run: Path, tmp_path: Path) -> None:
    text = card(run, tmp_path / "model")
    found = load_evaluation(run / "test").statistics("RV")["dice"]
    values = [row.scores["dice"] for row in load_evaluation(run / "test").rows if row.name == "RV"]
    half = 4.302652729911275 * np.std(values, ddof=1) / math.sqrt(3)  # the 97.5th percentile of t with 2 degrees
    low, high = max(0, np.mean(values) - half), min(1, np.mean(values) + half)
    assert found.cases == 3
    assert f"| test, 3 cases | RV | {100 * found.mean:.1f} ({100 * low:.1f} to {100 * high:.1f}) |" in text
    assert "95 % intervals of the mean over cases" in text
    assert f"Where RV matters: its mean Dice on test cases is {100 * found.mean:.1f} %." in text


def test_scores_of_other_masks_than_the_model_makes_say_so(run: Path, tmp_path: Path) -> None:
    """The exported model neither averages mirror images nor keeps the largest component of a class."""
    data = run.parent / "data"
    plain = card(run, tmp_path / "plain")
    evaluate(run / "test", data / "labelsTs", run / "largest", largest_component=True)
    predict(run, data / "imagesTs", run / "flips", Options(device="cpu", flips=True))
    evaluate(run / "flips", data / "labelsTs", run / "flips")
    text = card(run, tmp_path / "model")
    for folder in ("largest", "flips"):
        shutil.rmtree(run / folder)
    rows = [line for line in text.splitlines() if "3 cases" in line]
    assert len(rows) == 9  # two classes and their mean, three times
    assert sum("| test, 3 cases, of each predicted class the largest component |" in row for row in rows) == 3
    assert sum("| test, 3 cases, of masks averaged over mirror images |" in row for row in rows) == 3
    assert [row for row in rows if "| test, 3 cases |" in row] == [
        row for row in plain.splitlines() if "3 cases" in row
    ]


def test_images_that_were_learned_from_are_no_test_cases(run: Path, tmp_path: Path) -> None:
    data = run.parent / "data"
    assert open_run(run).data["unlabelled"] == 3
    predict(run, data / "imagesTr/case_002_0000.nii.gz", run / "seen", Options(device="cpu"))
    evaluate(run / "seen", data / "labelsTr", run / "seen", partial=True)
    text = card(run, tmp_path / "model")
    shutil.rmtree(run / "seen")
    assert "| unlabelled training, 1 cases, 5 others have no mask | RV |" in text


def evaluated_copy(run: Path, place: Path, cases: str, *others: Path) -> Path:
    """A copy of the run, with these training or validation cases predicted and evaluated."""
    shutil.copytree(run, place)
    shutil.rmtree(place / "test")
    data = run.parent / "data"
    for case in cases.split():
        scan = data / f"imagesTr/{case}_0000.nii.gz"
        predict([place, *others] if others else place, scan, place / "seen", Options(device="cpu"))
    evaluate(place / "seen", data / "labelsTr", place / "seen", partial=True)
    return place


def changed(folder: Path, **data: object) -> Path:
    """A run whose run.json says something else of its data; None leaves it out."""
    record = json.loads((folder / "run.json").read_text())
    record["data"] = {key: value for key, value in {**record["data"], **data}.items() if value is not None}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_images_stay_learned_from_whatever_the_dataset_has_by_now(run: Path, tmp_path: Path) -> None:
    """One more training case. A run of an earlier version does not name its unlabelled cases."""
    shutil.copytree(run.parent / "data", tmp_path / "data")
    for part in ("imagesTr/case_00{}_0000.nii.gz", "labelsTr/case_00{}.nii.gz"):
        shutil.copy(tmp_path / "data" / part.format(4), tmp_path / "data" / part.format(0))
    with (tmp_path / "data/splits/train.txt").open("a") as file:
        file.write("\ncase_000\n")
    copy = changed(evaluated_copy(run, tmp_path / "run", "case_002"), root=str(tmp_path / "data"))
    words = "unlabelled training, 1 cases, 5 others have no mask"
    assert f"| {words} | RV |" in card(copy, tmp_path / "named")
    assert f"| {words} | RV |" in card(changed(copy, unlabelled_cases=None), tmp_path / "unnamed")


def test_cases_of_runs_that_gave_their_weights_are_training_cases(run: Path, tmp_path: Path) -> None:
    copy = evaluated_copy(run, tmp_path / "run", "case_005 case_006")
    assert "| validation, 2 cases, 4 others have no mask | RV |" in card(copy, tmp_path / "own")
    changed(copy, labelled_before=["case_006"])
    assert "| training, 2 cases, 4 others have no mask | RV |" in card(copy, tmp_path / "inherited")


def test_cases_of_another_member_are_training_cases(run: Path, tmp_path: Path) -> None:
    """Masks of two runs; the second one learned from a validation case of the first."""
    other = untrained_run(tmp_path / "other", run.parent / "data", seed=1)
    changed(other.folder, labelled=["case_005"], validation=[])
    copy = evaluated_copy(run, tmp_path / "run", "case_005", other.folder)
    evaluation = load_evaluation(copy / "seen")
    assert seen_before(open_run(copy), evaluation).certain == {"case_005": "training"}
    alone = evaluated_copy(run, tmp_path / "alone", "case_005")
    assert seen_before(open_run(alone), load_evaluation(alone / "seen")).certain == {"case_005": "validation"}


def test_scores_of_other_weights_are_left_out(run: Path, tmp_path: Path) -> None:
    save_untrained(open_run(run), "best", seed=5)
    text = card(run, tmp_path / "model", checkpoint="best")
    assert "There are no test scores of these weights" in text
    assert "it was not evaluated on test cases" in text
    assert "model-index" not in text
    (run / "checkpoints/best.safetensors").unlink()


def test_scores_of_masks_changed_by_hand_are_left_out(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    mask = tmp_path / "run" / "test" / "case_007.nii.gz"
    mask.write_bytes((run.parent / "data" / "labelsTs" / "case_007.nii.gz").read_bytes())
    evaluate(tmp_path / "run" / "test", run.parent / "data" / "labelsTs", tmp_path / "run" / "test")
    told: list[str] = []
    text = card(tmp_path / "run", tmp_path / "model", warn=told.append)
    assert "There are no test scores of these weights" in text
    assert "model-index" not in text
    assert "summary.json are left out: masks of case_007 are not as predict wrote them" in told[-1]


def test_intervals_by_hand() -> None:
    assert interval(Statistic(0.8, 0.1, 4, 0), 1) == pytest.approx((0.8 - 3.182446 * 0.05, 0.8 + 3.182446 * 0.05))
    assert interval(Statistic(0.9, 0.4, 2, 0), 1) == (0.0, 1)
    assert interval(Statistic(0.9, math.nan, 1, 0)) is None
    assert interval(Statistic(math.nan, math.nan, 0, 3)) is None


def test_scores_against_references_that_were_changed_since_are_left_out(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run.parent, tmp_path / "place")
    moved, told = tmp_path / "place" / "run", list[str]()
    assert "There are no test scores" not in card(moved, tmp_path / "model", warn=told.append)
    assert not any("left out" in text for text in told)
    labels = tmp_path / "place" / "data" / "labelsTs"
    (labels / "case_007.nii.gz").write_bytes((labels / "case_008.nii.gz").read_bytes())
    text = card(moved, tmp_path / "again", warn=told.append)
    assert "There are no test scores of these weights" in text
    assert "model-index" not in text
    assert "are left out: references of case_007 were written since masks were scored" in told[-1]


def test_cases_of_another_dataset_are_known_by_their_images(run: Path, tmp_path: Path) -> None:
    """A labelled, an unlabelled, a validation and a test case of the run, imported again under other names."""
    data = shutil.copytree(run.parent / "data", tmp_path / "again")
    for before, after in {"case_001": "a", "case_002": "b", "case_005": "c", "case_007": "case_001"}.items():
        for path in data.glob(f"*/{before}*"):
            path.rename(path.with_name(path.name.replace(before, after)))
    shutil.rmtree(data / "splits")
    stated = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps(stated | {"name": "again"}))
    for scan in ("a", "b", "c"):
        predict(run, data / f"imagesTr/{scan}_0000.nii.gz", tmp_path / "seen", Options(device="cpu"))
    predict(run, data / "imagesTs/case_001_0000.nii.gz", tmp_path / "new", Options(device="cpu"))
    unread = evaluate(tmp_path / "seen", data / "labelsTr", partial=True)
    assert (unread.contents, seen_before(open_run(run), unread).certain) == ({}, {})
    check(data)
    evaluate(tmp_path / "seen", data / "labelsTr", tmp_path / "scores", partial=True)
    assert seen_before(open_run(run), load_evaluation(tmp_path / "scores")).certain == {
        "a": "training",
        "b": "unlabelled training",
        "c": "validation",
    }
    new = evaluate(tmp_path / "new", data / "labelsTs", partial=True)
    assert list(new.contents) == ["case_001"]
    assert seen_before(open_run(run), new) == SeenCases({}, {})  # its name is that of a labelled case
