"""TIFF files of every kind of grey pixel: read as they are meant, or refused with the way out."""

import struct
from pathlib import Path

import numpy as np
import pytest

from crossmatch import formats
from crossmatch.errors import UserError

UNSIGNED, SIGNED, FRACTIONS = 1, 2, 3  # values of the tag SampleFormat
STORED = np.arange(12).reshape(3, 4) * 9 - 50


def tiff(path: Path, pixels: np.ndarray, kind: int, white: bool = False) -> Path:
    """Write one strip, as the standard says; the byte order is that of the pixels."""
    order = ">" if pixels.dtype.byteorder == ">" else "<"
    data, (rows, columns) = pixels.tobytes(), pixels.shape
    short, long = 3, 4  # types of tags
    tags = [
        (256, long, columns),
        (257, long, rows),
        (258, short, 8 * pixels.dtype.itemsize),
        (259, short, 1),  # not compressed
        (262, short, 0 if white else 1),
        (273, long, 8),  # where the strip begins
        (277, short, 1),
        (278, long, rows),
        (279, long, len(data)),
        (339, short, kind),
    ]
    content = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data)) + data
    content += struct.pack(f"{order}H", len(tags))
    for tag, form, value in tags:
        content += struct.pack(f"{order}HHI", tag, form, 1)
        content += struct.pack(f"{order}I", value) if form == long else struct.pack(f"{order}HH", value, 0)
    path.write_bytes(content + struct.pack(f"{order}I", 0))
    return path


@pytest.mark.parametrize("code", ["i1", "<i2", ">i2", "<i4", ">i4", "<f4", ">f4"])
def test_numbers_below_zero_stay_below_zero(tmp_path: Path, code: str) -> None:
    kind = FRACTIONS if "f" in code else SIGNED
    found = formats.read(tiff(tmp_path / "a.tif", STORED.astype(code), kind)).voxels
    np.testing.assert_array_equal(found.T, STORED)


@pytest.mark.parametrize("code", ["u1", "<u2", ">u2", "<u4"])
def test_unsigned_numbers(tmp_path: Path, code: str) -> None:
    highest = np.iinfo(code).max
    stored = np.array([[0, 1, highest - 1, highest]], code)
    np.testing.assert_array_equal(formats.read(tiff(tmp_path / "a.tif", stored, UNSIGNED)).voxels.T, stored)


@pytest.mark.parametrize("code", ["u1", "<u2"])
def test_where_0_is_white_black_becomes_0(tmp_path: Path, code: str) -> None:
    highest = np.iinfo(code).max
    stored = np.array([[0, 1, highest - 1, highest]], code)
    found = formats.read(tiff(tmp_path / "a.tif", stored, UNSIGNED, white=True)).voxels
    np.testing.assert_array_equal(found.T, highest - stored)


@pytest.mark.parametrize(
    ("code", "kind", "white", "told"),
    [
        ("<f4", FRACTIONS, True, "0 is white, and holds fractions"),
        ("<f8", FRACTIONS, False, r"of a kind that is not read \(such as float64\)"),
        ("<f2", FRACTIONS, False, "of a kind that is not read"),
        ("i1", SIGNED, True, "of a kind that is not read"),
        ("<i2", SIGNED, True, "of a kind that is not read"),
        (">u2", UNSIGNED, True, "of a kind that is not read"),
        (">u4", UNSIGNED, False, "of a kind that is not read"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, code: str, kind: int, white: bool, told: str) -> None:
    path = tiff(tmp_path / "a.tif", np.abs(STORED).astype(code), kind, white)
    for read in (formats.read, formats.read_grid):
        if read is formats.read_grid and "0 is white" in told:
            continue  # its size is known
        with pytest.raises(UserError, match=told) as caught:
            read(path)
        assert "with 0 as black" in str(caught.value)


def test_a_file_cut_short_is_still_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", STORED.astype("<i2"), SIGNED)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="damaged"):
        formats.read(path)
