"""NIfTI files: geometry survives, voxel types are kept, broken files are named."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crossmatch.errors import UserError
from crossmatch.formats.nifti import Grid, new_volume, read_grid, read_volume, same_grid, write_volume
from tiny import AFFINE, write_nifti

OBLIQUE = np.array([[0.0, -1.2, 0.3, 10.0], [1.5, 0.0, 0.0, -20.5], [0.0, 0.4, 6.0, 3.25], [0.0, 0.0, 0.0, 1.0]])


def _image(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE, unit: str = "mm", codes=(1, 2)) -> Path:
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units(unit, "sec")
    image.set_qform(affine, code=codes[0])
    image.set_sform(affine, code=codes[1])
    nib.save(image, path)
    return path


def test_integers_stay_as_stored(tmp_path):
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = read_volume(write_nifti(tmp_path / "a.nii.gz", voxels))
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert volume.spacing_mm == (1.5, 1.5, 8.0)


def test_scaled_integers_become_float32(tmp_path):
    image = nib.Nifti1Image(np.array([[[0, 1, 2]]], dtype=np.int16), np.eye(4))
    path = tmp_path / "a.nii"
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([2.0, -1.0], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(raw)
    volume = read_volume(path)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels, [[[-1, 1, 3]]])


def test_doubles_become_float32_and_big_endian_native(tmp_path):
    assert read_volume(write_nifti(tmp_path / "a.nii.gz", np.ones((2, 2)))).voxels.dtype == np.float32
    big = nib.Nifti1Image(np.array([[1, 300]], dtype=np.int16), np.eye(4), nib.Nifti1Header(endianness=">"))
    nib.save(big, tmp_path / "b.nii")
    volume = read_volume(tmp_path / "b.nii")
    assert volume.voxels.dtype.isnative
    np.testing.assert_array_equal(volume.voxels, [[1, 300]])


@pytest.mark.parametrize(
    ("zooms", "unit", "expected"),
    [
        ((1, 1, 1), "unknown", None),
        ((1, 1, 1), "mm", (1.0, 1.0, 1.0)),
        ((2, 2, 5), "unknown", (2.0, 2.0, 5.0)),
        ((0.25, 0.25, 0.5), "meter", (250.0, 250.0, 500.0)),
        ((500, 500, 2000), "micron", (0.5, 0.5, 2.0)),
    ],
)
def test_spacing_is_in_millimetres_or_unknown(tmp_path, zooms, unit, expected):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((2, 3, 4), np.uint8), np.diag([*zooms, 1.0]), unit)
    volume, grid = read_volume(path), read_grid(path)
    assert grid.spacing_mm == volume.spacing_mm
    assert volume.spacing_mm == (None if expected is None else pytest.approx(expected))


def test_two_dimensions_have_two_spacings(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((2, 3), np.uint8), np.diag([0.7, 0.8, 1, 1]))
    assert read_volume(path).spacing_mm == pytest.approx((0.7, 0.8))
    assert read_grid(path).shape == (2, 3)


def test_a_written_mask_has_the_geometry_of_its_image(tmp_path):
    path = _image(tmp_path / "a b é.nii.gz", np.arange(24, dtype=np.float32).reshape(2, 3, 4), OBLIQUE, "mm", (1, 4))
    image = read_volume(path)
    write_volume(tmp_path / "new" / "mask.nii.gz", image.voxels > 11, like=image)
    original, mask = nib.load(path), nib.load(tmp_path / "new" / "mask.nii.gz")
    assert mask.get_data_dtype() == np.uint8
    assert (mask.dataobj.slope, mask.dataobj.inter) == (1, 0)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), image.voxels > 11)
    np.testing.assert_array_equal(mask.affine, original.affine)
    for key in ("qform_code", "sform_code", "xyzt_units", "pixdim", "quatern_b", "qoffset_x", "srow_x", "dim"):
        np.testing.assert_array_equal(mask.header[key], original.header[key], err_msg=key)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["mask.nii.gz"]


def test_probabilities_are_written_with_a_last_axis_of_classes(tmp_path):
    image = read_volume(_image(tmp_path / "a.nii.gz", np.zeros((2, 3, 4), np.int16)))
    write_volume(tmp_path / "p.nii.gz", np.full((2, 3, 4, 5), 0.2, np.float16), like=image)
    written = nib.load(tmp_path / "p.nii.gz")
    assert written.shape == (2, 3, 4, 5)
    assert written.get_data_dtype() == np.float32
    with pytest.raises(ValueError, match="do not lie on the grid"):
        write_volume(tmp_path / "q.nii.gz", np.zeros((2, 3, 5)), like=image)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    image = read_volume(_image(tmp_path / "a.nii.gz", np.ones((2, 3, 4), np.int16)))
    before = (tmp_path / "a.nii.gz").read_bytes()

    def broken(_, path):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("crossmatch.formats.nifti.nib.save", broken)
    with pytest.raises(UserError, match=r"cannot be written .disk full"):
        write_volume(tmp_path / "a.nii.gz", image.voxels * 2, like=image)
    assert (tmp_path / "a.nii.gz").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_volume_made_here_knows_its_spacing_only_with_an_affine(tmp_path):
    assert new_volume(np.zeros((2, 3, 4), np.int64)).spacing_mm is None
    volume = new_volume(np.zeros((2, 3, 4), np.int16), np.diag([2.0, 2.0, 9.0, 1.0]))
    write_volume(tmp_path / "a.nii.gz", volume.voxels, like=volume)
    assert read_grid(tmp_path / "a.nii.gz").spacing_mm == (2.0, 2.0, 9.0)
    unknown = new_volume(np.zeros((1, 1, 1), np.int16))  # identity in millimetres is another thing than unknown
    write_volume(tmp_path / "b.nii.gz", unknown.voxels, like=unknown)
    assert read_grid(tmp_path / "b.nii.gz").spacing_mm is None


def test_a_fourth_axis_of_length_one_is_dropped_and_longer_ones_refused(tmp_path):
    assert read_volume(write_nifti(tmp_path / "a.nii.gz", np.zeros((2, 3, 4, 1), np.uint8))).shape == (2, 3, 4)
    path = write_nifti(tmp_path / "time.nii.gz", np.zeros((2, 3, 4, 5), np.uint8))
    for read in (read_volume, read_grid):
        with pytest.raises(UserError, match=r"time\.nii\.gz has 4 axes .* split a time series"):
            read(path)


def test_broken_files_are_named(tmp_path):
    good = write_nifti(tmp_path / "good.nii.gz", np.random.default_rng(0).integers(0, 255, (20, 20, 20), np.uint8))
    (tmp_path / "cut.nii.gz").write_bytes(good.read_bytes()[:3000])
    (tmp_path / "stub.nii.gz").write_bytes(good.read_bytes()[:20])
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    (tmp_path / "text.nii").write_text("not an image" * 100)
    (tmp_path / "folder.nii.gz").mkdir()
    raw = tmp_path / "raw.nii"
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.int16), np.eye(4)), raw)
    raw.write_bytes(raw.read_bytes()[:900])
    for name in ("cut.nii.gz", "stub.nii.gz", "empty.nii.gz", "text.nii", "raw.nii"):
        with pytest.raises(UserError, match=rf"{name} cannot be read: .*copy it again"):
            read_volume(tmp_path / name)
    with pytest.raises(UserError, match="is a folder"):
        read_volume(tmp_path / "folder.nii.gz")
    with pytest.raises(UserError, match=r"gone\.nii\.gz does not exist"):
        read_volume(tmp_path / "gone.nii.gz")
    with pytest.raises(UserError, match=r"ends in \.nii\.gz or \.nii"):
        read_volume(tmp_path / "picture.png")


def test_colours_are_refused(tmp_path):
    colours = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(UserError, match="colours or complex"):
        read_volume(write_nifti(tmp_path / "rgb.nii.gz", colours))


def test_same_grid_allows_a_hair_at_the_farthest_corner():
    def grid(affine: np.ndarray, shape: tuple[int, ...] = (200, 100, 10)) -> Grid:
        return Grid(shape, affine, None, "uint8")

    base = np.diag([2.0, 2.0, 5.0, 1.0])
    shifted, stretched, turned = base.copy(), base.copy(), base.copy()
    shifted[0, 3] = 0.0019  # 0.00095 voxel
    assert same_grid(grid(base), grid(shifted))
    shifted[0, 3] = 0.0021
    assert not same_grid(grid(base), grid(shifted))
    stretched[0, 0] = 2.0 * (1 + 4e-6)  # 199.5 voxels from the origin: 0.0008
    assert same_grid(grid(base), grid(stretched))
    stretched[0, 0] = 2.0 * (1 + 6e-6)  # 0.0012
    assert not same_grid(grid(base), grid(stretched))
    turned[0, 0] = -2.0
    assert not same_grid(grid(base), grid(turned))
    assert not same_grid(grid(base), grid(base, (100, 200, 10)))
    assert same_grid(grid(base, (8, 8)), grid(base, (8, 8)))
