"""One file of a DICOM series: where its slice lies, and its grey values.

Shapes: pixels are (rows, columns). Lengths are in millimetres, directions in DICOM's LPS+ (left, posterior, superior).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException
from pydicom.misc import is_dicom
from pydicom.pixels.decoders.base import get_decoder

from crossmatch.errors import UserError
from crossmatch.formats.seal import refuse_sealed
from crossmatch.formats.sizes import check_claim
from crossmatch.formats.volume import Array

ORIENTATION_TOLERANCE = 1e-3  # of a unit vector; chosen here: half a voxel over 512
_NEEDED = {"PixelSpacing": 2, "ImageOrientationPatient": 6, "ImagePositionPatient": 3}  # tag: numbers in it
_UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError, OverflowError),
    *(MemoryError, struct.error, BytesLengthException),  # a length of 4 GB in a small file
)
_INT16 = np.iinfo(np.int16)
_DECODERS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"


@dataclass(frozen=True, eq=False)
class Slice:
    """One file of a series, read without its pixels."""

    path: Path
    series: str  # SeriesInstanceUID
    number: int | None  # InstanceNumber
    size: tuple[int, int]  # (columns, rows)
    spacing: Array  # (2,) between columns, between rows
    orientation: Array  # (2, 3) unit vectors: where the column index grows, where the row index grows
    position: Array  # (3,) centre of the pixel in the first column and row
    rescaled: bool  # whether it says how stored values become grey values

    @property
    def normal(self) -> Array:
        """Unit vector (3,) along which slices follow each other."""
        return np.cross(*self.orientation)


def read_header(path: Path) -> Slice | None:
    """Read the geometry of a file without its pixels; None for a file that is no DICOM image."""
    if not is_dicom(path):
        if _lacks_its_preamble(path):
            raise UserError(
                f"{path} seems to be a DICOM file that lacks its first 132 bytes: export it again, or move it out of "
                "the folder if it belongs to no slice."
            )
        if path.suffix.lower() == ".dcm":
            raise _damaged(path, "it does not begin as a DICOM file does")
        return None
    try:
        data = dcmread(path, stop_before_pixels=True)
        kind = data.file_meta.get("MediaStorageSOPClassUID")
        if "Rows" not in data and "Image Storage" not in getattr(kind, "name", ""):  # a report, a directory, ...
            return None
        return _slice(path, data)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def _slice(path: Path, data: Dataset) -> Slice:
    if "LOCALIZER" in (data.get("ImageType") or ()):
        raise UserError(f"{path} is a localiser, no slice of the scan (ImageType): move it out of the folder.")
    if int(data.get("NumberOfFrames") or 1) > 1:
        raise UserError(f"{path} is a multi-frame file, only single slices are read: convert it to NIfTI.")
    if int(data.get("SamplesPerPixel") or 1) != 1:
        raise UserError(f"{path} holds colours, only grey values are read: move it out of the folder.")
    numbers = {tag: _numbers(path, data, tag, count) for tag, count in _NEEDED.items()}
    missing = [tag for tag in ("SeriesInstanceUID", "Rows", "Columns") if not data.get(tag)]
    missing += [tag for tag, found in numbers.items() if not found]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)}, without which its place is unknown: copy or export the file again, or "
            "move it out of the folder if it is no slice."
        )
    spacing, orientation, position = (np.array(numbers[tag]) for tag in _NEEDED)
    orientation = orientation.reshape(2, 3)
    if np.abs(orientation @ orientation.T - np.eye(2)).max() > ORIENTATION_TOLERANCE or spacing.min() <= 0:
        raise UserError(
            f"{path} has an ImageOrientationPatient or PixelSpacing that is none ({orientation.ravel().tolist()}, "
            f"{spacing.tolist()}): export the file again."
        )
    rescaled = [bool(_numbers(path, data, tag, 1)) for tag in ("RescaleSlope", "RescaleIntercept")]
    if any(rescaled) and not all(rescaled):
        raise UserError(f"{path} has one of RescaleSlope and RescaleIntercept, without the other: export it again.")
    if data.get("Modality") == "CT" and not any(rescaled) and data.get("PixelRepresentation") != 1:
        raise UserError(
            f"{path} is a CT slice without RescaleSlope and RescaleIntercept, so its Hounsfield units are unknown: "
            "export it again."
        )
    stored, highest = int(data.get("BitsStored") or 0), data.get("HighBit")
    if stored and highest is not None and int(highest) != stored - 1:
        raise UserError(
            f"{path} stores its {stored} bits elsewhere than at the low end (HighBit {highest}): export it again."
        )
    number = data.get("InstanceNumber")
    return Slice(
        path=path,
        series=str(data.SeriesInstanceUID),
        number=None if number is None else int(number),
        size=(int(data.Columns), int(data.Rows)),
        spacing=spacing[::-1],  # PixelSpacing gives the distance of rows first
        orientation=orientation,
        position=position,
        rescaled=all(rescaled),
    )


def _lacks_its_preamble(path: Path) -> bool:
    """Whether a file begins as a DICOM data set does, with an element of the group 0008 and a plausible length."""
    with path.open("rb") as file:
        start = file.read(8)
    plain_length = int.from_bytes(start[4:8], "little") < 1024
    return len(start) == 8 and start[:2] == b"\x08\x00" and (start[4:6].isalpha() or plain_length)


def _numbers(path: Path, data: Dataset, tag: str, count: int) -> list[float]:
    """The `count` numbers of a tag; [] where it is missing or empty."""
    if tag not in data or data[tag].VM == 0:
        return []
    numbers: list[float] = np.ravel(np.array(data[tag].value, dtype=np.float64)).tolist()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise UserError(f"{path} holds the {tag} {numbers}, needed: {count}, finite; export the file again.")
    return numbers


def read_pixels(one: Slice) -> Array:
    """Rescaled grey values (rows, columns): int16 where that is exact, else float32."""
    refuse_sealed(one.path)
    try:
        data = dcmread(one.path)
        syntax = data.file_meta.TransferSyntaxUID
        if syntax.is_encapsulated and not get_decoder(syntax).is_available:
            raise UserError(
                f"{one.path} is compressed ({syntax.name}, {syntax}) and no decoder for it is installed: {_DECODERS}; "
                "or decompress the series first, with gdcmconv --raw or dcmdjpeg."
            )
        bits = int(data.get("BitsAllocated") or 1)
        claimed = int(data.Rows) * int(data.Columns) * bits // 8
        check_claim(one.path, claimed, compressed=bool(syntax.is_compressed))
        values = data.pixel_array.astype(np.float64)  # without overlays in the bits that are not stored
        (slope,) = _numbers(one.path, data, "RescaleSlope", 1) or [1.0]
        (intercept,) = _numbers(one.path, data, "RescaleIntercept", 1) or [0.0]
        values = values * slope + intercept
    except _UNREADABLE as error:
        raise _damaged(one.path, error) from error
    whole = values.clip(_INT16.min, _INT16.max).round().astype(np.int16)
    return whole if np.array_equal(whole, values) else values.astype(np.float32)


def _damaged(path: Path, error: object) -> UserError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return UserError(f"{path} cannot be read, it is truncated or damaged ({reason}): copy the file again.")
