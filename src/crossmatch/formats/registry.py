"""Reading and writing of scans through the format that claims a file by its ending, or a folder of DICOM files.

A further format is a module with what `Format` asks for, and one entry in `FORMATS`. Everything that holds for all of
them is here: endings in any case of letters, files that are missing or damaged, the seal on test cases, files that
appear whole or not at all. `names` has what is said of names alone, `labels` how labels are read.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from crossmatch.atomic import written_aside
from crossmatch.errors import UserError
from crossmatch.formats import dicom, dicom_seg, itk, nifti, nrrd, pictures, slicer
from crossmatch.formats.codes import SegmentCode
from crossmatch.formats.placement import settled
from crossmatch.formats.seal import refuse_sealed
from crossmatch.formats.volume import Array, Grid, Volume


class Format(Protocol):
    """What a module must have to be a format: one file (or folder) is one scan, 2D or 3D, of one channel or several."""

    @property
    def NAME(self) -> str:
        """As users know it."""

    @property
    def ENDINGS(self) -> tuple[str, ...]:
        """Of the files that are read, in lower case, with the dot."""

    @property
    def WRITTEN(self) -> tuple[str, ...]:
        """Those that can be written, the usual one first; none where masks are written as `DEFAULT_ENDING`."""

    @property
    def PLACED(self) -> bool:
        """Whether files can say where their voxels lie."""

    @property
    def CHANNELS(self) -> bool:
        """Whether one file may hold several channels."""

    @property
    def MAPS(self) -> bool:
        """Whether probabilities can be written: float32, with a further axis."""

    @property
    def DAMAGED(self) -> tuple[type[Exception], ...]:
        """What `read` and `read_grid` raise on files that are truncated, damaged or of another kind."""

    def read(self, path: Path, /) -> list[Volume]:
        """Each channel with its place; a UserError where the file holds no 2D or 3D scan."""

    def read_grid(self, path: Path, /) -> Grid:
        """The place of the voxels and the number of channels, without reading the voxels."""

    def write(self, path: Path, voxels: Array, like: Volume, labels: Mapping[str, int], /) -> None:
        """Write (*S), or (*S, K) for K maps, on the grid of `like`, in the type of `voxels`.

        `labels` names the values, for formats that store names.
        """


FORMATS: tuple[Format, ...] = (nifti, nrrd, slicer, pictures, itk, dicom, dicom_seg)

DEFAULT_ENDING, UNCOMPRESSED_ENDING = nifti.ENDINGS[:2]  # of files that follow no other: imported datasets, phantoms
PICTURE_ENDING, PHOTO_ENDING = pictures.ENDINGS[:2]  # of masks of pictures, and of photographs
BY_ENDING = {ending: each for each in FORMATS for ending in each.ENDINGS}
_LONGEST_FIRST = tuple(sorted(BY_ENDING, key=len, reverse=True))
_NOT_STORED: dict[str, type[np.generic]] = {"bool": np.uint8, "float16": np.float32}  # types that formats lack


def endings() -> tuple[str, ...]:
    """All endings that are read, in lower case."""
    return tuple(BY_ENDING)


def claimed(name: str) -> str | None:
    """The ending by which a format claims a file name, if one does: the longest."""
    lower = name.lower()
    if not lower.endswith(_LONGEST_FIRST):
        return None
    return next((each for each in _LONGEST_FIRST if lower.endswith(each) and len(each) < len(name)), None)


def ending(path: str | os.PathLike[str]) -> str:
    """The ending of a file in lower case, such as ".nii.gz".

    Raises:
        UserError: no format claims the file.
    """
    found = claimed(os.path.basename(path))
    if found is None:
        raise UserError(
            f"{path} is no scan by its name: use a file that ends in {' or '.join(BY_ENDING)}, or for DICOM the folder "
            "of the series."
        )
    return found


def format_of(path: Path) -> Format:
    """The format of a file by its ending; a folder without one is a DICOM series.

    Raises:
        UserError: no format claims it.
    """
    return dicom if claimed(path.name) is None and path.is_dir() else BY_ENDING[ending(path)]


def read(path: str | os.PathLike[str]) -> Volume:
    """Read one file with its voxels.

    Raises:
        UserError: no such file, of no known format, truncated or damaged, no 2D or 3D volume of single numbers, several
            channels, a geometry that places voxels nowhere.
        SealedError: the file of a test case while a network learns.
    """
    first, *others = read_channels([path])
    if others:
        raise UserError(
            f"{path} holds {1 + len(others)} channels, such as colours, and one is needed here: save it in grey, or "
            "each channel as a file of its own."
        )
    return first


def read_channels(paths: Iterable[str | os.PathLike[str]]) -> list[Volume]:
    """Read the channels of a scan from its files, in order: one each, or several from a file in colours.

    Errors as in `read`; the number of channels is not checked.
    """
    found: list[Volume] = []
    for path in map(Path, paths):
        with opening(path) as chosen:
            found += [settled(path, volume) for volume in chosen.read(path)]
    return found


def read_stack(path: str | os.PathLike[str]) -> list[Volume]:
    """Read the channels of a NIfTI file with four axes, the last of which counts them; other files as they are.

    Only who knows that it counts channels, not time points, may read such a file. Errors as in `read`.
    """
    path = Path(path)
    with opening(path) as chosen:
        return nifti.read_stack(path) if chosen is nifti else chosen.read(path)


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Read shape, affine, spacing and number of channels of one file without its voxels. Errors as in `read`."""
    path = Path(path)
    with opening(path) as chosen:
        return settled(path, chosen.read_grid(path))


def write(
    path: str | os.PathLike[str],
    voxels: Array,
    like: Volume,
    labels: Mapping[str, int] | None = None,
    codes: Mapping[str, SegmentCode] | None = None,
) -> None:
    """Write voxels on the grid of another volume, in the format of the ending and the type of the voxels.

    The file appears under its name only when it is complete. Missing folders are made.

    Args:
        path: the new file.
        voxels: (*S), or (*S, K) for K maps on one grid; bool is stored as uint8, float16 as float32.
        like: the volume whose grid the voxels lie on. A file of the format it was read from also keeps what else that
            format says of geometry, such as units.
        labels: name -> value, of a mask, for formats that store names.
        codes: name -> code, of DICOM segmentations, where it is not to be that of a small table.

    Raises:
        UserError: of no known format or one that is only read, values that it cannot hold, or the folder cannot be
            written to.
        ValueError: `voxels` is not of the shape of `like`.
    """
    path = Path(path)
    found = ending(path)
    chosen = BY_ENDING[found]
    if found not in chosen.WRITTEN:
        known = " or ".join(each for one in FORMATS for each in one.WRITTEN)
        raise UserError(f"{path} cannot be written: files that end in {found} are only read, {known} are written.")
    if voxels.shape[: len(like.shape)] != like.shape or voxels.ndim > len(like.shape) + 1:
        raise ValueError(f"voxels of shape {voxels.shape} do not lie on the grid {like.shape}")
    stored = voxels.astype(_NOT_STORED.get(voxels.dtype.name, voxels.dtype), copy=False)
    with written_aside(path) as aside:
        if chosen is dicom_seg:
            dicom_seg.write(aside, stored, like, labels or {}, codes)
        else:
            chosen.write(aside, stored, like, labels or {})


@contextmanager
def opening(path: Path) -> Iterator[Format]:
    """The format of a file that may be opened; what goes wrong while it is read becomes a UserError."""
    chosen = format_of(path)
    refuse_sealed(path)
    if path.is_dir() and chosen is not dicom:
        raise UserError(f"{path} is a folder, not a {chosen.NAME} file: name the file itself.")
    try:
        yield chosen
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: check the name, or take the case out of the lists.") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read: change its permissions.") from error
    except chosen.DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} cannot be read: it is truncated, damaged or no {chosen.NAME} file ({reason}); copy it again."
        ) from error
