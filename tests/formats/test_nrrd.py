"""NRRD files: one scan written in several spaces is one volume; what is no volume in space is refused by name."""

import bz2
import gzip
from pathlib import Path

import nrrd
import numpy as np
import pytest

from crossmatch.errors import UserError
from crossmatch.formats.nifti import same_grid
from crossmatch.formats.nrrd import read_nrrd

VOXELS = np.random.default_rng(0).integers(-500, 900, (5, 4, 3)).astype(np.int16)
# Oblique, RAS+: columns are the steps along x, y, z; spacing 0.625, 0.5 and 2 mm.
AFFINE = np.array([[-0.375, 0.4, 0, 90.0], [-0.5, -0.3, 0, 60.0], [0, 0, 2, -30.0], [0, 0, 0, 1]])


def _header(space: str, signs: tuple[int, int, int]) -> dict[str, object]:
    """The fields of a file at `AFFINE`, written in another space."""
    turned = np.diag([*signs, 1]) @ AFFINE
    return {"space": space, "space directions": turned[:3, :3].T, "space origin": turned[:3, 3]}


LPS = _header("left-posterior-superior", (-1, -1, 1))


def _write(path: Path, header: dict[str, object], voxels: np.ndarray = VOXELS) -> Path:
    nrrd.write(str(path), voxels, header)
    return path


def test_the_header_by_hand(tmp_path):
    """Two lists of numbers a person can turn in the head: steps to the left and back are negative in RAS+."""
    (tmp_path / "a.nrrd").write_bytes(
        b"NRRD0004\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 3 1\n"
        b"space directions: (0.5,0,0) (0,0.25,0) (0,0,2)\nspace origin: (10,20,30)\nencoding: raw\n\n" + bytes(range(6))
    )
    volume = read_nrrd(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.affine, [[-0.5, 0, 0, -10], [0, -0.25, 0, -20], [0, 0, 2, 30], [0, 0, 0, 1]])
    assert volume.spacing_mm == (0.5, 0.25, 2.0)
    np.testing.assert_array_equal(volume.voxels[:, :, 0], [[0, 2, 4], [1, 3, 5]])  # x runs fastest
    assert volume.voxels.dtype == np.uint8


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("Left-Anterior-Superior", (-1, 1, 1)),
        ("LAS", (-1, 1, 1)),
    ],
)
def test_every_space_gives_the_same_volume(tmp_path, space, signs):
    volume = read_nrrd(_write(tmp_path / "a.nrrd", _header(space, signs)))
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-12)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.voxels.dtype == np.int16
    assert volume.spacing_mm == pytest.approx((0.625, 0.5, 2.0))


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("ending", ["nrrd", "nhdr"])
def test_encodings_attached_and_detached(tmp_path, encoding, ending):
    path = _write(tmp_path / f"a.{ending}", {**LPS, "encoding": encoding})
    assert len(list(tmp_path.iterdir())) == (2 if ending == "nhdr" else 1)
    np.testing.assert_array_equal(read_nrrd(path).voxels, VOXELS)


def test_types(tmp_path):
    """Big-endian integers become native ones; float64 becomes float32, as with NIfTI."""
    big = read_nrrd(_write(tmp_path / "a.nrrd", {**LPS, "endian": "big"}, VOXELS.astype(">i2")))
    assert big.voxels.dtype == np.dtype("=i2")
    np.testing.assert_array_equal(big.voxels, VOXELS)
    halves = read_nrrd(_write(tmp_path / "b.nrrd", LPS, VOXELS / 2))
    assert halves.voxels.dtype == np.float32
    np.testing.assert_array_equal(halves.voxels, VOXELS / 2)


def test_geometry_that_is_there_in_part(tmp_path):
    spaced = read_nrrd(_write(tmp_path / "a.nrrd", {"spacings": [0.5, 1, 3]}))
    np.testing.assert_array_equal(spaced.affine, np.diag([0.5, 1, 3, 1]))
    assert spaced.spacing_mm == (0.5, 1, 3)
    one = read_nrrd(_write(tmp_path / "b.nrrd", {"spacings": [1, 1, 1]}))
    assert one.spacing_mm == (1, 1, 1)  # said, not forgotten
    nothing = read_nrrd(_write(tmp_path / "c.nrrd", {}))
    assert nothing.spacing_mm is None
    no_origin = {key: value for key, value in LPS.items() if key != "space origin"}
    np.testing.assert_array_equal(read_nrrd(_write(tmp_path / "d.nrrd", no_origin)).affine[:3, 3], 0)


def test_a_hair_is_one_grid_and_a_voxel_is_not(tmp_path):
    image = read_nrrd(_write(tmp_path / "a.nrrd", LPS))
    for moved, same in ((1e-5, True), (1.0, False)):
        origin = np.asarray(LPS["space origin"]) + moved * np.asarray(LPS["space directions"])[0]
        assert same_grid(image, read_nrrd(_write(tmp_path / "b.nrrd", {**LPS, "space origin": origin}))) is same


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"space directions": np.array([[1, 0, 0], [0, 1, 0], [np.nan] * 3])}, "places voxels nowhere"),
        ({"space directions": np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]])}, "places voxels nowhere"),
        ({"space origin": [0, 0, np.nan]}, "places voxels nowhere"),
        ({"space": "scanner-xyz"}, "lies in the space 'scanner-xyz', known are right-anterior-superior"),
        ({"space units": ["cm", "cm", "cm"]}, "is measured in cm, not in mm"),
    ],
)
def test_a_geometry_that_is_none_is_refused(tmp_path, changed, message):
    path = _write(tmp_path / "a.nrrd", {**LPS, **changed})
    with pytest.raises(UserError, match=rf"a\.nrrd.* {message}"):
        read_nrrd(path)


def test_spacings_that_are_no_lengths_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.nrrd .*places voxels nowhere"):
        read_nrrd(_write(tmp_path / "a.nrrd", {"spacings": [1, np.nan, 1]}))


def test_a_non_spatial_axis_is_refused(tmp_path):
    """3D Slicer writes colours and time points as a fourth axis, or as a first one with the direction `none`."""
    fourth = _write(tmp_path / "a.nrrd", {"space": "LPS"}, np.zeros((3, 5, 4, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.nrrd has 4 axes \(3, 5, 4, 3\), 3 are needed"):
        read_nrrd(fourth)
    text = "NRRD0005\ntype: uint8\ndimension: 3\nspace: LPS\nsizes: 3 2 2\nspace directions: none (1,0,0) (0,1,0)\n"
    (tmp_path / "b.nrrd").write_bytes(text.encode() + b"encoding: raw\n\n" + bytes(12))
    with pytest.raises(UserError, match=r"b\.nrrd .*places voxels nowhere"):
        read_nrrd(tmp_path / "b.nrrd")


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_a_truncated_file_is_named(tmp_path, encoding):
    path = _write(tmp_path / "a.nrrd", {**LPS, "encoding": encoding})
    content = path.read_bytes()
    for length in (0, 3, 40, content.index(b"\n\n") + 2, len(content) - 20):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"a\.nrrd cannot be read"):
            read_nrrd(path)


@pytest.mark.parametrize(
    "content",
    [b"nothing", b"NRRD0004\nno colon\n\n", gzip.compress(b"x", mtime=0), bz2.compress(b"x")],
    ids=["text", "no colon", "gzip", "bzip2"],
)
def test_a_file_of_another_kind_is_named(tmp_path, content):
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.nrrd cannot be read"):
        read_nrrd(tmp_path / "a.nrrd")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.nrrd does not exist"):
        read_nrrd(tmp_path / "gone.nrrd")
    path = _write(tmp_path / "a.nhdr", {**LPS, "encoding": "raw"})
    (tmp_path / "a.raw").unlink()
    with pytest.raises(UserError, match=r"a\.nhdr keeps its voxels in .*a\.raw, which does not exist"):
        read_nrrd(path)
