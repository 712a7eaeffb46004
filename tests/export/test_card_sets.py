"""Every set of cases has its rows in the model card, and says how its masks were made."""

import shutil
from pathlib import Path

import pytest

from crossmatch.export.export_run import export_run
from crossmatch.inference.predict import Options, predict
from crossmatch.runs.pack import pack
from crossmatch.scoring.evaluate import evaluate
from tiny import write_dataset
from untrained import untrained_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose three test cases were evaluated."""
    place = tmp_path_factory.mktemp("sets")
    data = write_dataset(place / "data", n_train=2, n_val=1, n_test=3)
    run = untrained_run(place / "run", data).folder
    predict(run, data / "imagesTs", run / "test", Options(device="cpu"))
    evaluate(run / "test", data / "labelsTs", run / "test")
    return run


def sets_of(run: Path, out: Path, *others: Path) -> list[str]:
    """The sets of cases in the card, in the order of their rows."""
    text = (export_run(run, out, "torch", evaluations=others) / "README.md").read_text()
    cells = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    return list(dict.fromkeys(cell for cell in cells if "case" in cell and cell[0] in "tp" and "test" in cell))


def outside(run: Path, place: Path, count: int) -> Path:
    """Scans and labels of elsewhere, whose cases have other names and whose classes have none; their scores."""
    data = write_dataset(place / "made", n_train=1, n_val=0, n_test=count, seed=7)
    for part in ("images", "labels"):
        (place / part).mkdir()
        for path in (data / f"{part}Ts").iterdir():
            shutil.copy(path, place / part / path.name.replace("case", "patient"))
    predict(run, place / "images", place / "masks", Options(device="cpu"))
    evaluate(place / "masks", place / "labels", place / "masks")
    return place / "masks"


def test_two_test_sets_have_their_rows(run: Path, tmp_path: Path) -> None:
    other, third = outside(run, tmp_path / "a", 2), outside(run, tmp_path / "b", 3)
    assert sets_of(run, tmp_path / "two", other) == ["test, 2 cases", "test, 3 cases"]
    assert sets_of(run, tmp_path / "alike", third) == ["test, 3 cases, set 1", "test, 3 cases, set 2"]


def test_the_same_cases_evaluated_again_have_one_row(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    evaluate(run / "test", run.parent / "data" / "labelsTs", again)
    assert sets_of(run, tmp_path / "model", again) == ["test, 3 cases"]


def test_masks_made_otherwise_and_cases_left_out_are_told(run: Path, tmp_path: Path) -> None:
    data, masks = run.parent / "data", tmp_path / "masks"
    predict(run, data / "imagesTs", masks, Options(device="cpu", precision="bf16"))
    next(masks.glob("case_*.nii.gz")).unlink()
    evaluate(masks, data / "labelsTs", masks, partial=True)
    told = ["test, 2 cases, of masks made in bf16, 1 others have no mask", "test, 3 cases"]
    assert sets_of(run, tmp_path / "model", masks) == told


def test_a_packed_model_cannot_say_what_are_test_cases(run: Path, tmp_path: Path) -> None:
    """Its record has no names. Masks that the run made before name its cases."""
    data, model = run.parent / "data", pack(run, tmp_path / "model.zip")
    predict(model, data / "imagesTs", tmp_path / "masks", Options(device="cpu"))
    evaluate(tmp_path / "masks", data / "labelsTs", tmp_path / "masks")
    told = ["perhaps test, 3 cases, of which a packed model does not know whether it learned from them"]
    assert sets_of(model, tmp_path / "exported", tmp_path / "masks") == told
    assert sets_of(model, tmp_path / "known", run / "test") == ["test, 3 cases"]
