"""What every format must do, by ending: round trips, geometry, damaged and missing files, names.

The first part is for formats that are written and hold any voxels, the second for all that are read.
"""

from pathlib import Path

import numpy as np
import pytest

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import FORMATS, Volume, endings, new_volume, same_grid
from crossmatch.formats.seal import SealedError, sealed
from samples import shape_of, write_sample

# Turned about two axes, with three different steps; the first is exact in float32, as NIfTI stores it.
OBLIQUE = np.array(
    [[-0.375, 0.4, 0, 90.5], [-0.5, -0.3, 0, 60.25], [0, 0, 2, -30.125], [0, 0, 0, 1]], dtype=np.float32
).astype(np.float64)
PLAIN = np.diag([1.5, 2.0, 6.0, 1.0])
TYPES = ("uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "float32")

VOLUMES = [ending for each in FORMATS if each.MAPS for ending in each.WRITTEN]
written = pytest.mark.parametrize("ending", VOLUMES)
read = pytest.mark.parametrize("ending", endings())


def noise(*shape: int, kind: str = "int16", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, shape).astype(kind)


def close(ending: str) -> float:
    """How far numbers may be off, relatively: MetaImage keeps directions apart from steps."""
    return 1e-12 if ending == ".mha" else 0


def write(path: Path, voxels: np.ndarray, affine: np.ndarray | None = OBLIQUE) -> Path:
    if path.name.lower().endswith(".mha"):
        pytest.importorskip("SimpleITK")
        if affine is None:
            pytest.skip("MetaImage always names a spacing")
        if voxels.ndim == 2 and affine[2, 3]:
            pytest.skip("MetaImage of two axes has no third coordinate")
    formats.write(path, voxels, like=new_volume(voxels, affine))
    return path


def name_of(ending: str) -> str:
    return next(each.NAME for each in FORMATS if ending in each.ENDINGS)


@written
@pytest.mark.parametrize("kind", TYPES)
def test_voxels_come_back_in_their_type(tmp_path: Path, ending: str, kind: str) -> None:
    voxels = noise(5, 4, 3, kind=kind)
    found = formats.read(write(tmp_path / f"a{ending}", voxels))
    np.testing.assert_array_equal(found.voxels, voxels)
    assert found.voxels.dtype == np.dtype(kind)
    assert found.voxels.dtype.isnative


@written
@pytest.mark.parametrize(("kind", "stored"), [("bool", "uint8"), ("float16", "float32"), ("float64", "float32")])
def test_types_that_come_back_as_another(tmp_path: Path, ending: str, kind: str, stored: str) -> None:
    voxels = noise(5, 4, 3) % 2 == 1 if kind == "bool" else noise(5, 4, 3, kind=kind) / 4
    found = formats.read(write(tmp_path / f"a{ending}", voxels.astype(kind)))
    np.testing.assert_array_equal(found.voxels, voxels)
    assert found.voxels.dtype == np.dtype(stored)


@written
@pytest.mark.parametrize("shape", [(5, 4, 3), (7, 1, 2), (6, 5)], ids=str)
@pytest.mark.parametrize("affine", [OBLIQUE, PLAIN, PLAIN @ np.diag([-1, -1, 1, 1])], ids=["oblique", "plain", "LPS"])
def test_the_place_comes_back_exactly(tmp_path: Path, ending: str, shape: tuple[int, ...], affine: np.ndarray) -> None:
    """Of a 2D file the two axes and the origin; the spacing is rounded where a format stores it in float32."""
    path = write(tmp_path / f"a{ending}", noise(*shape), affine)
    volume, grid = formats.read(path), formats.read_grid(path)
    kept = [*range(len(shape)), 3]
    np.testing.assert_allclose(volume.affine[:, kept], affine[:, kept], rtol=close(ending), atol=close(ending))
    assert volume.spacing_mm == pytest.approx(np.linalg.norm(affine[:3, : len(shape)], axis=0), rel=1e-6)
    np.testing.assert_array_equal(grid.affine, volume.affine)
    assert (grid.shape, grid.spacing_mm) == (shape, volume.spacing_mm) == (volume.shape, volume.spacing_mm)
    assert same_grid(new_volume(noise(*shape), affine), grid)


@written
@pytest.mark.parametrize("shape", [(5, 4, 3), (6, 5)], ids=str)
def test_an_unknown_spacing_stays_unknown_and_1_mm_known(tmp_path: Path, ending: str, shape: tuple[int, ...]) -> None:
    for affine, spacing in ((None, None), (np.eye(4), (1.0,) * len(shape))):
        path = write(tmp_path / f"a{ending}", noise(*shape), affine)
        assert formats.read(path).spacing_mm == formats.read_grid(path).spacing_mm == spacing
        np.testing.assert_array_equal(formats.read(path).affine, np.eye(4))


@written
@pytest.mark.parametrize("affine", [OBLIQUE, None], ids=["known", "unknown"])
@pytest.mark.parametrize("other", VOLUMES)
@pytest.mark.parametrize("shape", [(5, 4, 3), (6, 5)], ids=str)
def test_a_mask_lies_on_its_scan_whatever_format_either_has(
    tmp_path: Path, ending: str, other: str, shape: tuple[int, ...], affine: np.ndarray | None
) -> None:
    if other == ".mha" and affine is not None and len(shape) == 2:
        pytest.skip("MetaImage of two axes has no third coordinate")
    scan = formats.read(write(tmp_path / f"scan{ending}", noise(*shape), affine))
    formats.write(tmp_path / "new" / f"mask{other}", scan.voxels > 50, like=scan)
    mask = formats.read(tmp_path / "new" / f"mask{other}")
    np.testing.assert_array_equal(mask.voxels, scan.voxels > 50)
    assert same_grid(scan, mask, tolerance=0 if ending == other else 1e-6)
    assert (mask.spacing_mm is None) == (affine is None and other != ".mha")
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"mask{other}"]


@written
def test_maps_have_their_classes_along_a_last_axis(tmp_path: Path, ending: str) -> None:
    """Written, but no scan: read back they are a time series or a file of several channels."""
    like = new_volume(noise(5, 4, 3), OBLIQUE)
    formats.write(tmp_path / f"a{ending}", np.full((5, 4, 3, 2), 0.25, np.float32), like=like)
    if ending == ".mha":  # of which they are channels
        assert formats.read_grid(tmp_path / f"a{ending}").channels == 2
    else:
        for reader in (formats.read, formats.read_grid):
            with pytest.raises(UserError, match=rf"a{ending} has 4 axes \(5, 4, 3, 2\), only 2D and 3D are used"):
                reader(tmp_path / f"a{ending}")
    with pytest.raises(ValueError, match="do not lie on the grid"):
        formats.write(tmp_path / f"b{ending}", np.zeros((5, 4, 2)), like=like)
    assert not (tmp_path / f"b{ending}").exists()


@written
def test_one_volume_gives_one_file(tmp_path: Path, ending: str) -> None:
    """No time and no name in it."""
    first, second = (write(tmp_path / f"{name}{ending}", noise(5, 4, 3)).read_bytes() for name in "ab")
    assert first == second


@read
def test_truncated_files_are_named(tmp_path: Path, ending: str) -> None:
    """In the file itself, and in the one that holds its voxels."""
    path = write_sample(tmp_path / f"bad{ending}", ending)
    for part in formats.parts(path):
        whole = part.read_bytes()
        for length in (0, 3, 20, 100, len(whole) // 2, len(whole) - 20):
            part.write_bytes(whole[:length])
            with pytest.raises(UserError, match=rf"bad{ending} cannot .*no {name_of(ending)} file.*copy it again"):
                formats.read(path)
        part.write_bytes(whole)
    assert formats.read(path).shape == shape_of(ending)


@written
def test_compressed_files_are_read_to_their_end(tmp_path: Path, ending: str) -> None:
    """One flipped bit, a lost or wrong checksum, a lost length: the voxels read well enough, and may be wrong."""
    path = tmp_path / f"a{ending}"
    whole = write(path, np.random.default_rng(0).normal(100, 20, (64, 64, 20)).astype(np.int16)).read_bytes()
    compressed = whole if whole[:2] == b"\x1f\x8b" else whole[whole.find(b"\n\n") + 2 :]
    if compressed[:2] != b"\x1f\x8b":
        return  # not a format that is compressed
    start = len(whole) - len(compressed)
    for place in (start + len(compressed) // 5, len(whole) - 6, len(whole) - 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(UserError, match=rf"a{ending} cannot be read: .*damaged"):
            formats.read(path)
    for length in (1, 4, 8):
        path.write_bytes(whole[:-length])
        with pytest.raises(UserError, match=rf"a{ending} cannot be read: .*damaged"):
            formats.read(path)


@read
def test_files_of_another_kind_are_named(tmp_path: Path, ending: str) -> None:
    write_sample(tmp_path / f"a{ending}", ending)
    for content in (b"not an image" * 100, bytes(1000), b"\x1f\x8b" + bytes(100)):
        (tmp_path / f"a{ending}").write_bytes(content)
        for reader in (formats.read, formats.read_grid):
            with pytest.raises(UserError, match=rf"a{ending} cannot be read"):
                reader(tmp_path / f"a{ending}")


@read
def test_files_that_are_none(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"folder{ending}").mkdir()
    for reader in (formats.read, formats.read_grid):
        with pytest.raises(UserError, match=rf"folder{ending} is a folder, not a {name_of(ending)} file"):
            reader(tmp_path / f"folder{ending}")
        with pytest.raises(UserError, match=rf"gone{ending} does not exist: check the name"):
            reader(tmp_path / f"gone{ending}")


@written
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / f"a{ending}", noise(5, 4, 3))
    before = path.read_bytes()

    def broken(aside: Path, voxels: np.ndarray, like: Volume, labels: dict[str, int]) -> None:
        aside.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(next(each for each in FORMATS if ending in each.ENDINGS), "write", broken)
    with pytest.raises(UserError, match=r"cannot be written .disk full"):
        write(path, noise(5, 4, 3, seed=1))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@read
def test_a_sealed_file_is_refused_under_any_name(tmp_path: Path, ending: str) -> None:
    path, other = (write_sample(tmp_path / f"{name}{ending}", ending, (5, 4, 3)) for name in ("test", "train"))
    (tmp_path / f"hard{ending}").hardlink_to(path)
    (tmp_path / f"link{ending}").symlink_to(path)
    with sealed([path]):
        for name in ("test", "hard", "link"):
            for reader in (formats.read, formats.read_grid):
                with pytest.raises(SealedError, match=rf"{name}{ending} belongs to a test case"):
                    reader(tmp_path / f"{name}{ending}")
        assert formats.read(other).shape == shape_of(ending, (5, 4, 3))
    assert formats.read(path).shape == shape_of(ending, (5, 4, 3))


@written
def test_names(tmp_path: Path, ending: str) -> None:
    """In any case of letters, with dots, spaces and accents."""
    for name, stem in (("a", "a"), ("a b.c é", "a b.c é"), ("u\u0308", "ü")):
        for spelled in (ending, ending.upper(), ending.title()):
            assert formats.stem(f"{name}{spelled}") == formats.stem(Path("x") / f"{name}{spelled}") == stem
            assert formats.ending(f"{name}{spelled}") == ending
    path = write(tmp_path / f"A{ending.upper()}", noise(5, 4, 3))
    np.testing.assert_array_equal(formats.read(path).voxels, noise(5, 4, 3))
    assert formats.stem(ending) is None  # a hidden file without a name
    for name in ("picture.gif", "notes", f"a{ending}.part"):
        assert formats.stem(name) is None
        with pytest.raises(UserError, match=rf"{name} is no scan by its name: use a file that ends in \.nii\.gz or"):
            formats.read(tmp_path / name)


@read
def test_the_files_of_a_folder(tmp_path: Path, ending: str) -> None:
    for name in (f"b{ending}", f"a{ending.upper()}", f".hidden{ending}", "notes.txt"):
        (tmp_path / name).touch()
    assert formats.files_in(tmp_path) == [("a", tmp_path / f"a{ending.upper()}"), ("b", tmp_path / f"b{ending}")]


@read
def test_what_lies_beside_scans_is_told_apart(tmp_path: Path, ending: str) -> None:
    """Desktops' own files are passed over, a file with the voxels of another belongs to it, all else is named."""
    write_sample(tmp_path / f"a{ending}", ending)
    for name in (".DS_Store", f"._a{ending}", "Thumbs.db", "notes.txt", f"a{ending}.bak", f".b{ending}", "other.img"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert formats.files_in(tmp_path) == [("a", tmp_path / f"a{ending}")]
    found = [path.name for path in formats.unclaimed_in(tmp_path)]
    assert found == sorted([f".b{ending}", f"a{ending}.bak", "folder", "notes.txt", "other.img"])


@read
def test_every_file_of_a_scan_is_known(tmp_path: Path, ending: str) -> None:
    path = write_sample(tmp_path / f"a{ending}", ending)
    assert sorted(formats.parts(path)) == sorted(tmp_path.iterdir())


def name_data_file(path: Path, name: str) -> Path:
    """Let a header name another data file, which becomes that one's name."""
    (old,) = (part for part in formats.parts(path) if part != path)
    path.write_text(path.read_text().replace(old.name, name))
    return old.rename(path.parent / name)


@pytest.mark.parametrize("ending", [".nhdr", ".seg.nhdr", ".mhd"])
def test_the_file_with_the_voxels_has_the_name_that_the_header_gives(tmp_path: Path, ending: str) -> None:
    path = write_sample(tmp_path / f"a{ending}", ending)
    before = formats.read(path).voxels
    other = name_data_file(path, "the voxels.bin")
    np.testing.assert_array_equal(formats.read(path).voxels, before)
    (tmp_path / f"a{ending[:-4]}.raw").touch()  # of the usual name, and no part of this scan
    assert formats.parts(path) == [path, other]
    assert not formats.stands_alone(path)
    assert [one.name for one in formats.unclaimed_in(tmp_path)] == [f"a{ending[:-4]}.raw"]


@pytest.mark.parametrize("ending", [".nrrd", ".seg.nrrd", ".mha"])
def test_the_ending_of_one_file_does_not_say_that_it_holds_the_voxels(tmp_path: Path, ending: str) -> None:
    detached = {".nrrd": ".nhdr", ".seg.nrrd": ".seg.nhdr", ".mha": ".mhd"}[ending]
    written = write_sample(tmp_path / f"a{detached}", detached)
    (other,) = formats.parts(written)[1:]
    path = written.rename(tmp_path / f"a{ending}")
    formats.read(path)
    assert formats.parts(path) == [path, other]
    assert not formats.stands_alone(path)
