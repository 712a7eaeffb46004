"""Files that other packages test themselves with: each is read right, or refused in one paragraph."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest

from crossmatch import formats
from crossmatch.errors import UserError

NIFTI = sorted((Path(nib.__file__).parent / "tests/data").glob("*"))
DICOM = sorted((Path(pydicom.__file__).parent / "data/test_files").glob("*.dcm"))
# The package has none of the files that its repository (github.com/mhe/pynrrd) tests it with: say where they lie.
NRRD = Path(os.environ.get("PYNRRD_TEST_DATA", Path(nrrd.__file__).parent / "tests/data"))
FRAMES = "eCT_Supplemental.dcm"


def refused(error: pytest.ExceptionInfo[UserError] | UserError, path: Path) -> None:
    text = str(getattr(error, "value", error))
    assert path.name in text
    assert "\n" not in text


@pytest.mark.parametrize("path", [each for each in NIFTI if formats.stem(each)], ids=lambda path: path.name)
def test_the_files_of_nibabel(path: Path) -> None:
    try:
        volume = formats.read(path)
    except UserError as error:
        refused(error, path)
        with pytest.raises(UserError):
            formats.read_grid(path)
        return
    expected = nib.load(path)
    np.testing.assert_array_equal(volume.voxels, np.asarray(expected.dataobj))
    np.testing.assert_allclose(volume.affine, expected.affine)


def test_nibabel_has_files_of_both_kinds() -> None:
    names = {path.name for path in NIFTI}
    assert {"anatomical.nii", "standard.nii.gz", "functional.nii", "analyze.hdr"} <= names


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's own, of its broken files
def test_the_files_of_pydicom(tmp_path: Path) -> None:
    """X-ray images are read; no other file is a whole series: it is refused with its name or that of its folder."""
    pytest.importorskip("data_store")
    import data_store

    extra = sorted((Path(data_store.__file__).parent / "data").rglob("*.dcm"))
    assert len(DICOM) + len(extra) > 50
    read: list[str] = []
    for n, path in enumerate([*DICOM, *extra]):
        folder = tmp_path / f"series{n}"
        folder.mkdir()
        shutil.copy(path, folder)
        if path.name == FRAMES:
            continue
        data = pydicom.dcmread(path, force=True)
        if data.get("Modality") in ("CR", "DX", "MG", "RG", "XA", "RF") and data.get("SamplesPerPixel") == 1:
            with suppress(UserError):  # below, where it is refused
                (volume,) = formats.read_channels([folder])
                assert volume.shape == formats.read_grid(folder).shape == (data.Columns, data.Rows)
                if data.PhotometricInterpretation == "MONOCHROME2":
                    np.testing.assert_array_equal(volume.voxels, data.pixel_array.T)
                read.append(path.name)
                continue
        with pytest.raises(UserError, match=rf"series{n}") as caught:
            formats.read(folder)
        assert "\n" not in str(caught.value)
    assert len(read) >= 3, read


def test_the_frames_of_an_enhanced_ct_of_pydicom(tmp_path: Path) -> None:
    data_store = pytest.importorskip("data_store")
    (path,) = (Path(data_store.__file__).parent / "data").rglob(FRAMES)
    shutil.copy(path, tmp_path)
    volume, data = formats.read(tmp_path), pydicom.dcmread(path)
    assert volume.shape == (512, 512, 2)
    groups = list(data.PerFrameFunctionalGroupsSequence)
    for frame, group in enumerate(groups):
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float) * (-1, -1, 1)
        k = int(np.rint(np.linalg.solve(volume.affine, (*place, 1))[2]))
        np.testing.assert_allclose(volume.affine @ (0, 0, k, 1), (*place, 1), atol=1e-3)
        scale = group if "PixelValueTransformationSequence" in group else data.SharedFunctionalGroupsSequence[0]
        rescaling = scale.PixelValueTransformationSequence[0]
        expected = data.pixel_array[frame] * float(rescaling.RescaleSlope) + float(rescaling.RescaleIntercept)
        np.testing.assert_array_equal(volume.voxels[:, :, k], expected.T)


@pytest.mark.skipif(not NRRD.is_dir(), reason="pynrrd ships no test files; PYNRRD_TEST_DATA names a folder of them")
def test_the_files_of_pynrrd() -> None:
    paths = [path for path in sorted(NRRD.iterdir()) if path.suffix in (".nrrd", ".nhdr")]
    read = []
    for path in paths:
        try:
            volume = formats.read(path)
        except UserError as error:
            refused(error, path)
            continue
        plain = NRRD / "BallBinary30x30x30.nrrd" if path.name.startswith("Ball") else path  # all show one ball
        stored, _ = nrrd.read(str(plain))
        np.testing.assert_array_equal(volume.voxels, stored)
        assert volume.shape == formats.read_grid(path).shape == stored.shape
        read.append(path.name)
    assert "BallBinary30x30x30.nrrd" in read
    assert "BallBinary30x30x30_nifti.nhdr" not in read  # its voxels begin after the header of a NIfTI file
