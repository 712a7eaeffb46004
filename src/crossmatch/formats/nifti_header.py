"""Fields of a NIfTI header whose values cannot be right: they are refused by name, before a voxel is read.

nibabel repairs some of them in silence. For others it reports a damaged file, although another copy would not help.
"""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError

from crossmatch.errors import UserError
from crossmatch.formats.volume import Array

_KINDS: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}  # by the size that a header states
_SINGLE = {b"n+1": 352, b"n+2": 544}  # magic of a single file: the first byte at which its voxels can begin
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # by the code of space in xyzt_units; 0: unknown
_ALONG = 0.7  # least cosine between directions that count as one: 45 degrees
_UNKNOWN, _SPACE = 0, 7  # code; bits of xyzt_units, whose others are of time


def refuse_header(path: Path) -> None:
    """Raise UserError where a header contradicts itself, or holds values that cannot be right.

    A file that has no NIfTI header passes: what it is nibabel says.
    """
    header = _raw(path)
    if header is None:
        return
    offset, first = float(header["vox_offset"]), _SINGLE.get(bytes(header["magic"].item())[:3])
    if first is not None and not offset >= first:
        raise _repair(path, f"lets its voxels begin at byte {offset:g}, inside its header, which takes {first}")
    slope, intercept = (float(header[field]) for field in ("scl_slope", "scl_inter"))
    if np.isfinite(slope) and slope != 0 and not np.isfinite(intercept):
        raise _repair(path, f"scales its voxels by {slope:g} and adds {intercept:g} (scl_inter)")
    placed_by_sform = header["sform_code"] > 0
    axes = min(3, int(header["dim"][0]))
    zooms = header["pixdim"][1 : 1 + axes].tolist()
    if not placed_by_sform and not all(np.isfinite(zoom) and zoom != 0 for zoom in zooms):
        raise _repair(path, f"has a voxel size of {_row(zooms)} (pixdim), and no sform that knows it")
    quaternion = np.array([header[f"quatern_{letter}"] for letter in "bcd"], dtype=np.float64)
    if not placed_by_sform and header["qform_code"] > 0 and not quaternion @ quaternion <= 1 + 1e-6:
        raise _repair(path, f"has a quaternion that is none, {_row(quaternion.tolist())} is longer than 1")


def stated_spacing_mm(path: Path, header: Any) -> tuple[float, ...] | None:
    """The voxel size that a header states beside its affine; None where it states none.

    Programs write steps of 1 without a unit when nobody told them the size. A unit that NIfTI does not define is none;
    other steps without a unit are taken as millimetres.
    """
    raw = _raw(path)
    zooms = [abs(float(zoom)) for zoom in header.get_zooms()]
    if raw is not None:
        zooms = [abs(float(zoom)) for zoom in raw["pixdim"][1 : 1 + len(zooms)]]
    if unit_code(header) == _UNKNOWN and all(zoom == 1 for zoom in zooms):
        return None
    return tuple(zoom * mm_per_unit(header) for zoom in zooms)


def doubt_of_forms(header: Any) -> str | None:
    """What sform and qform say against each other of a volume, in words; the sform is the one that is used.

    One may place a scan in a room, the other in an atlas or a corrected position, by another code: then it may be
    turned, but never mirrored.
    """
    codes = [int(header["sform_code"]), int(header["qform_code"])]
    if min(codes) <= 0 or len(header.get_data_shape()) != 3:
        return None
    try:
        axes = [np.asarray(form[:3, :3], np.float64) for form in (header.get_sform(), header.get_qform())]
    except (ValueError, HeaderDataError):  # a quaternion that is none, or a negative voxel size
        return None
    if not all(np.isfinite(one).all() and np.linalg.norm(one, axis=0).all() for one in axes):
        return None
    sform, qform = (one / np.linalg.norm(one, axis=0) for one in axes)
    if np.linalg.det(sform) * np.linalg.det(qform) < 0:
        return "its sform and its qform are mirror images of each other; the sform is taken"
    if codes[0] == codes[1] and (sform * qform).sum(0).min() < _ALONG:
        return "its sform and its qform let axes run in other directions; the sform is taken"
    return None


def unit_code(header: Any) -> int:
    """The code of the unit of lengths; 0 where it is unknown or not defined."""
    code = int(header["xyzt_units"]) & _SPACE
    return code if code in _MM_PER_UNIT else _UNKNOWN


def mm_per_unit(header: Any) -> float:
    """Millimetres in the unit of lengths."""
    return _MM_PER_UNIT[unit_code(header)]


def in_millimetres(affine: Array, header: Any) -> Array:
    """An affine (4, 4) in the unit of the header, in millimetres."""
    scale = mm_per_unit(header)
    return affine if scale == 1 else np.diag([scale, scale, scale, 1]) @ affine


def in_unit(affine: Array, header: Any) -> Array:
    """An affine (4, 4) in millimetres, in the unit of the header."""
    scale = mm_per_unit(header)
    return affine if scale == 1 else np.diag([1 / scale, 1 / scale, 1 / scale, 1]) @ affine


def _raw(path: Path) -> Any | None:
    """The header as it is stored, nothing repaired; None where the file has none."""
    with ImageOpener(str(path)) as file:
        content = file.read(max(_KINDS))
    for size, kind in _KINDS.items():
        if len(content) >= size and size in (int.from_bytes(content[:4], order) for order in ("little", "big")):
            return kind(content[:size], check=False)
    return None


def _row(values: list[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)


def _repair(path: Path, what: str) -> UserError:
    return UserError(f"{path} {what}: repair its header, or export the scan again.")
