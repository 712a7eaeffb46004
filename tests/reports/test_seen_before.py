"""Cases that a run has used are recognised whatever their dataset is called; a name alone is told as a doubt."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from crossmatch.dataset.check import check
from crossmatch.export.export_run import export_run
from crossmatch.inference.predict import Options, predict
from crossmatch.reports import write_report
from crossmatch.reports.evaluated import references_of
from crossmatch.reports.seen_before import SeenCases, seen_before
from crossmatch.runs.pack import pack
from crossmatch.runs.run import open_run
from crossmatch.scoring.evaluate import evaluate
from crossmatch.scoring.scores import load_evaluation
from page import Page
from tiny import write_dataset
from untrained import untrained_run

USED = {"case_001": "training", "case_004": "validation", "case_005": "validation"}


def without_name(data: Path) -> Path:
    """The dataset is called like its folder then."""
    facts = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({key: value for key, value in facts.items() if key != "name"}))
    return data


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset without a name, a run of it, and the run's masks of cases that it has used."""
    place = tmp_path_factory.mktemp("made")
    data = without_name(write_dataset(place / "study", n_train=3, n_val=2))
    run = untrained_run(place / "run", data).folder
    for case in USED:
        predict(run, data / f"imagesTr/{case}_0000.nii.gz", run / "seen", Options(device="cpu"))
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy, whose run looks for its data there."""
    shutil.copytree(made, tmp_path / "place")
    record = tmp_path / "place" / "run" / "run.json"
    record.write_text(record.read_text().replace(str(made), str(tmp_path / "place")))
    return tmp_path / "place"


def seen_in(place: Path, labels: Path) -> SeenCases:
    """What the run has seen of the cases in a folder of labels."""
    results = place / "run" / "seen"
    evaluate(results, labels, results, partial=True)
    run, evaluation = open_run(place / "run"), load_evaluation(results)
    return seen_before(run, evaluation, references_of(run, evaluation, results))


def card(place: Path, told: list[str]) -> str:
    return (export_run(place / "run", place / "model", "torch", warn=told.append) / "README.md").read_text()


def test_a_renamed_folder_stays_the_runs_dataset(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSMATCH_CACHE")
    check(place / "study")  # its fingerprint lies in the folder
    (place / "study").rename(place / "study_2026")
    assert seen_in(place, place / "study_2026" / "labelsTr") == SeenCases(USED, {})
    page = Page(write_report(place / "run"))
    assert "1 of 3 are training cases: the run learned from their labels; 2 of 3 are validation cases" in page.text
    text = card(place, [])
    assert "| training, 3 cases, 2 others have no mask | RV |" in text
    assert "There are no test scores of these weights" in text


def test_a_renamed_folder_without_a_fingerprint_is_a_doubt(place: Path) -> None:
    (place / "study").rename(place / "study_2026")
    assert seen_in(place, place / "study_2026" / "labelsTr") == SeenCases({}, USED)
    assert "There are no test scores of these weights" in card(place, [])


def test_labels_that_were_copied_out_of_the_dataset_are_known_by_their_content(place: Path) -> None:
    shutil.copytree(place / "study" / "labelsTr", place / "copied")
    assert seen_in(place, place / "copied") == SeenCases(USED, {})


def test_cases_of_other_data_with_common_names_are_a_doubt(place: Path) -> None:
    other = write_dataset(place / "other", n_train=3, n_val=2, seed=9)
    assert seen_in(place, other / "labelsTr") == SeenCases({}, USED)
    page, told = Page(write_report(place / "run")), list[str]()
    named = "3 of 3 are named like cases that the run, or one that made these masks, learned from or was validated with"
    assert f"{named}. Whether they are the same is not known, as their references are of tiny" in page.text
    assert {"training?", "validation?"} <= {word for row in page.rows for word in row[0].split()}
    text = card(place, told)
    words = "perhaps test, 3 cases, 3 of them named like cases that were learned from or validated with"
    assert f"| {words}, 2 others have no mask | RV |" in text
    assert "There are no test scores of these weights" in text
    assert told[-1].endswith(f"are no sure test scores, and the model card says so: {words}, 2 others have no mask")


def test_another_image_under_the_name_of_a_used_case_is_a_doubt_in_data_of_the_same_name(place: Path) -> None:
    """It may be another scan of a folder that has the same name, or the same scan that was stored again."""
    seen_in(place, place / "study" / "labelsTr")
    run = open_run(place / "run")
    contents = {case: run.data["contents"][case] for case in USED} | {"case_001": "another"}
    evaluation = replace(load_evaluation(place / "run" / "seen"), references_sha256={}, contents=contents)
    assert evaluation.dataset == run.data["name"]
    seen = seen_before(run, evaluation)
    assert seen.by_name == {"case_001": "training"}
    assert seen.certain == {case: kind for case, kind in USED.items() if case != "case_001"}


def test_cases_of_other_names_are_test_cases(place: Path) -> None:
    shutil.rmtree(place / "run" / "seen")
    predict(place / "run", place / "study" / "imagesTs", place / "run" / "seen", Options(device="cpu"))
    assert seen_in(place, place / "study" / "labelsTs") == SeenCases({}, {})
    assert "| test, 1 cases | RV |" in card(place, [])


def test_estimates_of_a_packed_model_are_not_judged_by_the_cases_they_were_fitted_on(place: Path) -> None:
    """The fit in a packed model does not name its cases."""
    run, scans = place / "run", place / "scans"
    scans.mkdir()
    for case in ("case_004", "case_005"):
        shutil.copy(place / "study" / "imagesTr" / f"{case}_0000.nii.gz", scans)
    predict(run, place / "study" / "imagesTs", place / "fitted", Options(device="cpu", quality=True))
    predict(pack(run, place / "model.zip"), scans, place / "masks", Options(device="cpu", quality=True))
    evaluate(place / "masks", place / "study" / "labelsTr", place / "masks", partial=True)
    page = Page(write_report(run, predictions=place / "masks"))
    assert "the estimates were fitted on all 2 evaluated cases and are too good there" in page.text
    assert "evaluated cases the estimated Dice is off" not in page.text
