"""LA: what is missing, damaged or in the way is named, and nothing is half written."""

from pathlib import Path

import h5py
import nrrd
import numpy as np
import pytest

from crossmatch.errors import UserError
from crossmatch.importers.la import import_la
from la_files import FIRST, LPS, SHAPE, write_challenge, write_community, write_label


def _no_label(folder: Path) -> None:
    (folder / "laendo.nrrd").unlink()


def _no_image(folder: Path) -> None:
    (folder / "lgemri.nrrd").unlink()


def _moved(folder: Path) -> None:
    write_label(folder, space_origin=[-40.0 + 0.625, -50.0, 60.0])


def _ones(folder: Path) -> None:
    write_label(folder, value=1)


def _constant(folder: Path) -> None:
    nrrd.write(str(folder / "lgemri.nrrd"), np.full(SHAPE, 9, np.uint8), LPS)


def _hdf5(folder: Path, **arrays: np.ndarray) -> None:
    with h5py.File(folder / "mri_norm2.h5", "w") as file:
        for key, array in arrays.items():
            file[key] = array


def _label_missing(folder: Path) -> None:
    _hdf5(folder, image=np.zeros((4, 4, 4)))


def _other_shape(folder: Path) -> None:
    _hdf5(folder, image=np.zeros((4, 4, 4)), label=np.zeros((4, 4, 5)))


def _not_a_number(folder: Path) -> None:
    _hdf5(folder, image=np.full((4, 4, 4), np.nan), label=np.ones((4, 4, 4)))


def _value_two(folder: Path) -> None:
    _hdf5(folder, image=np.zeros((4, 4, 4)), label=np.full((4, 4, 4), 2))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_no_label, r"laendo\.nrrd does not exist"),
        (_no_image, r"lgemri\.nrrd does not exist"),
        (_moved, r": laendo\.nrrd \(160, 170, 3\) lies on another grid than lgemri\.nrrd"),
        (_ones, r"laendo\.nrrd has no voxel of value 255"),
        (_constant, r"lgemri\.nrrd has one grey value"),
        (_label_missing, r"mri_norm2\.h5 is no HDF5 file with 'image' and 'label'"),
        (_other_shape, r"mri_norm2\.h5 has an image of shape \(4, 4, 4\) and a label of shape \(4, 4, 5\)"),
        (_not_a_number, r"mri_norm2\.h5 has 64 voxels in 'image' that are NaN or infinite"),
        (_value_two, r"mri_norm2\.h5 holds values in 'label' that are no labels"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_names_the_scan_and_leaves_no_half_dataset(tmp_path, fault, message):
    write_challenge(tmp_path / "src" / FIRST, seed=1)
    fault(tmp_path / "src" / FIRST)
    with pytest.raises(UserError, match=rf"{FIRST}/?{message}"):
        import_la(tmp_path / "src", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_one_scan_in_two_folders_is_refused(tmp_path):
    for folder in ("a", "b"):
        write_community(tmp_path / "src" / folder / FIRST, seed=1)
    with pytest.raises(UserError, match=rf"holds {FIRST} twice, in .*/a/{FIRST} and .*/b/{FIRST}"):
        import_la(tmp_path / "src", tmp_path / "out")
