"""NIfTI, single files and pairs of .hdr and .img: the affine is that of the sform, else of the qform.

Format: nifti.nimh.nih.gov/nifti-1. Shapes and affines as in volume.py.
"""

import copy
import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from crossmatch.errors import UserError
from crossmatch.formats.nifti_header import doubt_of_forms, in_millimetres, in_unit, refuse_header, stated_spacing_mm
from crossmatch.formats.sizes import check_claim, read_to_end
from crossmatch.formats.volume import Array, Grid, Volume, places_voxels

NAME = "NIfTI"
ENDINGS = (".nii.gz", ".nii", ".hdr")
WRITTEN = (".nii.gz", ".nii")
PLACED, CHANNELS, MAPS = True, False, True
DAMAGED = (
    *(OSError, EOFError, ValueError, OverflowError, KeyError),
    *(zlib.error, gzip.BadGzipFile, ImageFileError, HeaderDataError),
)


def companions(path: Path) -> list[str]:
    """The names that the file with the voxels of another can have."""
    return [path.with_suffix(each).name for each in (".img", ".img.gz")] if path.suffix.lower() == ".hdr" else []


def read(path: Path) -> list[Volume]:
    """Read a file with its voxels: integers as stored, everything else as float32.

    Affine and spacing are converted to millimetres. What is read as which spacing: see `nifti_header`.

    Raises:
        UserError: of an older kind (Analyze), a pair without .img, voxels that are no single numbers, not 2D or 3D, an
            affine that places voxels nowhere.
    """
    refuse_header(path)
    image = _open(path)
    shape = _spatial_shape(path, image.header)
    return [_volume(path, image, _voxels(image).reshape(shape, order="F"))]


def read_stack(path: Path) -> list[Volume]:
    """Read the channels along the fourth axis of a file. Errors as in `read`, which is used where it has no such axis.

    Memory: all channels at once.
    """
    refuse_header(path)
    image = _open(path)
    if len(image.shape) != 4 or image.shape[-1] == 1:
        return read(path)
    voxels = _voxels(image)
    return [_volume(path, image, voxels[..., k]) for k in range(image.shape[-1])]


def _voxels(image: Any) -> Array:
    """The voxels of an image, all axes: integers as stored, everything else as float32."""
    if not _compressed(image):
        voxels = _stored(image, image.dataobj)
    else:
        with gzip.open(_with_voxels(image)) as stream:
            proxy = image.dataobj
            form = (proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter)
            voxels = _stored(image, ArrayProxy(stream, form))  # type: ignore[no-untyped-call]
            read_to_end(stream)  # the checksum stands there
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def _volume(path: Path, image: Any, voxels: Array) -> Volume:
    """Voxels (*S) with the place that an image says."""
    shape = voxels.shape
    header = image.header.copy()
    if header.get_data_shape() != shape:  # it forgets the zooms of further axes, which the qform of a 2D file uses
        header.set_data_shape(shape)
    spacing = stated_spacing_mm(path, header)
    return Volume(voxels, _affine(path, image), spacing, header, _oriented(header), doubt_of_forms(header))


def read_grid(path: Path) -> Grid:
    """Read the header alone. Errors as in `read`."""
    refuse_header(path)
    image = _open(path)
    shape = _spatial_shape(path, image.header)
    header = image.header.copy()
    header.set_data_shape(shape)
    affine, spacing = _affine(path, image), stated_spacing_mm(path, header)
    return Grid(shape, affine, spacing, oriented=_oriented(header), doubt=doubt_of_forms(header))


def write(path: Path, voxels: Array, like: Volume, labels: Mapping[str, int]) -> None:
    """Write (*S), or (*S, K) for K maps, in the type of `voxels`, unscaled.

    Affine, units and the codes of sform and qform are those of `like`. A volume that was not read from NIfTI has its
    affine in both forms, as scanner coordinates.
    """
    header: Any = like.native if isinstance(like.native, nib.Nifti1Header) else None
    kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    if header is None:
        image = kind(voxels, like.affine, dtype=voxels.dtype)
        image.header.set_xyzt_units("unknown" if like.spacing_mm is None else "mm")
        if like.spacing_mm is not None:
            image.set_sform(like.affine, code="scanner")
            image.set_qform(like.affine, code="scanner")
    else:
        header = copy.deepcopy(header) if header.is_single else _single(header, kind.header_class)
        header.set_data_dtype(voxels.dtype)
        header["cal_min"] = header["cal_max"] = 0  # the display window of the scan means nothing for other voxels
        image = kind(voxels, in_unit(like.affine, header), header)
    image.header.set_slope_inter(1, 0)
    nib.save(image, path)


def _single(pair: Any, single: Any) -> Any:
    """The header of a pair of files as that of a single one."""
    header = single(pair.binaryblock, pair.endianness, check=False)
    header["magic"], header["vox_offset"] = single()["magic"], 0
    return header


def _open(path: Path) -> Any:  # Any: nibabel is untyped
    """The nibabel image of a file, its voxels not yet read.

    Raises:
        ValueError: the header claims more voxels than the file can hold.
    """
    voxels = [name for name in companions(path) if path.with_name(name).exists()]
    if path.suffix.lower() == ".hdr" and path.is_file() and not voxels:
        raise UserError(f"{path} keeps its voxels in {path.stem}.img, which does not exist: copy both.")
    image: Any = _loaded(path)
    if not isinstance(image, nib.Nifti1Pair):
        raise UserError(
            f"{path} is {type(image).__name__}, not NIfTI: of such a file left and right are not known for certain; "
            "convert it to .nii.gz with a program that knows where it comes from."
        )
    proxy: Any = image.dataobj
    claimed = int(proxy.offset) + math.prod(int(n) for n in proxy.shape) * proxy.dtype.itemsize
    check_claim(_with_voxels(image), claimed, _compressed(image))
    return image


def _loaded(path: Path) -> Any:
    """As `nib.load`, which looks for a.nii.gz where the file is named a.Nii.Gz."""
    ending = "".join(path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:])
    if ending in (ending.lower(), ending.upper()) or ending.lower() == ".hdr":
        return nib.load(path)
    kinds: Any = nib.Nifti1Image, nib.Nifti2Image
    try:
        return kinds[0].from_file_map(kinds[0].make_file_map({"image": str(path)}))
    except (ImageFileError, HeaderDataError):
        return kinds[1].from_file_map(kinds[1].make_file_map({"image": str(path)}))


def _with_voxels(image: Any) -> Path:
    """The file in which the voxels lie: the image's own, or the second of a pair."""
    return Path(image.file_map["image"].filename)


def _compressed(image: Any) -> bool:
    return _with_voxels(image).name.lower().endswith(".gz")


def _stored(image: Any, proxy: Any) -> Array:
    """The voxels of an image: integers as stored where they are not scaled, else float32."""
    plain = proxy.slope == 1 and proxy.inter == 0
    if plain and np.dtype(image.header.get_data_dtype()).kind in "iu":
        return np.asarray(proxy)
    return np.asarray(proxy, dtype=np.float32)


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
    affine = in_millimetres(np.array(image.affine, dtype=np.float64), image.header)
    if not places_voxels(affine):
        raise UserError(f"{path} has an affine that places voxels nowhere ({affine.tolist()}): repair its header.")
    return affine


def _oriented(header: Any) -> bool:
    """Whether sform or qform is in use; else nibabel takes axes that run to the left, front and top."""
    return bool(header["sform_code"] > 0 or header["qform_code"] > 0)
