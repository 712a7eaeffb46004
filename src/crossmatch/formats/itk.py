"""MetaImage, through SimpleITK (the extra `itk`). GIPL and VTK are not supported, because ITK (2.5.7)
reads truncated files of these formats without an error.

Shapes and affines as in volume.py. ITK places voxels in LPS+, the affine here is RAS+.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossmatch.errors import UserError
from crossmatch.formats.extras import needed
from crossmatch.formats.volume import Array, Grid, Volume, new_volume, places_voxels, spacing_of

NAME = "MetaImage"
ENDINGS = (".mha", ".mhd")
WRITTEN = (".mha",)
PLACED, CHANNELS, MAPS = True, True, True
DAMAGED = (RuntimeError, OSError, EOFError, ValueError)  # SimpleITK raises RuntimeError on files it cannot read

_READER = "MetaImageIO"
_DATA_FILE = re.compile(rb"^[ \t]*ElementDataFile[ \t]*[=:][ \t]*(.*?)\s*$", re.MULTILINE)  # the header's last line
_HEADER_BYTES = 65536  # in which it ends
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def companions(path: Path) -> list[str]:
    """The name of the file that holds the voxels of another, as its header gives it."""
    with path.open("rb") as file:
        found = _DATA_FILE.search(file.read(_HEADER_BYTES))
    if found is None:
        raise ValueError("its header does not say in which file its voxels lie")
    name = os.fsdecode(found[1])
    return [] if name.lower() == "local" else [name]


def read(path: Path) -> list[Volume]:
    """The channels of a file: integers as stored, everything else as float32.

    MetaImage always names a spacing; 1 mm along every axis may mean that nobody knew it.

    Raises:
        UserError: SimpleITK is missing, not 2D or 3D, no real numbers, an affine that places voxels nowhere, voxels in
            several files or in another folder.
    """
    itk = needed("SimpleITK", "itk", path)
    grid = read_grid(path)
    image = itk.ReadImage(str(path), imageIO=_READER)
    voxels = itk.GetArrayFromImage(image)  # (z, y, x), or (z, y, x, channel)
    channels = np.moveaxis(voxels, -1, 0) if grid.channels > 1 else voxels[np.newaxis]
    stored = voxels.dtype if voxels.dtype.kind in "iu" else np.dtype(np.float32)
    return [new_volume(one.T.reshape(grid.shape).astype(stored, copy=False), grid.affine) for one in channels]


def read_grid(path: Path) -> Grid:
    """Read the header alone. Errors as in `read`."""
    itk = needed("SimpleITK", "itk", path)
    if not path.is_file():
        raise FileNotFoundError(path)
    reader = itk.ImageFileReader()
    reader.SetImageIO(_READER)  # by name, as it would not know an ending in capitals
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    for name in companions(path):
        if name.startswith("LIST") or "%" in name:
            raise UserError(f"{path} keeps its voxels in several files ({name}): save it as .mha, which is one file.")
        if Path(name).name != name:
            raise UserError(
                f"{path} keeps its voxels in {name}: put that file beside it, and name it without a folder."
            )
    shape = tuple(int(n) for n in reader.GetSize())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3):
        raise UserError(f"{path} has {len(shape)} axes {shape}, only 2D and 3D are used: export one scan a file.")
    if "complex" in itk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise UserError(f"{path} holds complex numbers: store one number a voxel.")
    affine = _affine(path, reader, len(shape))
    return Grid(shape, affine, spacing_of(affine, len(shape)), int(reader.GetNumberOfComponents()))


def write(path: Path, voxels: Array, like: Volume, labels: Mapping[str, int]) -> None:
    """Write (*S), or (*S, K) for K maps as channels, compressed, in the type of `voxels`."""
    itk = needed("SimpleITK", "itk", path)
    ndim = len(like.shape)
    placed = _LPS_TO_RAS @ like.affine
    if ndim == 2 and placed[2, [0, 1, 3]].any():
        raise UserError(f"{path.name} cannot hold a plane in space: MetaImage of two axes has two; choose nii.gz.")
    ordered = voxels.T if voxels.ndim == ndim else np.moveaxis(voxels.T, 0, -1)  # (z, y, x), or (z, y, x, K)
    image = itk.GetImageFromArray(np.ascontiguousarray(ordered), isVector=voxels.ndim > ndim)
    steps = spacing_of(like.affine, ndim)
    image.SetSpacing(steps)
    image.SetOrigin(placed[:ndim, 3].tolist())
    image.SetDirection((placed[:ndim, :ndim] / steps).ravel().tolist())
    lower = path.with_suffix(".mha")
    itk.WriteImage(image, str(lower), useCompression=True)
    lower.rename(path)


def _affine(path: Path, reader: Any, ndim: int) -> Array:
    """(4, 4), RAS+ millimetres."""
    steps = np.array(reader.GetSpacing())[:ndim]
    own = len(reader.GetSize())  # axes of the file, of which those beyond the third have one voxel
    affine = np.eye(4)
    affine[:ndim, :ndim] = np.reshape(reader.GetDirection(), (own, own))[:ndim, :ndim] * steps
    affine[:ndim, 3] = np.array(reader.GetOrigin())[:ndim]
    if not places_voxels(affine):
        raise UserError(f"{path} has an affine that places voxels nowhere ({affine.tolist()}): repair its header.")
    return _LPS_TO_RAS @ affine
