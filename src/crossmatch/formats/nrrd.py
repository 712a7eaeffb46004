"""NRRD files: read one with its geometry.

Format: teem.sourceforge.net/nrrd/format.html. Shapes: voxels are (x, y, z), the file's own axis order. Affines are
4 x 4, voxel index to world coordinate in millimetres, world axes to the right, front and top of the patient (RAS+).
"""

import os
import zlib
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from numpy.typing import NDArray

from crossmatch.errors import UserError
from crossmatch.formats.nifti import Volume, new_volume

# Sign of each world axis against RAS+, for the spaces that name directions of a patient.
_RAS_SIGNS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_MILLIMETRES = {"mm", ""}
# What pynrrd raises on damaged files; StopIteration is an empty one.
_UNREADABLE = (nrrd.NRRDError, OSError, EOFError, ValueError, LookupError, TypeError, StopIteration, zlib.error)


def read_nrrd(path: str | os.PathLike[str]) -> Volume:
    """Read one 3D NRRD file, its voxels attached or in a data file of their own.

    The affine comes from `space`, `space directions` and `space origin` (none: 0). A file that has `spacings` alone
    gets axes in positive directions; one that has neither gets an unknown spacing.

    Raises:
        UserError: no such file or data file, not NRRD, truncated or damaged, not 3D, no single number a voxel, a
            geometry that places voxels nowhere, in an unknown space or not in millimetres.
    """
    path = Path(path)
    voxels, header = _read(path)
    if voxels.ndim != 3:
        raise UserError(f"{path} has {voxels.ndim} axes {voxels.shape}, 3 are needed: export one scan a file.")
    if voxels.dtype.kind not in "iuf" or 0 in voxels.shape:
        raise UserError(f"{path} ({voxels.dtype}, {voxels.shape}) does not hold one number a voxel: export it again.")
    stored = voxels.dtype.newbyteorder("=") if voxels.dtype.kind in "iu" else np.dtype(np.float32)
    return new_volume(voxels.astype(stored, copy=False), _affine(path, header))


def _read(path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    """Voxels (any rank, the file's axis order) and header fields."""
    try:
        voxels, header = nrrd.read(str(path))
    except FileNotFoundError as error:
        if not path.is_file():
            raise UserError(f"{path} does not exist: check the name.") from error
        raise UserError(f"{path} keeps its voxels in {error.filename}, which does not exist: copy both.") from error
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} cannot be read: it is truncated, damaged or no NRRD file ({reason}); copy it again."
        ) from error
    return voxels, header


def _affine(path: Path, header: dict[str, Any]) -> NDArray[np.float64] | None:
    """(4, 4), RAS+ millimetres; None when the header says nothing about where voxels lie."""
    units = {str(unit).strip().lower() for field in ("space units", "units") for unit in header.get(field, [])}
    if units - _MILLIMETRES:
        raise UserError(f"{path} is measured in {', '.join(sorted(units))}, not in mm: export it in millimetres.")
    affine = np.eye(4)
    if "space directions" in header:
        space = str(header.get("space", "none")).lower()
        if space not in _RAS_SIGNS:
            known = ", ".join(name for name in _RAS_SIGNS if "-" in name)
            raise UserError(f"{path} lies in the space '{space}', known are {known}: export it in one of these.")
        directions = np.asarray(header["space directions"], dtype=np.float64)  # one row an axis of the file
        origin = np.asarray(header.get("space origin", np.zeros(3)), dtype=np.float64)
        if directions.shape != (3, 3) or origin.shape != (3,):
            raise UserError(f"{path} needs 3 space directions and an origin of 3 numbers each: export it again.")
        signs = np.array(_RAS_SIGNS[space], dtype=np.float64)
        affine[:3, :3] = signs[:, None] * directions.T
        affine[:3, 3] = signs * origin
    elif "spacings" in header:
        affine[:3, :3] = np.diag(np.asarray(header["spacings"], dtype=np.float64))
    else:
        return None
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-12:
        raise UserError(
            f"{path} has a geometry that places voxels nowhere ({affine[:3].tolist()}): each axis needs a direction "
            "in space, or a spacing; repair its header or export it again."
        )
    return affine
