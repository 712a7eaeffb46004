"""NIfTI: units, scaling, the header that a mask copies. What every format does: test_formats.py."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crossmatch import formats
from crossmatch.errors import UserError
from tiny import AFFINE, write_nifti

OBLIQUE = np.array([[0.0, -1.2, 0.3, 10.0], [1.5, 0.0, 0.0, -20.5], [0.0, 0.4, 6.0, 3.25], [0.0, 0.0, 0.0, 1.0]])


def _image(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE, unit: str = "mm", codes=(1, 2)) -> Path:
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units(unit, "sec")
    image.set_qform(affine, code=codes[0])
    image.set_sform(affine, code=codes[1])
    nib.save(image, path)
    return path


def test_scaled_integers_become_float32(tmp_path):
    image = nib.Nifti1Image(np.array([[[0, 1, 2]]], dtype=np.int16), np.eye(4))
    path = tmp_path / "a.nii"
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([2.0, -1.0], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(raw)
    volume = formats.read(path)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels, [[[-1, 1, 3]]])


def test_big_endian_becomes_native(tmp_path):
    big = nib.Nifti1Image(np.array([[1, 300]], dtype=np.int16), np.eye(4), nib.Nifti1Header(endianness=">"))
    nib.save(big, tmp_path / "b.nii")
    volume = formats.read(tmp_path / "b.nii")
    assert volume.voxels.dtype.isnative
    np.testing.assert_array_equal(volume.voxels, [[1, 300]])


@pytest.mark.parametrize(
    ("zooms", "unit", "expected"),
    [
        ((1, 1, 1), "unknown", None),
        ((1, 1, 1), "mm", (1.0, 1.0, 1.0)),
        ((2, 2, 5), "unknown", (2.0, 2.0, 5.0)),
        ((0.0025, 0.0025, 0.005), "meter", (2.5, 2.5, 5.0)),
        ((500, 500, 2000), "micron", (0.5, 0.5, 2.0)),
    ],
)
def test_spacing_is_in_millimetres_or_unknown(tmp_path, zooms, unit, expected):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((2, 3, 4), np.uint8), np.diag([*zooms, 1.0]), unit)
    volume, grid = formats.read(path), formats.read_grid(path)
    assert grid.spacing_mm == volume.spacing_mm
    assert volume.spacing_mm == (None if expected is None else pytest.approx(expected))
    if expected is not None:
        np.testing.assert_allclose(volume.affine.diagonal()[:3], expected)
    formats.write(tmp_path / "mask.nii.gz", volume.voxels, like=volume)
    np.testing.assert_allclose(formats.read_grid(tmp_path / "mask.nii.gz").affine, volume.affine)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_written_mask_has_the_header_of_its_image(tmp_path, kind):
    path = _image(tmp_path / "a b é.nii.gz", np.arange(24, dtype=np.float32).reshape(2, 3, 4), OBLIQUE, "mm", (1, 4))
    if kind is nib.Nifti2Image:
        nib.save(nib.Nifti2Image.from_image(nib.load(path)), path)
    image = formats.read(path)
    formats.write(tmp_path / "mask.nii.gz", image.voxels > 11, like=image)
    original, mask = nib.load(path), nib.load(tmp_path / "mask.nii.gz")
    assert type(mask) is kind
    assert (mask.dataobj.slope, mask.dataobj.inter) == (1, 0)
    np.testing.assert_array_equal(mask.affine, original.affine)
    for key in ("qform_code", "sform_code", "xyzt_units", "pixdim", "quatern_b", "qoffset_x", "srow_x", "dim"):
        np.testing.assert_array_equal(mask.header[key], original.header[key], err_msg=key)


def test_a_volume_of_another_format_has_both_forms_and_millimetres(tmp_path):
    """Not every program reads the sform; an unknown spacing is written without a unit."""
    volume = formats.new_volume(np.zeros((2, 3, 4), np.int16), np.diag([-2.0, -2.0, 9.0, 1.0]))
    formats.write(tmp_path / "a.nii.gz", volume.voxels, like=volume)
    image = nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(image.get_qform(), volume.affine)
    np.testing.assert_array_equal(image.get_sform(), volume.affine)
    assert (image.header.get_xyzt_units()[0], int(image.header["qform_code"])) == ("mm", 1)
    unknown = formats.new_volume(np.zeros((1, 1, 1), np.int16))
    formats.write(tmp_path / "b.nii.gz", unknown.voxels, like=unknown)
    assert nib.load(tmp_path / "b.nii.gz").header.get_xyzt_units()[0] == "unknown"


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((2, 3, 4, 1), np.uint8))
    assert formats.read(path).shape == formats.read_grid(path).shape == (2, 3, 4)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_an_ending_in_any_case_of_letters(tmp_path, kind, ending):
    """nibabel knows capitals alone and small letters alone."""
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    nib.save(kind(voxels, np.diag([1.5, 2, 3, 1])), tmp_path / f"a{ending}")
    for spelled in (ending.title(), ending.upper(), ending.replace("ii", "II")):
        path = tmp_path / f"b{spelled}"
        path.write_bytes((tmp_path / f"a{ending}").read_bytes())
        np.testing.assert_array_equal(formats.read(path).voxels, voxels)
        assert formats.read_grid(path).spacing_mm == (1.5, 2, 3)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=path.name):
        formats.read(path)


def test_colours_are_refused(tmp_path):
    colours = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(UserError, match="colours or complex"):
        formats.read(write_nifti(tmp_path / "rgb.nii.gz", colours))


def test_an_affine_that_places_voxels_nowhere_is_refused(tmp_path):
    path = tmp_path / "a.nii"
    _image(path, np.zeros((2, 2, 2), np.uint8))
    raw = bytearray(path.read_bytes())
    raw[280:296] = np.array([np.nan] * 4, "<f4").tobytes()  # srow_x
    path.write_bytes(raw)
    for read in (formats.read, formats.read_grid):
        with pytest.raises(UserError, match=r"a\.nii has an affine that places voxels nowhere"):
            read(path)
