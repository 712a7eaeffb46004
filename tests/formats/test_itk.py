"""MetaImage: places against SimpleITK's own answer, several channels, and the message where the package is missing."""

import sys
from pathlib import Path

import numpy as np
import pytest

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import extras

itk = pytest.importorskip("SimpleITK")
VOXELS = np.random.default_rng(0).integers(0, 99, (5, 4, 3)).astype(np.int16)


def image(voxels: np.ndarray = VOXELS, vector: bool = False):
    """(x, y, z), or (z, y, x, channel), as SimpleITK has it, turned about z."""
    found = (
        itk.GetImageFromArray(np.ascontiguousarray(voxels), isVector=True)
        if vector
        else itk.GetImageFromArray(voxels.T)
    )
    found.SetSpacing((0.5, 0.75, 3.0))
    found.SetOrigin((10.0, -20.0, 30.5))
    found.SetDirection((0.6, 0.8, 0, -0.8, 0.6, 0, 0, 0, 1))
    return found


@pytest.mark.parametrize("ending", [".mha", ".mhd"])
def test_every_voxel_lies_where_itk_says(tmp_path: Path, ending: str) -> None:
    """ITK answers in LPS+, the affine is RAS+."""
    itk.WriteImage(image(), str(tmp_path / f"a{ending}"))
    volume = formats.read(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.spacing_mm == pytest.approx((0.5, 0.75, 3))
    for index in ((0, 0, 0), (4, 0, 0), (1, 3, 2)):
        expected = np.array(image().TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)
        np.testing.assert_allclose((volume.affine @ (*index, 1))[:3], expected, atol=1e-9)


def test_itk_reads_a_mask_on_the_grid_of_its_scan(tmp_path: Path) -> None:
    itk.WriteImage(image(), str(tmp_path / "a.mhd"))
    scan = formats.read(tmp_path / "a.mhd")
    formats.write(tmp_path / "b.mha", scan.voxels > 50, like=scan)
    mask = itk.ReadImage(str(tmp_path / "b.mha"))
    np.testing.assert_array_equal(itk.GetArrayFromImage(mask).T, VOXELS > 50)
    np.testing.assert_allclose(mask.GetOrigin(), image().GetOrigin(), atol=1e-12)
    np.testing.assert_allclose(mask.GetDirection(), image().GetDirection(), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("LIST", r"a\.mhd keeps its voxels in several files \(LIST\): save it as \.mha"),
        ("a%d.raw 1 3 1", r"in several files \(a%d\.raw 1 3 1\)"),
        ("sub/a.raw", r"keeps its voxels in sub/a\.raw: put that file beside it, and name it without a folder"),
    ],
)
def test_voxels_in_several_files_or_elsewhere_are_refused(tmp_path: Path, name: str, told: str) -> None:
    itk.WriteImage(image(), str(tmp_path / "a.mhd"))
    (tmp_path / "a.mhd").write_text((tmp_path / "a.mhd").read_text().replace("a.raw", name))
    for reader in (formats.read, formats.read_grid):
        with pytest.raises(UserError, match=told):
            reader(tmp_path / "a.mhd")


def test_several_channels_of_one_file(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 255, (3, 4, 5, 2)).astype(np.uint8)  # (z, y, x, channel)
    itk.WriteImage(image(colours, vector=True), str(tmp_path / "a.mha"))
    assert formats.read_grid(tmp_path / "a.mha").channels == 2
    first, second = formats.read_channels([tmp_path / "a.mha"])
    np.testing.assert_array_equal(first.voxels, colours[..., 0].T)
    np.testing.assert_array_equal(second.voxels, colours[..., 1].T)


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mha").touch()
    assert formats.files_in(tmp_path) == [("a", tmp_path / "a.mha")]
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    for read in (formats.read, formats.read_grid):
        with pytest.raises(UserError, match=r"a\.mha needs the package SimpleITK: pip install 'crossmatch\[itk\]'"):
            read(tmp_path / "a.mha")


def test_a_package_that_cannot_be_loaded_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With little memory its libraries cannot be mapped: to install it would not help."""
    (tmp_path / "a.mha").touch()

    def failing(name: str) -> None:
        raise ImportError(f"lib{name}.so: failed to map segment from shared object")

    monkeypatch.setattr(extras, "import_module", failing)
    with pytest.raises(UserError, match=r"SimpleITK, which is here and cannot be loaded \(lib.*\): allow more memory"):
        formats.read(tmp_path / "a.mha")
