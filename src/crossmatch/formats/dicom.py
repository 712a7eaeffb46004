"""DICOM: one series, a folder with the slices of a scan, in a file each or as frames of one, is one volume.

A folder with one radiograph is a flat image, (column, row), without a place.

Shapes: voxels are (x, y, z) = (column, row, slice). Slices are ordered by their position, not by name or number. DICOM
places voxels in LPS+ (left, posterior, superior; PS3.3, C.7.6.2.1.1); the affine here is RAS+. Grey values are rescaled
(stored * slope + intercept), which gives Hounsfield units in CT.
"""

import os
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.misc import is_dicom

from crossmatch.errors import UserError, listed
from crossmatch.formats.dicom_kind import is_slice, unused_notes
from crossmatch.formats.dicom_slice import ORIENTATION_TOLERANCE, Slice, read_header, read_pixels
from crossmatch.formats.folders import folders_below
from crossmatch.formats.seal import refuse_sealed
from crossmatch.formats.volume import Array, Grid, Volume, new_volume, spacing_of

NAME = "DICOM"
ENDINGS: tuple[str, ...] = ()  # of files: a scan is a folder
WRITTEN: tuple[str, ...] = ()
PLACED, CHANNELS, MAPS = True, False, False
DAMAGED: tuple[type[Exception], ...] = ()  # told file by file

SPACING_TOLERANCE = 0.01  # of the usual step; positions rounded to 0.001 mm vary by 0.2 % of a step of 0.5 mm
_SAME_PLACE_MM = 1e-3  # slices nearer than this have one position
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(folder: Path) -> list[Volume]:
    """The volume of a folder. Errors as in `read_slices` and `read_series`."""
    return [read_series(read_slices(folder))]


def read_grid(folder: Path) -> Grid:
    """The place of the voxels of a folder, from the headers of its files."""
    slices = read_slices(folder)
    if slices[0].flat:
        affine, spacing = _flat_place(slices[0])
        return Grid(slices[0].size, affine, spacing, oriented=False)
    affine = _affine(slices)
    return Grid((*slices[0].size, len(slices)), affine, spacing_of(affine))


def write(path: Path, voxels: Array, like: Volume, labels: Mapping[str, int]) -> None:
    """Series are only read."""
    raise NotImplementedError


def find_all_series(folder: Path, other: Callable[[str], bool]) -> list[Path]:
    """Every folder that holds DICOM files: `folder` itself and those below it, as `folders_below` gives them.

    `other` tells by its name whether a file is of another format and need not be opened.
    """
    return [
        place
        for place, _ in folders_below(folder)
        if any(is_dicom(path) for path in _candidates(place) if not other(path.name))
    ]


def not_slices(folder: Path) -> list[Path]:
    """The visible files of a series' folder that hold no slice: tables, contours, reports."""
    return [path for path in _candidates(folder) if not is_slice(path)]


def find_series(folder: str | os.PathLike[str]) -> Path:
    """The one folder with DICOM files: `folder` itself, or one up to two levels below it (study, series).

    Raises:
        UserError: none, or several.
    """
    folder = Path(folder)
    below = [folder, *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))]
    found = [place for place in below if place.is_dir() and any(is_dicom(path) for path in _candidates(place))]
    if not found:
        raise UserError(f"{folder} holds no DICOM file, nor do the two levels of folders below it: copy it there.")
    if len(found) > 1:
        names = listed(place.relative_to(folder) for place in found)
        raise UserError(f"{folder} holds {len(found)} DICOM series ({names}): keep the one that is meant.")
    return found[0]


def read_series(slices: list[Slice]) -> Volume:
    """Read the pixels of the slices that `read_slices` found.

    Returns:
        Voxels (columns, rows, slices): int16 where all rescaled values are whole numbers in its range, else float32.

    Raises:
        UserError: a compression for which no decoder is installed, truncated pixels, a rescaling that is no number.
    """
    pixels: dict[tuple[Path, int], Array] = {}
    for path, own in groupby(sorted(slices, key=lambda one: one.path), key=lambda one: one.path):
        of_file = list(own)
        pixels |= {(path, one.frame): found for one, found in zip(of_file, read_pixels(of_file), strict=True)}
    if slices[0].flat:
        return Volume(pixels[slices[0].path, 0].T, *_flat_place(slices[0]), tuple(slices), oriented=False)
    voxels = np.stack([pixels[one.path, one.frame] for one in slices])  # float32 as soon as one slice is
    return new_volume(voxels.transpose(2, 1, 0), _affine(slices), tuple(slices))


def _flat_place(one: Slice) -> tuple[Array, tuple[float, ...] | None]:
    """Affine and spacing of a radiograph; the spacing may be unknown."""
    known = bool(one.spacing.min() > 0)
    return np.diag([*(one.spacing if known else (1.0, 1.0)), 1.0, 1.0]), tuple(one.spacing.tolist()) if known else None


def _affine(slices: list[Slice]) -> Array:
    """(4, 4), RAS+ millimetres."""
    first, last = slices[0], slices[-1]
    affine = np.eye(4)
    affine[:3, :2] = (first.orientation * first.spacing[:, None]).T
    affine[:3, 2] = first.normal * ((last.position - first.position) @ first.normal / (len(slices) - 1))
    affine[:3, 3] = first.position
    return _LPS_TO_RAS @ affine


def read_slices(folder: str | os.PathLike[str]) -> list[Slice]:
    """Find and check the slices of the one series in a folder, sorted along their normal; no pixel is read.

    Files that are no DICOM images (a licence, DICOMDIR) are ignored; `not_slices` names them.

    Raises:
        UserError: no DICOM file, a localiser, frames without a place, broken tags, two series, one slice only, slices
            of different size, spacing or orientation, two at one position, missing ones, uneven steps, a tilted gantry.
    """
    folder = Path(folder)
    slices = [one for path in _candidates(folder) for one in read_header(path)]
    if not slices:
        told = "; ".join(unused_notes(folder, [path.name for path in _candidates(folder)]))
        way_out = f"name the folder in which the files of the series lie{told and f' ({told})'}"
        raise UserError(f"{folder} holds no DICOM image: {way_out}.")
    if any(one.flat for one in slices):
        if len(slices) > 1:
            raise UserError(
                f"{folder} holds {len(slices)} images, radiographs among them ({slices[0].path.name}, ...), and each "
                "of these is a scan: put each file into a folder of its own, named after its case."
            )
        return slices
    series = sorted({one.series for one in slices})
    if len(series) > 1:
        counts = listed((f"{uid}: {sum(one.series == uid for one in slices)} files" for uid in series), "; ")
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
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))  # macOS leaves ._ files
    found = sorted(path for path in visible if path.is_file() and path.name != "DICOMDIR")
    for path in found:
        refuse_sealed(path)
    return found


def _check_alike(slices: list[Slice]) -> None:
    first = slices[0]
    rescaled = [one for one in slices if one.rescaled]
    if rescaled and (others := [one.path for one in slices if not one.rescaled]):
        raise UserError(
            f"{others[0]} lacks RescaleSlope and RescaleIntercept, which {rescaled[0].path.name} has: its grey values "
            f"would be of another scale ({len(others)} of {len(slices)} slices); export the series again."
        )
    for one in slices[1:]:
        values: list[tuple[str, Any, Any, float]] = [
            ("a size (columns, rows)", first.size, one.size, 0),
            ("a PixelSpacing (x, y)", first.spacing, one.spacing, ORIENTATION_TOLERANCE * float(first.spacing.min())),
            ("an orientation", first.orientation, one.orientation, ORIENTATION_TOLERANCE),
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
