"""NRRD: one scan in several spaces is one volume, what is none is refused. What every format does: test_formats.py."""

import gzip
from pathlib import Path

import nrrd
import numpy as np
import pytest

from crossmatch import formats
from crossmatch.errors import UserError

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
    volume = formats.read(tmp_path / "a.nrrd")
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
    volume = formats.read(_write(tmp_path / "a.nrrd", _header(space, signs)))
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-12)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.voxels.dtype == np.int16
    assert volume.spacing_mm == pytest.approx((0.625, 0.5, 2.0))


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_encodings(tmp_path, encoding):
    path = _write(tmp_path / "a.nrrd", {**LPS, "encoding": encoding})
    np.testing.assert_array_equal(formats.read(path).voxels, VOXELS)
    content = path.read_bytes()
    for length in (40, content.index(b"\n\n") + 2, len(content) - 20):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"a\.nrrd cannot be read"):
            formats.read(path)


def test_big_endian_becomes_native(tmp_path):
    big = formats.read(_write(tmp_path / "a.nrrd", {**LPS, "endian": "big"}, VOXELS.astype(">i2")))
    assert big.voxels.dtype == np.dtype("=i2")
    np.testing.assert_array_equal(big.voxels, VOXELS)


def test_geometry_that_is_there_in_part(tmp_path):
    spaced = formats.read(_write(tmp_path / "a.nrrd", {"spacings": [0.5, 1, 3]}))
    np.testing.assert_array_equal(spaced.affine, np.diag([0.5, 1, 3, 1]))
    assert spaced.spacing_mm == (0.5, 1, 3)
    one = formats.read(_write(tmp_path / "b.nrrd", {"spacings": [1, 1, 1]}))
    assert one.spacing_mm == (1, 1, 1)  # said, not forgotten
    nothing = formats.read(_write(tmp_path / "c.nrrd", {}))
    assert nothing.spacing_mm is None
    no_origin = {key: value for key, value in LPS.items() if key != "space origin"}
    np.testing.assert_array_equal(formats.read(_write(tmp_path / "d.nrrd", no_origin)).affine[:3, 3], 0)


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
        formats.read(path)


def test_spacings_that_are_no_lengths_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.nrrd .*places voxels nowhere"):
        formats.read(_write(tmp_path / "a.nrrd", {"spacings": [1, np.nan, 1]}))


def test_a_non_spatial_axis_is_refused(tmp_path):
    """3D Slicer writes colours and time points as a fourth axis, or as a first one with the direction `none`."""
    text = "NRRD0005\ntype: uint8\ndimension: 3\nspace: LPS\nsizes: 3 2 2\nspace directions: none (1,0,0) (0,1,0)\n"
    (tmp_path / "a.nrrd").write_bytes(text.encode() + b"encoding: raw\n\n" + bytes(12))
    colours = _write(tmp_path / "b.nrrd", {"kinds": ["RGB-color", "domain", "domain"]}, np.zeros((3, 5, 4), np.uint8))
    for read in (formats.read, formats.read_grid):
        with pytest.raises(UserError, match=r"a\.nrrd .*places voxels nowhere"):
            read(tmp_path / "a.nrrd")
        with pytest.raises(UserError, match=r"b\.nrrd has an axis of rgb-color, not of space"):
            read(colours)


def test_a_plane_in_space_and_one_of_its_own(tmp_path):
    """With three numbers a direction, as one slice of a scan, or with two, as ITK writes a picture."""
    slice_ = {"space": "LPS", "space directions": [[0.0, 0, 2], [0, 3, 0]], "space origin": [1.0, 2, 3]}
    volume = formats.read(_write(tmp_path / "a.nrrd", slice_, VOXELS[:, :, 0]))
    assert volume.spacing_mm == (2, 3)
    np.testing.assert_array_equal(volume.affine, [[0, 0, 1, -1], [0, -3, 0, -2], [2, 0, 0, 3], [0, 0, 0, 1]])
    header = {"space dimension": 2, "space directions": [[2.0, 0], [0, 3]], "space origin": [1.0, 2]}
    own = formats.read(_write(tmp_path / "b.nrrd", header, VOXELS[:, :, 0]))
    np.testing.assert_array_equal(own.affine, [[-2, 0, 0, -1], [0, -3, 0, -2], [0, 0, 1, 0], [0, 0, 0, 1]])
    formats.write(tmp_path / "c.nrrd", own.voxels, like=own)
    _, written = nrrd.read(str(tmp_path / "c.nrrd"))
    assert (written["space dimension"], written["space directions"].tolist()) == (2, [[2, 0], [0, 3]])


@pytest.mark.parametrize("space", ["left-posterior-superior", "RAS", "left-anterior-superior"])
def test_a_mask_is_written_in_the_space_of_its_scan(tmp_path, space):
    """Every number as it was read, so that a program that compares text finds one grid; pynrrd reads it."""
    directions = np.array([[0.1, 0.2, 0.30000000000000004], [-0.4, 1 / 3, 1e-9], [0.5, 0, 2.0]])
    header = {"space": space, "space directions": directions, "space origin": [-1 / 7, 1e-17, 1e5 / 3]}
    scan = formats.read(_write(tmp_path / "a.nrrd", header))
    formats.write(tmp_path / "b.nrrd", scan.voxels > 0, like=scan)
    voxels, written = nrrd.read(str(tmp_path / "b.nrrd"))
    np.testing.assert_array_equal(voxels, VOXELS > 0)
    assert (written["space"], written["kinds"], written["type"]) == (space, ["domain"] * 3, "uint8")
    np.testing.assert_array_equal(written["space directions"], directions)
    np.testing.assert_array_equal(written["space origin"], header["space origin"])
    np.testing.assert_array_equal(formats.read(tmp_path / "b.nrrd").affine, scan.affine)


def test_probabilities_have_an_axis_of_classes(tmp_path):
    scan = formats.read(_write(tmp_path / "a.nrrd", LPS))
    formats.write(tmp_path / "b.nrrd", np.zeros((*VOXELS.shape, 2), np.float32), like=scan)
    voxels, header = nrrd.read(str(tmp_path / "b.nrrd"))
    assert (voxels.shape, voxels.dtype) == ((*VOXELS.shape, 2), np.float32)
    assert header["kinds"] == ["domain", "domain", "domain", "list"]
    assert np.isnan(header["space directions"][3]).all()


def test_a_data_file_that_is_missing_is_named(tmp_path):
    _write(tmp_path / "a.nhdr", {**LPS, "encoding": "raw"}).rename(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(formats.read(tmp_path / "a.nrrd").voxels, VOXELS)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(UserError, match=r"a\.nrrd keeps its voxels in .*a\.raw, which does not exist"):
        formats.read(tmp_path / "a.nrrd")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_voxels_that_may_begin_later_are_refused(tmp_path: Path, encoding: str) -> None:
    """A header beside a file of another format, which begins with 352 bytes of its own, as one of pynrrd's tests."""
    voxels = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    nrrd.write(str(tmp_path / "a.nhdr"), voxels, {"encoding": encoding}, detached_header=True)
    (data,) = (path for path in tmp_path.iterdir() if path.suffix != ".nhdr")
    np.testing.assert_array_equal(formats.read(tmp_path / "a.nhdr").voxels, voxels)
    stored = bytes(352) + voxels.tobytes("F")
    data.write_bytes(gzip.compress(stored) if encoding == "gzip" else stored)
    with pytest.raises(UserError, match=r"352 bytes are left after its voxels, so these may begin later"):
        formats.read(tmp_path / "a.nhdr")
    header = (tmp_path / "a.nhdr").read_text()
    (tmp_path / "a.nhdr").write_text(header.replace("encoding:", "byte skip: 352\nencoding:"))
    np.testing.assert_array_equal(formats.read(tmp_path / "a.nhdr").voxels, voxels)
