"""The scan of every voxel: what it keeps of a case, the faults it names, and what it warns of."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crossmatch.dataset.check import check, load_fingerprint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.fingerprint import fingerprint_path
from crossmatch.errors import UserError
from tiny import AFFINE, write_dataset, write_nifti

IMAGE = "imagesTr/case_001_0000.nii.gz"
LABEL = "labelsTr/case_001.nii.gz"
SHAPE = (16, 14, 4)


def test_what_is_kept_of_a_case(tmp_path):
    root = write_dataset(tmp_path, n_train=2, channels=2, unlabelled=1)
    image = np.zeros(SHAPE, np.int16)
    image[0, 0, :2] = (-50, 950)
    write_nifti(root / IMAGE, image)
    label = np.zeros(SHAPE, np.uint8)
    label[:2, :3, 0], label[5, 5, 1] = 1, 2
    write_nifti(root / LABEL, label)
    done: list[tuple[int, int]] = []
    fingerprint = check(root, lambda *at: done.append(at))
    case, unlabelled = fingerprint.split("train")
    assert (case.id, case.shape, case.spacing_mm, case.dtype) == ("case_001", SHAPE, (1.5, 1.5, 8.0), "int16")
    np.testing.assert_array_equal(case.affine, AFFINE)
    assert case.label_voxels == (16 * 14 * 4 - 7, 6, 1)
    assert unlabelled.label_voxels is None
    first = case.intensity[0]
    assert len(case.intensity) == 2
    assert (first.min, first.max, first.p00_5, first.p99_5) == (-50, 950, 0, 0)
    assert first.mean == pytest.approx(900 / 896)
    assert first.std == pytest.approx(np.sqrt((50**2 + 950**2) / 896 - (900 / 896) ** 2))
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [stamp.path for stamp in unlabelled.files] == [
        "imagesTr/case_002_0000.nii.gz",
        "imagesTr/case_002_0001.nii.gz",
    ]


def _nan(root: Path) -> None:
    image = np.zeros(SHAPE, np.float32)
    image[0, 0, :2] = np.nan, np.inf
    write_nifti(root / IMAGE, image)


def _constant(root: Path) -> None:
    write_nifti(root / IMAGE, np.full(SHAPE, 7, np.int16))


def _truncated(root: Path) -> None:
    (root / IMAGE).write_bytes((root / IMAGE).read_bytes()[:-300])


def _four_axes(root: Path) -> None:
    write_nifti(root / IMAGE, np.zeros((*SHAPE, 3), np.int16))


def _label_shape(root: Path) -> None:
    write_nifti(root / LABEL, np.zeros((14, 16, 4), np.uint8))


def _label_affine(root: Path) -> None:
    moved = AFFINE.copy()
    moved[2, 3] = 8.0  # one slice
    write_nifti(root / LABEL, np.asarray(nib.load(root / LABEL).dataobj), moved)


def _label_value(root: Path) -> None:
    write_nifti(root / LABEL, np.full(SHAPE, 5, np.uint8))


def _label_fraction(root: Path) -> None:
    write_nifti(root / LABEL, np.full(SHAPE, 0.5, np.float32))


def _label_nan(root: Path) -> None:
    write_nifti(root / LABEL, np.full(SHAPE, np.nan, np.float32))


def _list_without_label(root: Path) -> None:
    (root / LABEL).unlink()


def _dangling_link(root: Path) -> None:
    (root / LABEL).unlink()
    (root / LABEL).symlink_to(root / "gone.nii.gz")


def _flat(root: Path) -> None:
    write_nifti(root / IMAGE, np.arange(224, dtype=np.int16).reshape(16, 14))
    write_nifti(root / LABEL, np.ones((16, 14), np.uint8))


FAULTS = [
    (_nan, r"case_001_0000\.nii\.gz has 2 voxels that are NaN or infinite: replace"),
    (_constant, r"case_001_0000\.nii\.gz is constant, every voxel is 7"),
    (_truncated, r"case_001_0000\.nii\.gz cannot be read: .*copy it again"),
    (_four_axes, r"case_001_0000\.nii\.gz has 4 axes"),
    (_label_shape, r"case_001\.nii\.gz lies on another grid .*shape \(14, 16, 4\), not \(16, 14, 4\); resample"),
    (_label_affine, r"case_001\.nii\.gz lies on another grid than its image: affine"),
    (_label_value, r"case_001\.nii\.gz holds the label value 5, but dataset\.json declares 0 background, 1 RV, 2 MYO"),
    (_label_fraction, r"case_001\.nii\.gz holds 0\.5, which is no whole number"),
    (_label_nan, r"case_001\.nii\.gz holds nan, which is no whole number"),
    (_list_without_label, r"train_1_label\.txt names case_001, which has no label file"),
    (_dangling_link, r"case_001\.nii\.gz cannot be reached .*mend the link"),
    (_flat, r"case_001 is 2D and case_002 is 3D"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_is_named_and_nothing_is_written(tmp_path, fault, message):
    root = write_dataset(tmp_path / "data", subsets=(1,))
    fault(root)
    with pytest.raises(UserError, match=message):
        check(root)
    assert not fingerprint_path(root).exists()


def test_faults_of_several_cases_are_told_together(tmp_path):
    root = write_dataset(tmp_path, n_train=4, channels=2)
    _nan(root)
    _label_value(root)
    write_nifti(root / "imagesTr/case_002_0001.nii.gz", np.zeros((3, 3, 3), np.int16))
    write_nifti(root / "labelsTs/case_006.nii.gz", np.full(SHAPE, 9, np.uint8))  # test labels: looked at for validity
    with pytest.raises(UserError) as caught:
        check(root)
    text = str(caught.value)
    for part in ("5 problems", "case_001_0000", "value 5", "case_002_0001", "another grid", "constant", "value 9"):
        assert part in text


def test_a_hair_between_image_and_label_and_whole_floats_are_accepted(tmp_path):
    root = write_dataset(tmp_path, n_train=1)
    moved = AFFINE.copy()
    moved[0, 3] = 1.5 * 9e-4
    label = np.asarray(nib.load(root / LABEL).dataobj).astype(np.float32)
    write_nifti(root / LABEL, label, moved)
    expected = tuple(int((label == value).sum()) for value in range(3))
    assert check(root).cases[0].label_voxels == expected


def test_equal_images_are_warned_about_louder_across_splits(tmp_path):
    root = write_dataset(tmp_path, n_train=3, n_val=1, n_test=1)
    assert check(root).warnings == ()
    same = (root / IMAGE).read_bytes()
    (root / "imagesTr/case_002_0000.nii.gz").write_bytes(same)
    assert check(root).warnings == ("case_001 and case_002 (train) are the same image",)
    (root / "imagesTs/case_005_0000.nii.gz").write_bytes(same)
    (leak,) = check(root).warnings
    assert leak.startswith("LEAK: case_001 (train) and case_002 (train) and case_005 (test) are the same image")


def test_a_label_no_training_case_shows_is_warned_about(tmp_path):
    root = write_dataset(tmp_path, n_train=1, classes=2)
    stated = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(stated | {"labels": {"background": 0, "a": 1, "b": 2, "c": 3}}))
    assert [text.split(":")[0] for text in check(root).warnings] == [
        "no training label shows b (value 2)",
        "no training label shows c (value 3)",
    ]


def test_two_dimensions_and_uncompressed_files(tmp_path):
    fingerprint = check(write_dataset(tmp_path, shape=(20, 18), ending=".nii", unit="unknown", affine=np.eye(4)))
    assert {case.shape for case in fingerprint.cases} == {(20, 18)}
    assert {case.spacing_mm for case in fingerprint.cases} == {None}


@pytest.mark.slow
def test_the_real_dataset(shared):
    """Counts of `../shared/data/README.md`, and the one known pair of equal patients (about 10 s)."""
    root = shared / "data" / "acdc"
    before = {path.name: path.stat().st_mtime_ns for path in root.iterdir()}
    fingerprint = check(root)
    totals = {
        split: np.sum([case.label_voxels for case in fingerprint.split(split)], axis=0) for split in ("val", "test")
    }
    assert totals["val"].tolist() == [10356598, 151002, 152884, 139132]
    assert totals["test"].tolist() == [18426384, 234815, 215411, 227262]
    *equal, lists = fingerprint.warnings
    assert lists.startswith("files in splits/ that are not read: original_slice_lists, patients_1_label.txt")
    assert [text.split(" (")[0] for text in equal] == [
        "patient074_frame01 and patient076_frame01",
        "patient074_frame02 and patient076_frame02",
    ]
    assert load_fingerprint(open_dataset(root)) == fingerprint
    assert {path.name: path.stat().st_mtime_ns for path in root.iterdir()} == before  # it lies in the tests' cache
    assert len(open_dataset(root).cases) == len(fingerprint.cases)
