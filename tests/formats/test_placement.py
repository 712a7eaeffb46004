"""Headers that contradict themselves, or hold what cannot be right: what each format takes, leaves out or refuses."""

import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import new_volume

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
SHEARED = np.array([[1.0, 0, 3, 0], [0, 1, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])


def nifti(path: Path, affine: np.ndarray, zooms: tuple[float, ...] | None = None, *fields: tuple[object, ...]) -> Path:
    """A file whose zooms and further fields, given as (struct code, byte, *values), are not those of its affine."""
    image = nib.Nifti1Image(VOXELS, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    for code, place, *values in [*fields, *([("<3f", 80, *zooms)] if zooms else [])]:
        struct.pack_into(str(code), content, int(str(place)), *values)
    path.write_bytes(bytes(content))
    return path


def read(path: Path) -> formats.Volume:
    """The volume; its header read alone must say the same."""
    volume, grid = formats.read(path), formats.read_grid(path)
    assert (grid.spacing_mm, grid.doubt) == (volume.spacing_mm, volume.doubt)
    np.testing.assert_array_equal(grid.affine, volume.affine)
    return volume


STEPS = np.diag([-1.5, -1.5, 3.0, 1.0])
MIRRORED = "its sform and its qform are mirror images of each other; the sform is taken"
OTHER = "its sform and its qform let axes run in other directions; the sform is taken"


@pytest.mark.parametrize(
    ("qform", "codes", "doubt"),
    [
        (STEPS, (1, 1), None),
        (STEPS + np.eye(4, k=3) * 7, (1, 1), None),
        (np.diag([1.5, -1.5, 3.0, 1.0]), (1, 1), MIRRORED),
        (np.diag([1.5, -1.5, 3.0, 1.0]), (2, 1), MIRRORED),
        (np.diag([1.5, -1.5, 3.0, 1.0]), (1, 0), None),
        (np.diag([1.5, -1.5, 3.0, 1.0]), (0, 1), None),
        (np.diag([1.5, 1.5, 3.0, 1.0]), (1, 1), OTHER),
        (np.diag([1.5, 1.5, 3.0, 1.0]), (2, 1), None),  # turned into another position, as animals are
    ],
)
def test_sform_and_qform_are_compared(
    tmp_path: Path, qform: np.ndarray, codes: tuple[int, int], doubt: str | None
) -> None:
    image = nib.Nifti1Image(VOXELS, None)
    image.header.set_xyzt_units("mm")
    image.set_sform(STEPS, codes[0])
    image.set_qform(qform, codes[1])
    nib.save(image, tmp_path / "a.nii")
    volume = read(tmp_path / "a.nii")
    assert (volume.doubt, volume.spacing_mm) == (doubt, (1.5, 1.5, 3))
    np.testing.assert_array_equal(volume.affine, STEPS if codes[0] else qform)


@pytest.mark.parametrize("zooms", [(0, 1.5, 3), (np.nan, 1.5, 3), (-1.5, 1.5, 3)])
def test_a_qform_that_is_none_is_no_other_opinion(tmp_path: Path, zooms: tuple[float, ...]) -> None:
    path = nifti(tmp_path / "a.nii", STEPS, zooms, ("<h", 252, 1))
    assert "qform" not in str(read(path).doubt)


NO_FORMS, QFORM = ("<hh", 252, 0, 0), ("<hh", 252, 1, 0)


@pytest.mark.parametrize(
    ("steps", "zooms", "taken", "doubt"),
    [
        ((1.5, 1.5, 3), (1.5, 1.5, 3), (1.5, 1.5, 3), None),
        ((1.5, 1.5, 3), (1.505, 1.5, 3), (1.505, 1.5, 3), None),  # rounded
        ((1.5, 1.5, 3), (-1.5, 1.5, 3), (1.5, 1.5, 3), None),  # a sign tells the direction in older formats
        (
            (1.5, 1.5, 3),
            (1, 1, 1),
            (1.5, 1.5, 3),
            "its voxel size says 1 x 1 x 1 mm, its affine 1.5 x 1.5 x 3 mm; 1.5 x 1.5 x 3 mm is taken",
        ),
        (
            (1, 1, 1),
            (1.5, 1.5, 10),
            (1.5, 1.5, 10),
            "its voxel size says 1.5 x 1.5 x 10 mm, its affine 1 x 1 x 1 mm; 1.5 x 1.5 x 10 mm is taken",
        ),
        (
            (1.5, 1.5, 3),
            (2, 2, 3),
            None,
            "its voxel size says 2 x 2 x 3 mm, its affine 1.5 x 1.5 x 3 mm; so distances in millimetres are left out",
        ),
        (
            (1.5, 1.5, 3),
            (0, 1.5, np.nan),
            (1.5, 1.5, 3),
            "its voxel size says 0 x 1.5 x nan mm, its affine 1.5 x 1.5 x 3 mm; 1.5 x 1.5 x 3 mm is taken",
        ),
        (
            (1, 1, 1),
            (0, 1, np.inf),
            None,
            "its voxel size says 0 x 1 x inf mm, its affine 1 x 1 x 1 mm; so distances in millimetres are left out",
        ),
    ],
)
def test_voxel_size_and_affine_are_compared(
    tmp_path: Path, steps: tuple[float, ...], zooms: tuple[float, ...], taken: tuple[float, ...], doubt: str | None
) -> None:
    found = read(nifti(tmp_path / "a.nii", np.diag([*steps, 1]), zooms))
    assert found.spacing_mm == (None if taken is None else pytest.approx(taken))
    assert found.doubt == doubt
    np.testing.assert_array_equal(found.affine, np.diag([*steps, 1]))  # where voxels lie


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_leaning_axes_have_no_voxel_size(tmp_path: Path, ending: str) -> None:
    """A tilted gantry. Distances along the axes would be wrong; a mask keeps the place of its scan."""
    path = tmp_path / f"a{ending}"
    formats.write(path, VOXELS, like=new_volume(VOXELS, SHEARED))
    if ending == ".nii.gz":
        image = nib.Nifti1Image(VOXELS, SHEARED)
        image.header.set_xyzt_units("mm")
        nib.save(image, path)
    found = read(path)
    assert found.spacing_mm is None
    assert found.doubt is not None
    assert found.doubt.startswith("its x and z axes are at an angle of 45.0 degrees, not 90")
    np.testing.assert_array_equal(found.affine, SHEARED)
    formats.write(tmp_path / f"mask{ending}", VOXELS, like=found)
    np.testing.assert_array_equal(formats.read_grid(tmp_path / f"mask{ending}").affine, SHEARED)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize(("size", "told"), [(0.001, r"0\.001 x 1 x 1 mm"), (200.0, "200 x 1 x 1 mm")])
def test_voxel_sizes_that_cannot_be_meant(tmp_path: Path, ending: str, size: float, told: str) -> None:
    formats.write(tmp_path / f"a{ending}", VOXELS, like=new_volume(VOXELS, np.diag([size, 1, 1, 1])))
    for reader in (formats.read, formats.read_grid):
        with pytest.raises(UserError, match=rf"a{ending} says that voxels are {told} in size, which cannot be right"):
            reader(tmp_path / f"a{ending}")


@pytest.mark.parametrize("unit", [7, 255, 56 + 2, 5])
def test_units_that_nifti_does_not_define(tmp_path: Path, unit: int) -> None:
    """They count as none, and what is said of time does not matter."""
    path = nifti(tmp_path / "a.nii", np.diag([1.5, 1.5, 3, 1]), None, ("<B", 123, unit))
    assert (read(path).spacing_mm, read(path).doubt) == ((1.5, 1.5, 3.0), None)
    path = nifti(tmp_path / "b.nii", np.eye(4), None, ("<B", 123, unit))
    assert read(path).spacing_mm == ((1.0, 1.0, 1.0) if unit == 58 else None)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ([("<f", 108, 0.0)], "begin at byte 0, inside its header, which takes 352"),
        ([("<f", 108, 351.0)], "begin at byte 351, inside its header"),
        ([("<f", 108, np.nan)], "begin at byte nan, inside its header"),
        ([("<2f", 112, 2.0, np.nan)], r"scales its voxels by 2 and adds nan \(scl_inter\)"),
        ([("<2f", 256, 2.0, 2.0), QFORM], "a quaternion that is none, 2 x 2 x 0 is longer than 1"),
        ([("<3f", 80, 0.0, 1.0, 2.0), NO_FORMS], r"a voxel size of 0 x 1 x 2 \(pixdim\), and no sform"),
        ([("<3f", 80, np.nan, 1.0, 2.0), QFORM], r"a voxel size of nan x 1 x 2 \(pixdim\), and no sform"),
        ([("<f", 280, np.nan)], "an affine that places voxels nowhere"),
    ],
)
def test_fields_of_nifti_that_cannot_be_meant(tmp_path: Path, fields: list[tuple[object, ...]], told: str) -> None:
    path = nifti(tmp_path / "a.nii", np.diag([1.5, 1.5, 3, 1]), None, *fields)
    for reader in (formats.read, formats.read_grid):
        with pytest.raises(UserError, match=f"a.nii .*{told}.*repair its header"):
            reader(path)


def test_voxels_of_nrrd_that_begin_inside_its_header(tmp_path: Path) -> None:
    header = b"NRRD0004\ntype: int16\ndimension: 3\nsizes: 3 4 5\nendian: little\nencoding: raw\nbyte skip: -1\n\n"
    path = tmp_path / "a.nrrd"
    path.write_bytes(header + VOXELS.tobytes(order="F"))
    np.testing.assert_array_equal(formats.read(path).voxels, VOXELS)
    path.write_bytes(header + VOXELS.tobytes(order="F")[:-10])
    with pytest.raises(UserError, match=r"a\.nrrd cannot be read: .*its voxels would begin inside its header"):
        formats.read(path)
