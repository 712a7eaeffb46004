"""Labels from files: as images, but for formats that name their segments, or whose pictures have palettes.

Shapes as in volume.py.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from crossmatch.formats import pictures
from crossmatch.formats.registry import ending, format_of, opening, read, read_grid
from crossmatch.formats.volume import Grid, HasGrid, Volume

Reader = Callable[[Path, Mapping[str, int]], Volume]
_READERS: dict[str, Reader] = dict.fromkeys(pictures.ENDINGS, pictures.read_label)


def read_label(
    path: str | os.PathLike[str], image: Grid | Volume | None = None, labels: Mapping[str, int] | None = None
) -> Volume:
    """Read the label values of one file.

    Args:
        path: the file.
        image: the scan that it belongs to. A picture has no place of its own and lies where a scan of its size lies.
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
            label = reader(path, labels or {})
    if image is None:
        return label
    grid = _placed(path, label, image)
    return label if grid is None else replace(label, affine=grid.affine, spacing_mm=grid.spacing_mm)


def read_label_grid(path: str | os.PathLike[str], image: Grid) -> Grid:
    """The grid on which `read_label` puts the label of an image, without reading its voxels."""
    found = read_grid(path)
    return _placed(Path(path), found, image) or found


def _placed(path: Path, label: HasGrid, image: Grid | Volume) -> Grid | None:
    """Where a label lies that does not say it itself; None where it does, or does not fit."""
    if format_of(path).PLACED or tuple(label.shape) != tuple(image.shape):
        return None
    return Grid(tuple(image.shape), image.affine, image.spacing_mm)
