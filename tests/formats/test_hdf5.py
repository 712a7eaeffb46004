"""HDF5 pairs: types that are taken, and everything else refused with the file's name."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from crossmatch.errors import UserError
from crossmatch.formats.hdf5 import read_pair

IMAGE = np.arange(24).reshape(4, 3, 2)
LABEL = IMAGE % 2


def _write(path: Path, image: object, label: object) -> Path:
    """None becomes a group."""
    with h5py.File(path, "w") as file:
        for key, value in (("image", image), ("label", label)):
            if value is None:
                file.create_group(key)
            else:
                file[key] = value
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float16, np.float64, ">f4"])
@pytest.mark.parametrize("label_kind", [np.uint8, np.float32, bool])
def test_numbers_of_any_type(tmp_path, kind, label_kind):
    image, label = read_pair(_write(tmp_path / "a.h5", IMAGE.astype(kind), LABEL.astype(label_kind)), 3, 2)
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(label, LABEL)
    assert (image.dtype, label.dtype) == (np.dtype(kind), np.uint8)


def _with(value: float, at: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    image = IMAGE.astype(np.float32)
    image[at] = value
    return image


FAULTS = {
    "image group": (None, LABEL, r"holds no array under 'image', numbers are needed"),
    "label group": (IMAGE, None, r"holds no array under 'label', numbers are needed"),
    "image strings": (IMAGE.astype("S"), LABEL, r"holds values of type \|S21 under 'image', numbers are needed"),
    "label strings": (IMAGE, LABEL.astype("S"), r"holds values of type \|S21 under 'label', numbers are needed"),
    "one string": ("a scan", LABEL, r"holds values of type object under 'image'"),
    "complex": (IMAGE + 1j, LABEL, r"holds values of type complex128 under 'image'"),
    "empty": (h5py.Empty("f4"), LABEL, r"has an image of shape \(\) and a label"),
    "no voxels": (IMAGE[:0], LABEL[:0], r"has an image of shape \(0, 3, 2\) and a label of shape \(0, 3, 2\)"),
    "nan": (_with(np.nan), LABEL, r"has 1 voxels in 'image' that are NaN or infinite"),
    "infinite": (_with(-np.inf), LABEL, r"has 1 voxels in 'image' that are NaN or infinite"),
    "label nan": (IMAGE, _with(np.nan), r"holds values in 'label' that are no labels \(0 to 1\)"),
}


@pytest.mark.parametrize(("image", "label", "message"), FAULTS.values(), ids=FAULTS)
def test_what_is_refused(tmp_path, image, label, message):
    with pytest.raises(UserError, match=rf"a\.h5 {message}.*copy"):
        read_pair(_write(tmp_path / "a.h5", image, label), 3, 2)
