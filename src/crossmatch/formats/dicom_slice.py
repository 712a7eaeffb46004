"""The slices of one DICOM file, usually one: where its slice lies, and its grey values.

Shapes: pixels are (rows, columns). Lengths are in millimetres, directions in DICOM's LPS+ (left, posterior, superior).
"""

import struct
from collections.abc import Sequence
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
UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError, OverflowError),
    *(MemoryError, struct.error, BytesLengthException),  # a length of 4 GB in a small file
)
_INT16 = np.iinfo(np.int16)
_RADIOGRAPHS = {"CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"}  # modalities of flat images, which have no place
_PHYSICAL = {"CT", "PT"}  # modalities whose rescaled values have a unit, however they are to be shown
# Tag: the sequence in which files of several frames keep it, for all frames or for each (PS3.3, C.7.6.16).
_GROUPS = {
    "PixelSpacing": "PixelMeasuresSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice of a series, read without its pixels."""

    path: Path
    frame: int  # which of its file's frames it is, from 0
    series: str  # SeriesInstanceUID
    number: int | None  # InstanceNumber
    size: tuple[int, int]  # (columns, rows)
    spacing: Array  # (2,) between columns, between rows
    orientation: Array  # (2, 3) unit vectors: where the column index grows, where the row index grows
    position: Array  # (3,) centre of the pixel in the first column and row
    rescaled: bool  # whether it says how stored values become grey values
    flat: bool = False  # whether it is a radiograph, an image without a place; its spacing is 0 where it is unknown

    @property
    def normal(self) -> Array:
        """Unit vector (3,) along which slices follow each other."""
        return np.cross(*self.orientation)


def read_header(path: Path) -> list[Slice]:
    """Read the geometry of a file's slices without their pixels; none for a file that is no DICOM image."""
    if not is_dicom(path):
        if _lacks_its_preamble(path):
            raise UserError(
                f"{path} seems to be a DICOM file that lacks its first 132 bytes: export it again, or move it out of "
                "the folder if it belongs to no slice."
            )
        if path.suffix.lower() == ".dcm":
            raise _damaged(path, "it does not begin as a DICOM file does")
        return []
    try:
        data = dcmread(path, stop_before_pixels=True)
        kind = data.file_meta.get("MediaStorageSOPClassUID")
        if "Rows" not in data and "Image Storage" not in getattr(kind, "name", ""):  # a report, a directory, ...
            return []
        return _slices(path, data)
    except UNREADABLE as error:
        raise _damaged(path, error) from error


def _slices(path: Path, data: Dataset) -> list[Slice]:
    if "LOCALIZER" in (data.get("ImageType") or ()):
        raise UserError(f"{path} is a localiser, no slice of the scan (ImageType): move it out of the folder.")
    if data.get("Modality") == "SEG":
        raise UserError(f"{path} is a segmentation, no image: move it out of the folder; as a label, name it .seg.dcm.")
    count = int(data.get("NumberOfFrames") or 1)
    if count > 1 and len(data.get("PerFrameFunctionalGroupsSequence") or ()) != count:
        raise UserError(
            f"{path} is a multi-frame file that does not say where each frame lies: convert it to NIfTI with a program "
            "that knows its maker."
        )
    if int(data.get("SamplesPerPixel") or 1) != 1:
        raise UserError(f"{path} holds colours, only grey values are read: move it out of the folder.")
    if data.get("Modality") in _RADIOGRAPHS and count == 1:
        return [_radiograph(path, data)]
    return [_slice(path, data, frame) for frame in range(count)]


def _radiograph(path: Path, data: Dataset) -> Slice:
    """An X-ray image: of its pixels' distances the one that was measured, else the detector's."""
    if missing := [tag for tag in ("SeriesInstanceUID", "Rows", "Columns") if not data.get(tag)]:
        raise UserError(f"{path} lacks {', '.join(missing)}: copy or export the file again.")
    stated = (_numbers(path, data, tag, 2) for tag in ("PixelSpacing", "ImagerPixelSpacing"))
    spacing = np.array(next((found for found in stated if found and min(found) > 0), [0.0, 0.0]))
    return Slice(
        path=path,
        frame=0,
        series=str(data.SeriesInstanceUID),
        number=None,
        size=(int(data.Columns), int(data.Rows)),
        spacing=spacing[::-1],
        orientation=np.eye(2, 3),
        position=np.zeros(3),
        rescaled=False,
        flat=True,
    )


def _slice(path: Path, data: Dataset, frame: int) -> Slice:
    numbers = {tag: _numbers(path, _holder(data, frame, tag), tag, count) for tag, count in _NEEDED.items()}
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
    rescaling = ("RescaleSlope", "RescaleIntercept")
    rescaled = [bool(_numbers(path, _holder(data, frame, tag), tag, 1)) for tag in rescaling]
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
        frame=frame,
        series=str(data.SeriesInstanceUID),
        number=None if number is None else int(number),
        size=(int(data.Columns), int(data.Rows)),
        spacing=spacing[::-1],  # PixelSpacing gives the distance of rows first
        orientation=orientation,
        position=position,
        rescaled=all(rescaled),
    )


def _holder(data: Dataset, frame: int, tag: str) -> Dataset:
    """The part of a file that has a tag of one frame: its own group, that of all frames, or the file itself."""
    each, shared = (data.get(f"{name}FunctionalGroupsSequence") or () for name in ("PerFrame", "Shared"))
    for group in (*each[frame : frame + 1], *shared[:1]):
        found = group.get(_GROUPS[tag]) or ()
        if found and tag in found[0]:
            holder: Dataset = found[0]
            return holder
    return data


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


def read_pixels(slices: Sequence[Slice]) -> list[Array]:
    """Rescaled grey values (rows, columns) of slices of one file: int16 where that is exact, else float32.

    Where a high value is to be shown dark (MONOCHROME1), values are turned round within the bits that are stored, so
    that bright is high as in other files; not in CT and PET, whose values have a unit.
    """
    path = slices[0].path
    refuse_sealed(path)
    try:
        data = dcmread(path)
        syntax = data.file_meta.TransferSyntaxUID
        if syntax.is_encapsulated and not get_decoder(syntax).is_available:
            raise UserError(
                f"{path} is compressed ({syntax.name}, {syntax}) and no decoder for it is installed: pip install "
                "'crossmatch[dicom]'; or decompress the series first, with gdcmconv --raw or dcmdjpeg."
            )
        size = (int(data.Rows), int(data.Columns))
        claimed = int(data.get("NumberOfFrames") or 1) * size[0] * size[1] * int(data.get("BitsAllocated") or 1) // 8
        check_claim(path, claimed, compressed=bool(syntax.is_compressed))
        frames = data.pixel_array.reshape(-1, *size)  # without overlays in the bits that are not stored
        return [_rescaled(path, data, frames[one.frame], one.frame) for one in slices]
    except UNREADABLE as error:
        raise _damaged(path, error) from error


def _rescaled(path: Path, data: Dataset, stored: Array, frame: int) -> Array:
    values = stored.astype(np.float64)
    if data.get("PhotometricInterpretation") == "MONOCHROME1" and data.get("Modality") not in _PHYSICAL:
        values = (-1 if data.PixelRepresentation else 2**data.BitsStored - 1) - values
    slope, intercept = (
        _numbers(path, _holder(data, frame, tag), tag, 1) or [usual]
        for tag, usual in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    values = values * slope[0] + intercept[0]
    whole = values.clip(_INT16.min, _INT16.max).round().astype(np.int16)
    return whole if np.array_equal(whole, values) else values.astype(np.float32)


def _damaged(path: Path, error: object) -> UserError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return UserError(f"{path} cannot be read, it is truncated or damaged ({reason}): copy the file again.")
