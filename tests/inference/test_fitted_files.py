"""A fit of quality is used as long as the files of its cases have the content that it was made from."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from command import call
from crossmatch import formats
from crossmatch.inference.predict import Options, predict
from crossmatch.inference.quality_record import read_quality
from crossmatch.runs.run import CALIBRATIONS, open_run
from tiny import write_dataset, write_nifti
from untrained import untrained_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a fit."""
    data = write_dataset(tmp_path / "data", n_train=2, n_val=2)
    run = untrained_run(tmp_path / "run", data).folder
    estimate(run, tmp_path / "first")
    return run


def estimate(run: Path, out: Path) -> str:
    """Estimate the quality of the test case's mask; what it says of the fit."""
    predict(run, run.parent / "data" / "imagesTs", out, Options(device="cpu", quality=True))
    return read_quality(out).calibration["told"]


def fit_of(run: Path) -> dict[str, object]:
    (path,) = (run / CALIBRATIONS).iterdir()
    return json.loads(path.read_text())


def handed_on(run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> tuple[bool, bool, str]:
    """Whether an export and a packed model of the run have a fit; and what the commands said."""
    exported, packed = run.parent / name, run.parent / f"{name}.zip"
    said = "".join(
        text
        for words in (("export", run, exported, "--format", "torch"), ("pack", run, packed))
        for text in call(capsys, *words)[1:]
    )
    quality = json.loads((exported / "model.json").read_text())["quality"]
    return quality is not None, "calibrations" in open_run(packed).record["packed"], " ".join(said.split())


def test_a_corrected_label_leaves_the_fit_out_until_it_is_made_again(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert handed_on(run, "before", capsys)[:2] == (True, True)
    label = run.parent / "data" / "labelsTr" / f"{open_run(run).data['validation'][0]}.nii.gz"
    image = formats.read(label)
    write_nifti(label, np.roll(image.voxels, 3, axis=0), image.affine)
    exported, packed, said = handed_on(run, "old", capsys)
    assert (exported, packed) == (False, False)
    told = "fit of quality is left out: scans or labels of its cases were changed since, or it is"
    assert said.count(told) == 2
    assert "written since an earlier fit" in estimate(run, run.parent / "again")
    assert handed_on(run, "new", capsys)[:2] == (True, True)


def test_copied_files_are_those_of_the_fit(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, kept = run.parent / "data", fit_of(run)
    shutil.copytree(data, run.parent / "copy", copy_function=shutil.copyfile)  # with times of their own
    shutil.rmtree(data)
    (run.parent / "copy").rename(data)
    assert handed_on(run, "copied", capsys)[:2] == (True, True)
    assert estimate(run, run.parent / "second") == "Fitted on 2 validation cases."
    now = fit_of(run)
    assert now.pop("files") != kept.pop("files")
    assert now.pop("reference_files") != kept.pop("reference_files")
    assert now == kept


def test_without_its_data_a_fit_goes_along(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run.parent / "data")
    assert handed_on(run, "alone", capsys)[:2] == (True, True)
