"""NIfTI files: read one with its geometry, write one in the geometry of another, compare two grids.

Shapes: *S is (x, y) or (x, y, z), the file's own axis order. Affines are 4 x 4, voxel index to world coordinate.
"""

import copy
import gzip
import itertools
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from crossmatch.atomic import written_aside
from crossmatch.errors import UserError
from crossmatch.formats.seal import refuse_sealed

Array = np.ndarray[Any, np.dtype[Any]]

ENDINGS = (".nii.gz", ".nii")
_MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error, gzip.BadGzipFile, ImageFileError, HeaderDataError)


class HasGrid(Protocol):
    """Anything that lies on a voxel grid."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis, (*S)."""

    @property
    def affine(self) -> Array:
        """Voxel index to world coordinate, (4, 4)."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a file lie, read from its header alone."""

    shape: tuple[int, ...]  # (*S), 2 or 3 axes
    affine: Array  # (4, 4) float64
    spacing_mm: tuple[float, ...] | None  # one per axis; None when unknown
    dtype: str  # as stored, e.g. "int16"


@dataclass(frozen=True, eq=False)
class Volume:
    """The voxels of one file and where they lie."""

    voxels: Array  # (*S); the stored integer type where the file has no scaling, else float32
    affine: Array  # (4, 4) float64
    spacing_mm: tuple[float, ...] | None  # one per axis; None when unknown
    header: nib.Nifti1Header  # kept, so that a prediction copies geometry, units and qform/sform codes

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis, (*S)."""
        return tuple(self.voxels.shape)


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read one NIfTI file, voxels included.

    Spacing is unknown (None) when the header names no unit and every zoom is 1: that is what programs write which
    were never told. Any unit is turned into millimetres; without one, zooms other than 1 are taken as millimetres.

    Raises:
        UserError: no such file, not NIfTI, truncated or damaged, a voxel type that is no number, not 2D or 3D.
    """
    path = Path(path)
    image = _open(path)
    shape = _spatial_shape(path, image.header)
    plain = image.dataobj.slope == 1 and image.dataobj.inter == 0
    try:
        if plain and np.dtype(image.header.get_data_dtype()).kind in "iu":
            voxels = np.asarray(image.dataobj)
        else:
            voxels = np.asarray(image.dataobj, dtype=np.float32)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    voxels = voxels.reshape(shape, order="F").astype(voxels.dtype.newbyteorder("="), copy=False)
    header = image.header.copy()
    if header.get_data_shape() != shape:  # it forgets the zooms of further axes, which the qform of a 2D file uses
        header.set_data_shape(shape)
    return Volume(voxels, _affine(path, image), _spacing_mm(header), header)


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Read the header of one NIfTI file: shape, affine, spacing and stored type, no voxels. Errors as `read_volume`."""
    path = Path(path)
    image = _open(path)
    shape = _spatial_shape(path, image.header)
    header = image.header.copy()
    header.set_data_shape(shape)
    return Grid(shape, _affine(path, image), _spacing_mm(header), np.dtype(header.get_data_dtype()).name)


def new_volume(voxels: Array, affine: Array | None = None) -> Volume:
    """A volume made here, not read: `affine` (4, 4) in millimetres, or None for an unknown spacing (identity)."""
    known = affine is not None
    affine = np.eye(4) if affine is None else np.asarray(affine, dtype=np.float64)
    kind: Any = nib.Nifti1Image
    image = kind(voxels, affine, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm" if known else "unknown")
    return Volume(voxels, affine, _spacing_mm(image.header), image.header)


def write_volume(path: str | os.PathLike[str], voxels: Array, like: Volume) -> None:
    """Write `voxels` with the affine, units and qform/sform codes of `like`, in the type of `voxels`, unscaled.

    The file appears under its name only when it is complete; missing folders are made.

    Args:
        path: ends in .nii.gz or .nii.
        voxels: (*S), or (*S, K) for K maps on one grid; bool is stored as uint8, float16 as float32.
        like: the volume whose grid the voxels lie on.

    Raises:
        UserError: another ending.
        ValueError: `voxels` is not of the shape of `like`.
    """
    path = Path(path)
    _check_ending(path)
    if voxels.shape[: len(like.shape)] != like.shape or voxels.ndim > len(like.shape) + 1:
        raise ValueError(f"voxels of shape {voxels.shape} do not lie on the grid {like.shape}")
    small: dict[str, Any] = {"bool": np.uint8, "float16": np.float32}  # what NIfTI lacks
    stored = np.dtype(small.get(voxels.dtype.name, voxels.dtype))
    header: Any = copy.deepcopy(like.header)
    header.set_data_dtype(stored)
    header["cal_min"] = header["cal_max"] = 0  # the display window of the image means nothing for other voxels
    kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(voxels.astype(stored, copy=False), like.affine, header)
    image.header.set_slope_inter(1, 0)
    with written_aside(path) as aside:
        nib.save(image, aside)


def same_grid(a: HasGrid, b: HasGrid, tolerance: float = 1e-3) -> bool:
    """Whether two grids are one: equal shapes, and no corner of the volume moves by more than `tolerance` voxels."""
    if tuple(a.shape) != tuple(b.shape):
        return False
    if np.array_equal(a.affine, b.affine):
        return True
    sizes = (*a.shape, 1)[:3]
    corners = np.array([(*corner, 1.0) for corner in itertools.product(*((-0.5, n - 0.5) for n in sizes))]).T
    try:
        moved = np.linalg.solve(a.affine, b.affine @ corners) - corners
    except np.linalg.LinAlgError:
        return False
    return bool(np.abs(moved).max() <= tolerance)


def _check_ending(path: Path) -> None:
    if not path.name.endswith(ENDINGS):
        raise UserError(f"{path} is no NIfTI file by its name: use a file that ends in .nii.gz or .nii.")


def _open(path: Path) -> Any:  # Any: nibabel's headers are untyped
    """The nibabel image of a file, its voxels not yet read."""
    _check_ending(path)
    refuse_sealed(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a NIfTI file: name the file itself.")
    try:
        image = nib.load(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: check the name, or take the case out of the lists.") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read: change its permissions.") from error
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    if not isinstance(image, nib.Nifti1Image):
        raise UserError(f"{path} is {type(image).__name__}, not single-file NIfTI: convert it to .nii.gz.")
    return image


def _damaged(path: Path, error: BaseException) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path} cannot be read: it is truncated, damaged or no NIfTI file ({reason}); copy it again.")


def _spatial_shape(path: Path, header: Any) -> tuple[int, ...]:
    """(*S) of a header: 2 or 3 axes, after further axes of length 1 are dropped."""
    shape = tuple(int(n) for n in header.get_data_shape())
    if np.dtype(header.get_data_dtype()).kind not in "iuf":
        raise UserError(
            f"{path} holds colours or complex numbers ({header.get_data_dtype()}): store one number a voxel, "
            "and one file a channel (_0000, _0001)."
        )
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3):
        raise UserError(
            f"{path} has {len(shape)} axes {shape}, only 2D and 3D are used: split a time series or a multi-channel "
            "file into one file each (channels as _0000, _0001; time points as cases)."
        )
    if 0 in shape:
        raise UserError(f"{path} has no voxels, its shape is {shape}: export it again.")
    return shape


def _affine(path: Path, image: Any) -> Array:
    affine = np.array(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-12:
        raise UserError(f"{path} has an affine that places voxels nowhere ({affine.tolist()}): repair its header.")
    return affine


def _spacing_mm(header: Any) -> tuple[float, ...] | None:
    """Millimetres between voxel centres along each axis, or None when the header does not know them."""
    zooms = [float(zoom) for zoom in header.get_zooms()]
    unit = header.get_xyzt_units()[0]
    if unit == "unknown" and all(zoom == 1 for zoom in zooms):
        return None
    if not all(np.isfinite(zoom) and zoom > 0 for zoom in zooms):
        return None
    return tuple(zoom * _MM_PER_UNIT[unit] for zoom in zooms)
