"""Repeated predictions: masks that are kept, masks that are made again, and places that masks must not go to."""

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from command import call
from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.inference.predict import Options, predict
from crossmatch.runs.checkpoint import load_checkpoint, save_checkpoint
from crossmatch.training.fit import fit
from refusal import refuse
from tiny import AFFINE, write_dataset, write_nifti
from train_tiny import Quiet
from untrained import small_recipe, untrained_run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    return untrained_run(tmp_path / "run", data).folder


def write_scan(path: Path, seed: int, affine: np.ndarray = AFFINE, *, age: int = 1) -> Path:
    """A scan of noise, older than any mask."""
    voxels = np.random.default_rng(seed).integers(0, 99, (12, 10, 3), dtype=np.int16)
    write_nifti(path, voxels, affine)
    os.utime(path, ns=(age, age))
    return path


def correct(mask: Path) -> bytes:
    """Change a mask by hand: what is kept is told from what is made again."""
    here = formats.read(mask)
    formats.write(mask, np.full(here.shape, 2, np.uint8), like=here)
    return mask.read_bytes()


def predicted(run: Path, scans: Path, out: Path) -> tuple[bytes, list[str]]:
    """The one mask of a folder of scans, and what was told."""
    told: list[str] = []
    (mask,) = predict(run, scans, out, warn=told.append)
    return mask.read_bytes(), told


def test_the_mask_of_another_patient_with_the_same_file_name_is_made_again(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for seed in (1, 2):
        write_scan(tmp_path / f"patient_{seed}" / "img.nii.gz", seed)
    alone, _ = predicted(run, tmp_path / "patient_2", tmp_path / "alone")
    _, told = predicted(run, tmp_path / "patient_1", out)
    assert told == []
    assert correct(out / "img.nii.gz") != alone
    second, told = predicted(run, tmp_path / "patient_2", out)
    assert second == alone
    assert len(told) == 1
    assert "predicted again, because their masks" in told[0]
    assert told[0].endswith("img")
    assert predicted(run, tmp_path / "patient_2", out) == (alone, [])


def test_a_mask_of_the_same_scan_is_kept(run: Path, tmp_path: Path) -> None:
    """Whatever time or folder the scan has: its content is what counts."""
    out = tmp_path / "out"
    scan = write_scan(tmp_path / "scans" / "anna_0000.nii.gz", 1)
    predicted(run, scan.parent, out)
    corrected = correct(out / "anna.nii.gz")
    os.utime(scan, ns=(2, 2))
    assert predicted(run, scan.parent, out)[0] == corrected
    scan.parent.rename(tmp_path / "moved")
    assert predicted(run, tmp_path / "moved", out)[0] == corrected


def test_a_mask_changed_by_hand_is_kept_and_named_until_it_is_removed(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for seed, name in enumerate(("anna", "bert")):
        write_scan(tmp_path / "scans" / f"{name}_0000.nii.gz", seed)
    predict(run, tmp_path / "scans", out)
    mask = out / "anna.nii.gz"
    original = mask.read_bytes()
    corrected, told = correct(mask), []
    predict(run, tmp_path / "scans", out, warn=told.append)
    (text,) = told
    assert "kept" in text
    assert "anna. " in text
    assert "Remove them to have them predicted again" in text
    assert mask.read_bytes() == corrected
    mask.unlink()
    predict(run, tmp_path / "scans", out, warn=told.append)
    assert mask.read_bytes() == original
    os.utime(mask, ns=(2, 2))  # as after a copy
    predict(run, tmp_path / "scans", out, warn=told.append)
    assert len(told) == 1


def test_a_corrected_mask_outlives_a_call_that_asks_for_maps(run: Path, tmp_path: Path) -> None:
    """It was removed, as if it were of another scan."""
    out, told = tmp_path / "out", []
    scan = write_scan(tmp_path / "scans" / "anna_0000.nii.gz", 1)
    original, _ = predicted(run, scan.parent, out)
    corrected = correct(out / "anna.nii.gz")
    predict(run, scan.parent, out, Options(probabilities=True), warn=told.append)
    assert (out / "anna.nii.gz").read_bytes() == corrected
    assert ["kept" in text for text in told] == [True]
    (out / "anna.nii.gz").write_bytes(original)
    predict(run, scan.parent, out, Options(probabilities=True), warn=told.append)
    assert len(told) == 1
    assert (out / "probabilities" / "anna.nii.gz").is_file()


def test_masks_of_earlier_versions_stay_usable(run: Path, tmp_path: Path) -> None:
    """Their prediction.json has no digests of masks, so that nobody knows whether they were changed."""
    out = tmp_path / "out"
    scan = write_scan(tmp_path / "scans" / "anna_0000.nii.gz", 1)
    predicted(run, scan.parent, out)
    record = json.loads((out / "prediction.json").read_text())
    assert record.pop("masks")["anna"]["sha256"] == sha256((out / "anna.nii.gz").read_bytes()).hexdigest()
    (out / "prediction.json").write_text(json.dumps(record))
    corrected = correct(out / "anna.nii.gz")
    assert predicted(run, scan.parent, out) == (corrected, [])


@pytest.mark.parametrize("affine", [AFFINE, AFFINE @ np.diag([1, 1, 2, 1])])
def test_a_scan_replaced_by_an_older_file_is_predicted_again(run: Path, tmp_path: Path, affine: np.ndarray) -> None:
    out = tmp_path / "out"
    scan = write_scan(tmp_path / "scans" / "anna_0000.nii.gz", 1, age=10**9)
    predicted(run, scan.parent, out)
    before = correct(out / "anna.nii.gz")
    write_scan(scan, 2, affine)
    after, told = predicted(run, scan.parent, out)
    assert after != before
    assert len(told) == 1


def test_masks_are_of_the_scan_recorded_wherever_a_prediction_stops(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the new mask: the old one must not lie beside the new scan's record, nor count as its mask."""
    out = tmp_path / "out"
    scan = write_scan(tmp_path / "scans" / "anna_0000.nii.gz", 1)
    predicted(run, scan.parent, out)
    write_scan(scan, 2)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossmatch.inference.predict.segment", killed)
    with pytest.raises(KeyboardInterrupt):
        predict(run, scan.parent, out)
    monkeypatch.undo()
    assert not (out / "anna.nii.gz").exists()
    mask, told = predicted(run, scan.parent, out)
    assert told == []
    assert mask == predicted(run, scan.parent, tmp_path / "alone")[0]


def test_masks_of_unknown_scans_are_made_again(run: Path, tmp_path: Path) -> None:
    """prediction.json of earlier versions names no scans."""
    out = tmp_path / "out"
    scan = write_scan(tmp_path / "scans" / "anna_0000.nii.gz", 1)
    mask, _ = predicted(run, scan.parent, out)
    record = json.loads((out / "prediction.json").read_text())
    assert [file["sha256"] for file in record["scans"].pop("anna")] == [sha256(scan.read_bytes()).hexdigest()]
    (out / "prediction.json").write_text(json.dumps(record))
    again, told = predicted(run, scan.parent, out)
    assert again == mask
    assert len(told) == 1


def test_masks_of_other_weights_in_a_file_of_the_same_name_are_refused(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scan = write_scan(tmp_path / "scans" / "anna_0000.nii.gz", 1)
    predicted(run, scan.parent, out)
    path = run / "checkpoints" / "last.safetensors"
    checkpoint = load_checkpoint(path)
    checkpoint.network[next(iter(checkpoint.network))].add_(1)
    save_checkpoint(path, checkpoint)
    with pytest.raises(UserError, match="another run, checkpoint or setting"):
        predict(run, scan.parent, out)


def test_a_mask_that_a_killed_call_did_not_record_is_recorded_by_the_next_one(run: Path, tmp_path: Path) -> None:
    """Then a later change by hand is seen."""
    out = tmp_path / "out"
    scan = write_scan(tmp_path / "scans" / "anna_0000.nii.gz", 1)
    predicted(run, scan.parent, out)
    whole = json.loads((out / "prediction.json").read_text())
    (out / "prediction.json").write_text(json.dumps({**whole, "masks": {}}))
    _, told = predicted(run, scan.parent, out)
    assert told == []
    assert json.loads((out / "prediction.json").read_text()) == whole


@pytest.mark.parametrize("place", ["imagesTr", "imagesTs"])
def test_masks_do_not_go_among_images(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    told = refuse(capsys, tmp_path, "predict", run, data / "imagesTs", data / place)
    assert "holds the images themselves" in told
    other = tmp_path / "plain"
    shutil.copytree(data / "imagesTs", other)
    assert "holds the images themselves" in refuse(capsys, tmp_path, "predict", run, other, other)
    assert call(capsys, "predict", run, other, other / "masks")[0] == 0


def test_a_recipe_for_one_dataset_refuses_another(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'for the dataset Pancreas-CT A, and .* is tiny .*--set data\.dataset=""'):
        fit(small_recipe("data.dataset=Pancreas-CT A"), data, tmp_path / "new", Quiet())
    assert not (tmp_path / "new").exists()
    fit(small_recipe("data.dataset=tiny", "train.steps=1", "train.batch.labelled=2"), data, tmp_path / "new", Quiet())
