"""Read one DICOM series, a folder of single-frame slices of one scan, as a volume with its geometry.

Shapes: voxels are (x, y, z) = (column, row, slice); slices are ordered by position along their normal, whatever their
names and numbers. DICOM places voxels in LPS+ (left, posterior, superior; PS3.3, C.7.6.2.1.1), the affine here is RAS+
as in NIfTI. Grey values are rescaled (stored * slope + intercept: Hounsfield units in CT).
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.misc import is_dicom
from pydicom.pixels.decoders.base import get_decoder

from crossmatch.errors import UserError
from crossmatch.formats.seal import refuse_sealed
from crossmatch.formats.volume import Array, Volume, new_volume

SPACING_TOLERANCE = 0.01  # of the usual step; ours: positions rounded to 0.001 mm vary by 0.2 % of a step of 0.5 mm
_ORIENTATION_TOLERANCE = 1e-3  # of a unit vector; ours: half a voxel over 512
_SAME_PLACE_MM = 1e-3  # slices nearer than this have one position
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NEEDED = {"PixelSpacing": 2, "ImageOrientationPatient": 6, "ImagePositionPatient": 3}  # tag: numbers in it
_UNREADABLE = (OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, RuntimeError, struct.error)
_INT16 = np.iinfo(np.int16)
_DECODERS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"


@dataclass(frozen=True, eq=False)
class Slice:
    """One file of a series, read without its pixels. Lengths in millimetres, directions in DICOM's LPS+."""

    path: Path
    series: str  # SeriesInstanceUID
    number: int | None  # InstanceNumber
    size: tuple[int, int]  # (columns, rows)
    spacing: Array  # (2,) between columns, between rows
    orientation: Array  # (2, 3) unit vectors: where the column index grows, where the row index grows
    position: Array  # (3,) centre of the pixel in the first column and row

    @property
    def normal(self) -> Array:
        """Unit vector (3,) along which slices follow each other."""
        return np.cross(*self.orientation)


def find_series(folder: str | os.PathLike[str]) -> Path:
    """The one folder that holds DICOM files: `folder` itself or one below it, at most two deep (study, series).

    Raises:
        UserError: none, or several.
    """
    folder = Path(folder)
    below = [folder, *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))]
    found = [place for place in below if place.is_dir() and any(is_dicom(path) for path in _candidates(place))]
    if not found:
        raise UserError(f"{folder} holds no DICOM file, nor do the two levels of folders below it: copy it there.")
    if len(found) > 1:
        names = ", ".join(str(place.relative_to(folder)) for place in found[:5])
        raise UserError(f"{folder} holds {len(found)} DICOM series ({names}): keep the one that is meant.")
    return found[0]


def read_series(slices: list[Slice]) -> Volume:
    """Read the pixels of a series whose slices `read_slices` gave.

    Returns:
        voxels (columns, rows, slices), int16 where all rescaled values are whole numbers that fit, else float32.

    Raises:
        UserError: a compression for which no decoder is installed, truncated pixels, a rescaling that is no number.
    """
    first, last = slices[0], slices[-1]
    affine = np.eye(4)
    affine[:3, :2] = (first.orientation * first.spacing[:, None]).T
    affine[:3, 2] = first.normal * ((last.position - first.position) @ first.normal / (len(slices) - 1))
    affine[:3, 3] = first.position
    voxels = np.stack([_pixels(one) for one in slices])  # float32 as soon as one slice is
    return new_volume(voxels.transpose(2, 1, 0), _LPS_TO_RAS @ affine)


def read_slices(folder: str | os.PathLike[str]) -> list[Slice]:
    """The slices of the one series in a folder, sorted along their normal and checked, without pixels.

    Files that are no DICOM images (a licence, DICOMDIR) are ignored.

    Raises:
        UserError: no DICOM file, a localiser or multi-frame file, broken tags, two series, one slice only, slices of
            different size, spacing or orientation, two at one position, missing ones, uneven steps, a tilted gantry.
    """
    folder = Path(folder)
    slices = [one for path in _candidates(folder) if (one := _header(path)) is not None]
    if not slices:
        raise UserError(f"{folder} holds no DICOM image: name the folder in which the files of the series lie.")
    series = sorted({one.series for one in slices})
    if len(series) > 1:
        counts = "; ".join(f"{uid}: {sum(one.series == uid for one in slices)} files" for uid in series[:3])
        raise UserError(
            f"{folder} holds {len(series)} series mixed ({counts}): move the files of every series but one elsewhere "
            "(SeriesInstanceUID tells them apart)."
        )
    _check_alike(slices)
    normal = slices[0].normal
    slices.sort(key=lambda one: float(one.position @ normal))
    _check_steps(folder, slices)
    return slices


def _candidates(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: name the one in which the files of the series lie.")
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "DICOMDIR")
    for path in found:
        refuse_sealed(path)
    return found


def _header(path: Path) -> Slice | None:
    """What a file says of its geometry; None for a file that is no DICOM image."""
    if not is_dicom(path):
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
    if np.abs(orientation @ orientation.T - np.eye(2)).max() > _ORIENTATION_TOLERANCE or spacing.min() <= 0:
        raise UserError(
            f"{path} has an ImageOrientationPatient or PixelSpacing that is none ({orientation.ravel().tolist()}, "
            f"{spacing.tolist()}): export the file again."
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
    )


def _numbers(path: Path, data: Dataset, tag: str, count: int) -> list[float]:
    """The `count` numbers of a tag; [] where it is missing or empty."""
    if tag not in data or data[tag].VM == 0:
        return []
    numbers: list[float] = np.ravel(np.array(data[tag].value, dtype=np.float64)).tolist()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise UserError(f"{path} holds the {tag} {numbers}, needed: {count}, finite; export the file again.")
    return numbers


def _check_alike(slices: list[Slice]) -> None:
    first = slices[0]
    for one in slices[1:]:
        values: list[tuple[str, Any, Any, float]] = [
            ("a size (columns, rows)", first.size, one.size, 0),
            ("a PixelSpacing (x, y)", first.spacing, one.spacing, _ORIENTATION_TOLERANCE * float(first.spacing.min())),
            ("an orientation", first.orientation, one.orientation, _ORIENTATION_TOLERANCE),
        ]
        for what, expected, found, tolerance in values:
            if np.abs(np.subtract(found, expected)).max() > tolerance:
                raise UserError(
                    f"{one.path} has {what} of {np.ravel(found).tolist()}, {first.path.name} one of "
                    f"{np.ravel(expected).tolist()}: the folder holds more than one scan; keep the slices of one."
                )


def _check_steps(folder: Path, slices: list[Slice]) -> None:
    if len(slices) < 2:
        raise UserError(f"{folder} holds one slice ({slices[0].path.name}); a scan has two or more: copy the others.")
    normal = slices[0].normal
    along = np.array([one.position @ normal for one in slices])
    steps = np.diff(along)
    for before, after, step in zip(slices, slices[1:], steps, strict=False):
        if step < _SAME_PLACE_MM:
            raise UserError(
                f"{after.path} lies where {before.path.name} lies ({before.position.tolist()} mm): keep one of them; "
                "if the folder holds several phases or reconstructions, keep one."
            )
    usual = float(np.median(steps))
    for before, after, step in zip(slices, slices[1:], steps, strict=False):
        if abs(step - usual) > SPACING_TOLERANCE * usual:
            times, lost = step / usual, round(step / usual) - 1
            if lost > 0 and abs(times - lost - 1) <= SPACING_TOLERANCE * times:
                what = f"slices missing between them: {lost}; copy them, or leave the scan out"
            else:
                what = "slices must follow each other evenly: resample the scan first, or leave it out"
            raise UserError(
                f"{folder}: from {before.path.name} to {after.path.name} it is {step:.3f} mm, elsewhere {usual:.3f} mm "
                f"(tolerance {SPACING_TOLERANCE:.0%}); {what}."
            )
    for one in slices:
        moved = one.position - slices[0].position
        sideways = float(np.linalg.norm(moved - normal * (moved @ normal)))
        if sideways > SPACING_TOLERANCE * usual:
            raise UserError(
                f"{one.path} is shifted sideways by {sideways:.3f} mm against {slices[0].path.name} (a tilted gantry): "
                "resample the scan to straight slices first, or leave it out."
            )


def _pixels(one: Slice) -> Array:
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
        values = data.pixel_array.astype(np.float64)
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
