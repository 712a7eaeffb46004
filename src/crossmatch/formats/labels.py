"""Labels from files: as images, but for formats that name their segments, or whose pictures have palettes.

Shapes as in volume.py.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from crossmatch.errors import UserError
from crossmatch.formats import dicom, dicom_seg, pictures, slicer
from crossmatch.formats.placement import settled
from crossmatch.formats.registry import ending, format_of, opening, read, read_grid
from crossmatch.formats.segments import Segment
from crossmatch.formats.volume import Array, Grid, HasGrid, Volume, first_voxel

Reader = Callable[[Path, Mapping[str, int]], Volume]
_READERS: dict[str, Reader] = {
    ending: each.read_label for each in (pictures, slicer, dicom_seg) for ending in each.ENDINGS
}
_NAMING: dict[str, Callable[[Path], list[Segment]]] = {
    ending: each.segments for each in (slicer, dicom_seg) for ending in each.ENDINGS
}


def read_label(
    path: str | os.PathLike[str], image: Grid | Volume | None = None, labels: Mapping[str, int] | None = None
) -> Volume:
    """Read the label values of one file.

    Args:
        path: the file.
        image: the scan that it belongs to. A picture has no place of its own and lies where a scan of its size lies. A
            segmentation of 3D Slicer that covers a part of the scan is padded with background.
        labels: name -> value. A file that names its segments gets these values.

    Raises:
        UserError: as `read`; label values that cannot be told, such as those of a mask in JPEG.
    """
    path = Path(path)
    reader = _READERS.get(ending(path))
    if reader is None:
        label = read(path)
    else:
        with opening(path):
            label = settled(path, reader(path, labels or {}))
    if image is None:
        return label
    grid = _placed(path, label, image)
    if grid is None:
        return label
    voxels = label.voxels if label.shape == grid.shape else _padded(label, grid)
    return replace(label, voxels=voxels, affine=grid.affine, spacing_mm=grid.spacing_mm)


def segments_of(path: str | os.PathLike[str]) -> list[Segment]:
    """The names and values of the segments of a label file; none where its format stores no names.

    Raises:
        UserError: a file of such a format that cannot be read.
    """
    path = Path(path)
    reader = _NAMING.get(ending(path))
    if reader is None:
        return []
    with opening(path):
        return reader(path)


def palette_colours(path: str | os.PathLike[str]) -> dict[int, tuple[int, int, int]]:
    """The numbers in a label picture with a palette of colours -> red, green, blue; empty for every other file.

    Raises:
        UserError: a picture that cannot be read.
    """
    path = Path(path)
    if format_of(path) is not pictures:
        return {}
    with opening(path):
        return pictures.palette_colours(path)


def refuse_other_turn(path: str | os.PathLike[str], image: str | os.PathLike[str]) -> None:
    """Refuse two pictures that may lie differently: a camera's note (EXIF) turns the one and not the other.

    Many programs draw on the pixels as they are stored, others on the picture as it is shown, and few of them say so.
    Where the note swaps rows and columns, unequal stored sizes tell that it was the picture as shown.

    Args:
        path: a label, or a further channel; image: what it lies on. Files of other formats pass.

    Raises:
        UserError: unequal notes and equal stored sizes, or a picture that cannot be read.
    """
    turns: list[tuple[Path, int]] = []
    sizes = []
    for file in map(Path, (image, path)):
        if format_of(file) is not pictures:
            return
        shape = read_grid(file).shape
        with opening(file):
            turns.append((file, pictures.noted_turn(file)))
        sizes.append(shape[::-1] if turns[-1][1] in pictures.SWAPPED else shape)
    (one, turn), (other, another) = sorted(turns, key=lambda found: found[1] == 1)
    if turn != another and sizes[0] == sizes[1]:
        raise UserError(
            f"{one} has a note that turns it (EXIF orientation {turn}), and {other} has another or none ({another}), "
            "so how they lie on each other cannot be told: store both upright and without such a note."
        )


def may_be_transposed(path: str | os.PathLike[str], image: str | os.PathLike[str], shape: tuple[int, ...]) -> bool:
    """Whether rows and columns of a mask may be swapped: a square picture on a flat scan whose format names its axes.

    Programs that save one array as both write its first axis as the rows of a picture and as the columns of NIfTI, NRRD
    or MetaImage. In DICOM, rows and columns are those of a picture. Where a scan is not square, a swapped mask does not
    fit.

    Args:
        path: the mask; image: the scan that it lies on; shape: of the scan.
    """
    if format_of(Path(path)) is not pictures or len(shape) != 2 or shape[0] != shape[1]:
        return False
    return format_of(Path(image)) not in (pictures, dicom)


def read_label_grid(path: str | os.PathLike[str], image: Grid | Volume) -> Grid:
    """The grid on which `read_label` puts the label of an image, without reading its voxels."""
    found = read_grid(path)
    return _placed(Path(path), found, image) or found


def _placed(path: Path, label: HasGrid, image: Grid | Volume) -> Grid | None:
    """The image's grid, where a label lies on it that does not say so itself; None for every other label."""
    of_picture = not format_of(path).PLACED and tuple(label.shape) == tuple(image.shape)
    cropped = format_of(path) in (slicer, dicom_seg) and first_voxel(label, image) is not None
    return Grid(tuple(image.shape), image.affine, image.spacing_mm) if of_picture or cropped else None


def _padded(label: Volume, grid: Grid) -> Array:
    """The voxels of a label on a grid that its own is a part of, background around it."""
    start = first_voxel(label, grid)
    assert start is not None
    voxels = np.zeros(grid.shape, label.voxels.dtype)
    voxels[tuple(slice(a, a + n) for a, n in zip(start, label.shape, strict=True))] = label.voxels
    return voxels
