"""Repeated predictions: masks that are kept, masks that are made again, and places that masks must not go to."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from command import call
from crossmatch.errors import UserError
from crossmatch.inference.predict import predict
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


def test_a_mask_of_a_scan_that_changed_is_made_again(run: Path, tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    drawn = np.random.default_rng(0)
    scan = write_nifti(scans / "anna_0000.nii.gz", drawn.integers(0, 99, (12, 10, 3), dtype=np.int16))
    (mask,) = predict(run, scans, out)
    made = mask.stat().st_mtime_ns
    predict(run, scans, out)
    assert mask.stat().st_mtime_ns == made  # kept
    write_nifti(scan, drawn.integers(0, 99, (12, 10, 3), dtype=np.int16))
    os.utime(scan, ns=(made + 1, made + 1))  # younger than the mask
    predict(run, scans, out)
    assert mask.stat().st_mtime_ns > made


def test_a_mask_on_another_grid_is_made_again(run: Path, tmp_path: Path) -> None:
    """A scan replaced by an older file: its time alone does not tell."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    voxels = np.random.default_rng(0).integers(0, 99, (12, 10, 3), dtype=np.int16)
    scan = write_nifti(scans / "anna_0000.nii.gz", voxels)
    (mask,) = predict(run, scans, out)
    write_nifti(scan, voxels, AFFINE @ np.diag([1, 1, 2, 1]))
    os.utime(scan, ns=(1, 1))
    before = mask.read_bytes()
    predict(run, scans, out)
    assert mask.read_bytes() != before


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
