"""Masks that are square pictures on flat scans of another format: `check` says what it took for their rows."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossmatch import formats
from crossmatch.dataset.check import check
from tiny import write_nifti


def _dataset(root: Path, shape: tuple[int, int], ending: str = ".nii.gz", mask: str = ".png") -> Path:
    """One scan whose mask is a picture; (columns, rows) of both."""
    voxels = np.random.default_rng(0).integers(0, 200, shape).astype(np.int16)
    drawn = np.zeros(shape, np.uint8)
    drawn[2:5, 6:12] = 1
    image = root / f"imagesTr/case_1_0000{ending}"
    if ending == ".nii.gz":
        write_nifti(image, voxels, np.diag([0.5, 0.5, 1, 1]))
    elif ending == ".png":
        image.parent.mkdir(parents=True)
        Image.fromarray(voxels.astype(np.uint8).T).save(image)
    else:
        image.parent.mkdir(parents=True)
        formats.write(image, voxels, like=formats.new_volume(voxels, np.diag([0.5, 0.5, 1, 1])))
    label = root / f"labelsTr/case_1{mask}"
    if mask == ".nii.gz":
        write_nifti(label, drawn, np.diag([0.5, 0.5, 1, 1]))
    else:
        label.parent.mkdir(parents=True)
        Image.fromarray(drawn.T).save(label)
    about = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ending}
    (root / "dataset.json").write_text(json.dumps(about))
    return root


@pytest.mark.parametrize("mask", [".png", ".tif"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_they_are_named_with_what_was_assumed(tmp_path, ending, mask):
    (told,) = (one for one in check(_dataset(tmp_path, (16, 16), ending, mask)).warnings if "square" in one)
    assert "masks of scans of another format: case_1; their columns were taken for the first axis" in told
    assert "save the masks in the format of the scans" in told


@pytest.mark.parametrize(
    ("shape", "ending", "mask"),
    [((16, 14), ".nii.gz", ".png"), ((16, 16), ".png", ".png"), ((16, 16), ".nii.gz", ".nii.gz")],
)
def test_others_are_not(tmp_path, shape, ending, mask):
    """A mask that is not square fits in one way alone; a picture on a picture lies as it does."""
    assert not any("square" in one for one in check(_dataset(tmp_path, shape, ending, mask)).warnings)


def test_slices_of_dicom_have_the_rows_of_pictures(tmp_path):
    (tmp_path / "scan").mkdir()
    assert not formats.may_be_transposed(tmp_path / "mask.png", tmp_path / "scan", (16, 16))
    assert formats.may_be_transposed(tmp_path / "mask.png", tmp_path / "scan.nii", (16, 16))
    assert not formats.may_be_transposed(tmp_path / "mask.png", tmp_path / "scan.nii", (16, 16, 4))
