"""Pancreas-CT labels on their scans: true headers are followed, impossible ones passed over, doubtful ones refused."""

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crossmatch.errors import UserError
from crossmatch.formats import Volume, new_volume
from crossmatch.importers.pancreas_raw import BY_INDEX, TURNED, place_label

SHAPE = (6, 5, 4)
SCAN = np.array([[-0.75, 0, 0, 100], [0, -0.5, 0, 90], [0, 0, 2.5, 30], [0, 0, 0, 1]])  # as DICOM axial scans lie
LABEL = (np.random.default_rng(5).random(SHAPE) < 0.4).astype(np.uint8)
PATH = Path("label0001.nii.gz")
RISING, FALLING = [1, 2, 3, 4], [9, 7, 6, 2]


def _place(label: Volume, numbers: list[int | None] | None = None) -> tuple[np.ndarray, str]:
    return place_label(new_volume(np.zeros(SHAPE, np.int16), SCAN), numbers or list(RISING), label, PATH)


def _moved(by: tuple[float, float, float], affine: np.ndarray = SCAN) -> np.ndarray:
    """An affine whose grid is moved by so many voxels."""
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ by
    return moved


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_every_turned_copy_with_a_true_header_comes_back(order):
    """All 48 ways to store the same voxels, each with the header that is true for it, made by nibabel."""
    for signs in product((1, -1), repeat=3):
        turn = np.array(list(zip(order, signs, strict=True)))
        stored = nib.Nifti1Image(LABEL, SCAN).as_reoriented(turn)
        found, remark = _place(new_volume(np.asarray(stored.dataobj), stored.affine))
        np.testing.assert_array_equal(found, LABEL)
        assert remark == ("" if order == (0, 1, 2) and signs == (1, 1, 1) else TURNED)


def test_a_header_that_is_off_by_a_hair_counts_as_true():
    found, remark = _place(new_volume(LABEL, _moved((1e-5, -1e-5, 1e-5))))
    np.testing.assert_array_equal(found, LABEL)
    assert remark == ""


def _flipped_y(affine: np.ndarray) -> np.ndarray:
    return affine @ nib.orientations.inv_ornt_aff([[0, 1], [1, -1], [2, 1]], SHAPE)


IMPOSSIBLE = {
    "no spacing": None,
    "1 mm": _moved((3, 2, 1), np.diag([1.0, 1, 1, 1])),
    "origin never set": np.diag([0.75, 0.5, 2.5, 1]),
    "DICOM's axes": np.diag([-1.0, -1, 1, 1]) @ SCAN,
    "elsewhere": _moved((0, 0, 50)),
}


@pytest.mark.parametrize("affine", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_header_that_cannot_be_meant_is_passed_over(affine):
    """Columns and rows as they are; slices by instance number, which may fall along the scan."""
    label = new_volume(LABEL, affine)
    found, remark = _place(label)
    np.testing.assert_array_equal(found, LABEL)
    assert remark == BY_INDEX
    found, remark = _place(label, list(FALLING))
    np.testing.assert_array_equal(found, LABEL[:, :, ::-1])
    assert remark == BY_INDEX
    for numbers in ([1, 2, None, 4], [1, 3, 2, 4], [1, 1, 2, 3]):
        with pytest.raises(UserError, match="InstanceNumber of the scan's slices neither rises nor falls"):
            _place(label, numbers)


DOUBTFUL = {
    "one voxel in x": (_moved((1, 0, 0)), r"is shifted by \[1\.0, 0\.0, 0\.0\] voxels \(x, y, z\) against its scan"),
    "two in z": (_moved((0, 0, -2)), r"is shifted by \[0\.0, 0\.0, -2\.0\] voxels"),
    "half a voxel": (_moved((0, 0.5, 0)), r"is shifted by \[0\.0, 0\.5, 0\.0\] voxels"),
    "flipped and one voxel": (_flipped_y(_moved((0, 1, 0))), r"is shifted by \[0\.0, 1\.0, 0\.0\] voxels"),
    "other spacing": (SCAN @ np.diag([1.1, 1, 1, 1]), r"has voxels of \(0\.82.*, 0\.5, 2\.5\) mm in directions"),
}


@pytest.mark.parametrize(("affine", "message"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_a_header_that_may_be_meant_but_misses_is_refused(affine, message):
    with pytest.raises(UserError, match=rf"label0001\.nii\.gz {message}"):
        _place(new_volume(LABEL, affine))


@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 5)])
def test_another_shape_is_refused(shape):
    with pytest.raises(UserError, match=r"its scan \(6, 5, 4\) \(columns, rows, slices\): it belongs to another scan"):
        _place(new_volume(np.zeros(shape, np.uint8), SCAN))


def test_turned_axes_without_a_header_that_fits_are_refused():
    with pytest.raises(UserError, match=r"has shape \(5, 6, 4\), its scan \(6, 5, 4\)"):
        _place(new_volume(LABEL.transpose(1, 0, 2), None))
