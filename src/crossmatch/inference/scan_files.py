"""The files of one scan: its channels are read, its mask and maps are written. Each is called by a thread of its own.

Shapes: *S a scan as stored, K classes.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import SegmentCode, Volume
from crossmatch.inference.inputs import Scan
from crossmatch.inference.predictor import check_voxels
from crossmatch.inference.sources import Files, Sources


def read_scan(scan: Scan, sources: Sources) -> list[Volume] | UserError | None:
    """A scan's channels; None where an earlier call made its files; an error where they can give no mask."""
    if scan.name in sources.kept:
        return None
    try:
        volumes = read_image(scan.channels)
    except UserError as error:
        return error
    sources.read(scan.name, scan.files)
    return volumes


def read_image(paths: Iterable[Path]) -> list[Volume]:
    """The channels in the files of a scan; a UserError where their voxels can give no mask."""
    volumes = []
    for path in paths:
        for volume in formats.read_channels([path]):
            check_voxels(volume.voxels, str(path))
            volumes.append(volume)
    return volumes


def write_files(
    sources: Sources,
    name: str,
    made: Files,
    labels: NDArray[np.uint8],
    maps: NDArray[np.float32] | None,
    like: Volume,
    values: Mapping[str, int],
    codes: Mapping[str, SegmentCode],
) -> None:
    """Write a scan's files; the mask last, so that it is there only when all of them are.

    A mask that is there already stays, as it holds the same labels.

    Args:
        sources: is told of the mask; name: of the scan.
        made: the file of the mask, then those of its maps, each in a folder of its name.
        maps: (M, *S), as `Predictor` gives them.
        like: the scan's grid; values: class -> value; codes: of the classes, for DICOM segmentations.
    """
    if maps is not None:
        for path in made[1:]:
            uncertain = path.parent.name == "uncertainty"  # the last of the maps
            formats.write(path, maps[-1] if uncertain else np.moveaxis(maps[: max(values.values()) + 1], 0, -1), like)
    if not made[0].is_file():
        formats.write(made[0], labels, like, values, codes)
    sources.wrote(name, made[0])
