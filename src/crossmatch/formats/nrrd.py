"""NRRD, voxels attached or in a data file of their own.

Format: teem.sourceforge.net/nrrd/format.html. Shapes and affines as in volume.py. Most files place voxels in LPS+
(left, posterior, superior); the affine here is RAS+ whatever space a file names.
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

from crossmatch.errors import UserError
from crossmatch.formats.nrrd_voxels import data_file, read_voxels
from crossmatch.formats.volume import Array, Grid, Volume, new_volume, places_voxels, spacing_of

NAME = "NRRD"
ENDINGS = (".nrrd", ".nhdr")
WRITTEN = (".nrrd",)
PLACED, CHANNELS, MAPS = True, False, True
DAMAGED = (nrrd.NRRDError, OSError, EOFError, ValueError, LookupError, TypeError, StopIteration, zlib.error)

Header = dict[str, Any]
_LPS = "left-posterior-superior"
# Sign of each world axis against RAS+, for the spaces that name directions of a patient.
_RAS_SIGNS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    _LPS: (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_MILLIMETRES = {"mm", ""}
_SPATIAL_KINDS = {"domain", "space", "none", "???"}  # of an axis; others hold colours, vectors or time points
_TYPES = {"float32": "float", "float64": "double"}  # NumPy's names of integer types are NRRD's too
_COMPRESSION = 1  # of 9: labels shrink hardly further, and writing is several times as fast


def companions(path: Path) -> list[str]:
    """The name of the file that holds the voxels of another, as its header gives it."""
    found = data_file(nrrd.read_header(str(path)))
    return [] if found is None else [found]


def read(path: Path) -> list[Volume]:
    """Read a file with its voxels: integers as stored, everything else as float32.

    The affine comes from `space`, `space directions` and `space origin` (0 without one). A file with `spacings` alone
    gets axes in positive directions, and its orientation counts as unknown. A file with neither has an unknown spacing.

    Raises:
        UserError: no data file, not 2D or 3D, no single number a voxel, a geometry that places voxels nowhere, in an
            unknown space or not in millimetres.
    """
    voxels, header = read_voxels(path)
    return [volume_of(path, voxels, header)]


def read_grid(path: Path) -> Grid:
    """Read the header alone. Errors as in `read`."""
    return grid_of(path, nrrd.read_header(str(path)))


def volume_of(path: Path, voxels: Array, header: Header) -> Volume:
    """Voxels with the place that a header gives them. Errors as in `read`."""
    _spatial_shape(path, header)
    if voxels.dtype.kind not in "iuf":
        raise UserError(f"{path} holds {voxels.dtype}, not one number a voxel: export it again.")
    stored = voxels.dtype.newbyteorder("=") if voxels.dtype.kind in "iu" else np.dtype(np.float32)
    volume = new_volume(voxels.astype(stored, copy=False), _affine(path, header), header)
    return replace(volume, oriented="space directions" in header)


def grid_of(path: Path, header: Header) -> Grid:
    """The place that a header gives voxels. Errors as in `read`."""
    shape, affine = _spatial_shape(path, header), _affine(path, header)
    if affine is None:
        return Grid(shape, np.eye(4), None, oriented=False)
    return Grid(shape, affine, spacing_of(affine, len(shape)), oriented="space directions" in header)


def write(path: Path, voxels: Array, like: Volume, labels: Mapping[str, int]) -> None:
    """Write (*S), or (*S, K) for K maps, compressed, in the type of `voxels`.

    A volume that was read from NRRD keeps its space; any other is written in LPS+. No number is rounded: the file that
    is read back has exactly the affine of `like` (of a 2D volume the two axes and the origin).
    """
    maps = voxels.ndim - len(like.shape)
    header: Header = {
        "type": _TYPES.get(voxels.dtype.name, voxels.dtype.name),
        "dimension": voxels.ndim,
        "sizes": _row(voxels.shape),
        "endian": "little",
        "encoding": "gzip",
        "kinds": _row(["domain"] * len(like.shape) + ["list"] * maps),
    }
    if like.spacing_mm is not None or not np.array_equal(like.affine, np.eye(4)):
        space = str(like.native.get("space", "")) if isinstance(like.native, dict) else ""
        flat = len(like.shape) == 2 and not like.affine[2, [0, 1, 3]].any()
        known = space if space.lower() in _RAS_SIGNS else _LPS
        placed = np.array(_RAS_SIGNS[known.lower()])[:, None] * like.affine[:3]
        if flat and known != space:  # ITK reads 2D files only in a space of two axes
            header["space dimension"], placed = 2, placed[:2]
        else:
            header["space"] = known
        steps = [_vector(placed[:, axis]) for axis in range(len(like.shape))]
        header |= {"space directions": _row(steps + ["none"] * maps), "space origin": _vector(placed[:, 3])}
    lines = "".join(f"{field}: {value}\n" for field, value in header.items())
    content = voxels.astype(voxels.dtype.newbyteorder("<"), copy=False).tobytes(order="F")
    with path.open("wb") as file:
        file.write(f"NRRD0004\n{lines}\n".encode())
        file.write(gzip.compress(content, _COMPRESSION, mtime=0))  # no time: one scan gives one file


def _row(values: Any) -> str:
    return " ".join(str(value) for value in values)


def _vector(values: Array) -> str:
    return f"({','.join(repr(float(value) + 0.0) for value in values)})"  # the shortest text that reads back equal


def _spatial_shape(path: Path, header: Header) -> tuple[int, ...]:
    """(*S) of a header: 2 or 3 axes in space."""
    shape = tuple(int(n) for n in header["sizes"])
    if len(shape) not in (2, 3):
        raise UserError(f"{path} has {len(shape)} axes {shape}, only 2D and 3D are used: export one scan a file.")
    kinds = [str(kind).lower() for kind in header.get("kinds", [])]
    if others := [kind for kind in kinds if kind not in _SPATIAL_KINDS]:
        raise UserError(f"{path} has an axis of {others[0]}, not of space: store one number a voxel, one scan a file.")
    if 0 in shape:
        raise UserError(f"{path} has no voxels, its shape is {shape}: export it again.")
    return shape


def _affine(path: Path, header: Header) -> Array | None:
    """(4, 4), RAS+ millimetres; None when the header says nothing about where voxels lie."""
    units = {str(unit).strip().lower() for field in ("space units", "units") for unit in header.get(field, [])}
    if units - _MILLIMETRES:
        raise UserError(f"{path} is measured in {', '.join(sorted(units))}, not in mm: export it in millimetres.")
    ndim, affine = len(header["sizes"]), np.eye(4)
    if "space directions" in header:
        affine[:3] = _in_space(path, header, ndim)
    elif "spacings" in header:
        affine[:ndim, :ndim] = np.diag(np.asarray(header["spacings"], dtype=np.float64))
    else:
        return None
    if not places_voxels(affine):
        raise UserError(
            f"{path} has a geometry that places voxels nowhere ({affine[:3].tolist()}): each axis needs a direction "
            "in space, or a spacing; repair its header or export it again."
        )
    return affine


def _in_space(path: Path, header: Header, ndim: int) -> Array:
    """(3, 4): the steps along each axis and the origin. A 2D scan gets a third axis of 1 mm, at a right angle."""
    directions = np.asarray(header["space directions"], dtype=np.float64)  # one row an axis of the file
    axes = directions.shape[1] if directions.ndim == 2 else 0
    origin = np.asarray(header.get("space origin", np.zeros(axes)), dtype=np.float64)
    if directions.shape not in ((ndim, 3), (ndim, ndim)) or origin.shape != (axes,):
        raise UserError(f"{path} needs {ndim} space directions and an origin of {ndim} numbers each: export it again.")
    space = str(header.get("space", "none")).lower()
    if axes == 2:  # "space dimension: 2", the x-y plane of LPS+, as ITK has it
        directions, origin = np.pad(directions, ((0, 0), (0, 1))), np.pad(origin, (0, 1))
        space = _LPS
    if space not in _RAS_SIGNS:
        known = ", ".join(name for name in _RAS_SIGNS if "-" in name)
        raise UserError(f"{path} lies in the space '{space}', known are {known}: export it in one of these.")
    signs = np.array(_RAS_SIGNS[space], dtype=np.float64)
    placed = np.column_stack([*directions, origin]) * signs[:, None] + 0.0  # no -0.0
    if ndim == 2:
        normal = np.cross(placed[:, 0], placed[:, 1])
        placed = np.insert(placed, 2, normal / np.linalg.norm(normal), axis=1)
    return placed
