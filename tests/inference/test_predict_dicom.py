"""From DICOM series to masks: as cases of a dataset, as one folder, and as a tree of folders."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from crossmatch import formats
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.fingerprint import read_fresh
from crossmatch.errors import UserError
from crossmatch.inference.predict import Options, predict
from crossmatch.runs.run import Run
from crossmatch.scoring.evaluate import evaluate
from tiny_dicom import edit, write_series
from untrained import untrained_run

SHAPE = (18, 16, 4)


def stored(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2000, SHAPE).astype(np.int16)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of DICOM series with labels in NIfTI, and an unlabelled case."""
    root = tmp_path_factory.mktemp("data") / "series"
    for n in range(3):
        write_series(root / f"imagesTr/case_{n}_0000", stored(n))
    for n in range(2):
        scan = formats.read(root / f"imagesTr/case_{n}_0000")
        formats.write(root / f"labelsTr/case_{n}.nii.gz", scan.voxels > 200, like=scan)
    described = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1}}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return untrained_run(tmp_path_factory.mktemp("runs") / "run", data, "data.labelled=all")


def test_a_series_is_a_case_of_a_dataset(data: Path) -> None:
    found = check(data)
    assert [case.id for case in found.cases] == ["case_0", "case_1", "case_2"]
    assert found.cases[0].shape == SHAPE
    assert found.cases[0].spacing_mm == pytest.approx((0.75, 0.5, 2.5))
    assert [case.label_voxels is None for case in found.cases] == [False, False, True]
    assert len(found.cases[0].files) == 5  # four slices and the label
    assert not found.warnings


def test_a_slice_that_changed_makes_the_fingerprint_stale(tmp_path: Path) -> None:
    root = tmp_path / "data"
    paths = write_series(root / "imagesTr/a_0000", stored(0))
    (root / "dataset.json").write_text(json.dumps({"channel_names": ["CT"], "labels": {"background": 0, "organ": 1}}))
    check(root)
    assert read_fresh(open_dataset(root)) is not None
    edit(paths[2], RescaleSlope=2)
    assert read_fresh(open_dataset(root)) is None


def test_the_mask_of_a_folder_is_nifti_on_the_grid_of_the_series(run: Run, tmp_path: Path) -> None:
    write_series(tmp_path / "anna", stored(7))
    (mask,) = predict(run.folder, tmp_path / "anna", tmp_path / "out")
    assert mask == tmp_path / "out/anna.nii.gz"
    assert formats.same_grid(formats.read(mask), formats.read(tmp_path / "anna"))
    before = mask.stat().st_mtime_ns
    predict(run.folder, tmp_path / "anna", tmp_path / "out")
    assert mask.stat().st_mtime_ns == before


def test_each_series_of_a_tree_is_a_case(run: Run, tmp_path: Path) -> None:
    for place in ("anna/ct", "bert/ct"):
        write_series(tmp_path / "in" / place, stored(7))
    made = predict(run.folder, tmp_path / "in", tmp_path / "out")
    assert [path.name for path in made] == ["anna_ct.nii.gz", "bert_ct.nii.gz"]
    with pytest.raises(UserError, match=r"in/anna/ct is a volume, which png cannot hold"):
        predict(run.folder, tmp_path / "in", tmp_path / "png", Options(format="png"))


def test_a_dicom_segmentation_on_request(run: Run, data: Path, tmp_path: Path) -> None:
    """It has the voxels of the NIfTI mask, is kept by a second call, and is scored like it."""
    pytest.importorskip("highdicom")
    source = data / "imagesTr/case_0_0000"
    (plain,) = predict(run.folder, source, tmp_path / "plain")
    (mask,) = predict(run.folder, source, tmp_path / "out", Options(format="dicom-seg"))
    assert mask.name == "case_0.seg.dcm"
    scan = formats.read(source)
    np.testing.assert_array_equal(formats.read_label(mask, scan).voxels, formats.read(plain).voxels)
    before = mask.stat().st_mtime_ns
    predict(run.folder, source, tmp_path / "out", Options(format="dicom-seg"))
    assert mask.stat().st_mtime_ns == before
    with pytest.raises(UserError, match="add --format dicom-seg, or leave it out"):
        predict(run.folder, source, tmp_path / "coded", Options(codes=["organ=SCT:1:Organ"]))
    (coded,) = predict(
        run.folder, source, tmp_path / "coded", Options(format="dicom-seg", codes=["organ=SCT:91723000:Structure"])
    )
    (segment,) = dcmread(coded).SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "91723000"
    with pytest.raises(UserError, match="holds predictions of another run, checkpoint or setting"):
        predict(run.folder, source, tmp_path / "coded", Options(format="dicom-seg"))
    reference = data / "labelsTr/case_0.nii.gz"
    scores = [evaluate(each, reference, labels={"organ": 1}).rows[0].scores["dice"] for each in (plain, mask)]
    assert scores[0] == scores[1]


def test_a_folder_without_an_image(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/readme.txt").write_text("nothing")
    with pytest.raises(UserError, match=r"in holds no image: put files named CASE_0000\.nii\.gz into it"):
        predict(run.folder, tmp_path / "in", tmp_path / "out")
