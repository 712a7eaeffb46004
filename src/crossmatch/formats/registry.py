"""Reading and writing of scans through the format that claims a file by its ending.

A further format is a module with what `Format` asks for, and one entry in `FORMATS`. Everything that holds for all of
them is here: endings in any case of letters, files that are missing or damaged, the seal on test cases, files that
appear whole or not at all.
"""

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from crossmatch.atomic import written_aside
from crossmatch.errors import UserError
from crossmatch.formats import nifti, nrrd
from crossmatch.formats.seal import refuse_sealed
from crossmatch.formats.volume import Array, Grid, Volume


class Format(Protocol):
    """What a module must have to be a format: one file is one volume, 2D or 3D."""

    @property
    def NAME(self) -> str:
        """As users know it."""

    @property
    def ENDINGS(self) -> tuple[str, ...]:
        """In lower case, with the dot; the first is the usual one."""

    @property
    def DAMAGED(self) -> tuple[type[Exception], ...]:
        """What `read` and `read_grid` raise on files that are truncated, damaged or of another kind."""

    def read(self, path: Path, /) -> Volume:
        """The voxels and their place; a UserError where the file holds no 2D or 3D volume of single numbers."""

    def read_grid(self, path: Path, /) -> Grid:
        """The place of the voxels alone, without reading them."""

    def write(self, path: Path, voxels: Array, like: Volume, /) -> None:
        """Write (*S), or (*S, K) for K maps, on the grid of `like`, in the type of `voxels`."""


FORMATS: tuple[Format, ...] = (nifti, nrrd)

DEFAULT_ENDING = FORMATS[0].ENDINGS[0]  # of files that follow no other: imported datasets, phantoms
_BY_ENDING = {ending: each for each in FORMATS for ending in each.ENDINGS}
_ENDINGS = tuple(_BY_ENDING)
_NOT_STORED: dict[str, type[np.generic]] = {"bool": np.uint8, "float16": np.float32}  # types that formats lack


def endings() -> tuple[str, ...]:
    """All endings that are read, in lower case."""
    return _ENDINGS


def stem(path: str | os.PathLike[str]) -> str | None:
    """The name of a file without its ending; None where no format claims it.

    Accented letters come in one spelling (NFC): some file systems store them decomposed.
    """
    name = os.path.basename(path)
    found = _claimed(name)
    return unicodedata.normalize("NFC", name[: -len(found)]) if found else None


def ending(path: str | os.PathLike[str]) -> str:
    """The ending of a file in lower case, such as ".nii.gz".

    Raises:
        UserError: no format claims the file.
    """
    found = _claimed(os.path.basename(path))
    if found is None:
        raise UserError(f"{path} is no scan by its name: use a file that ends in {' or '.join(_ENDINGS)}.")
    return found


def files_in(folder: Path) -> list[tuple[str, Path]]:
    """(stem, path) of every visible file of a folder that a format claims, sorted by name."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    return [(found, folder / name) for name in names if (found := stem(name)) is not None]


def read(path: str | os.PathLike[str]) -> Volume:
    """Read one file with its voxels.

    Raises:
        UserError: no such file, of no known format, truncated or damaged, no 2D or 3D volume of single numbers, a
            geometry that places voxels nowhere.
        SealedError: the file of a test case while a network learns.
    """
    path = Path(path)
    with _opening(path) as chosen:
        return chosen.read(path)


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Read shape, affine and spacing of one file without its voxels. Errors as in `read`."""
    path = Path(path)
    with _opening(path) as chosen:
        return chosen.read_grid(path)


def write(path: str | os.PathLike[str], voxels: Array, like: Volume) -> None:
    """Write voxels on the grid of another volume, in the format of the ending and the type of the voxels.

    The file appears under its name only when it is complete. Missing folders are made.

    Args:
        path: the new file.
        voxels: (*S), or (*S, K) for K maps on one grid; bool is stored as uint8, float16 as float32.
        like: the volume whose grid the voxels lie on. A file of the format it was read from also keeps what else that
            format says of geometry, such as units.

    Raises:
        UserError: of no known format, or the folder cannot be written to.
        ValueError: `voxels` is not of the shape of `like`.
    """
    path = Path(path)
    chosen = _BY_ENDING[ending(path)]
    if voxels.shape[: len(like.shape)] != like.shape or voxels.ndim > len(like.shape) + 1:
        raise ValueError(f"voxels of shape {voxels.shape} do not lie on the grid {like.shape}")
    stored = voxels.astype(_NOT_STORED.get(voxels.dtype.name, voxels.dtype), copy=False)
    with written_aside(path) as aside:
        chosen.write(aside, stored, like)


def _claimed(name: str) -> str | None:
    """The ending by which a format claims a file name, if one does."""
    lower = name.lower()
    if not lower.endswith(_ENDINGS):
        return None
    return next((each for each in _ENDINGS if lower.endswith(each) and len(each) < len(name)), None)


@contextmanager
def _opening(path: Path) -> Iterator[Format]:
    """The format of a file that may be opened; what goes wrong while it is read becomes a UserError."""
    chosen = _BY_ENDING[ending(path)]
    refuse_sealed(path)
    if path.is_dir():
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
