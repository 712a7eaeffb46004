"""ACDC as the community's HDF5 files: `image` and `label` of a volume (slice, row, column), or of a single slice.

The arrays are the challenge's voxels (x, y, z), transposed by (2, 1, 0). Grey values are divided by the largest of the
volume, and the spacing is lost. Of training patients there may be slices only: they are stacked again.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from crossmatch.errors import UserError, listed
from crossmatch.formats import Array, Volume, new_volume
from crossmatch.formats.hdf5 import read_pair
from crossmatch.importers.shared import Readable, Tell

CLASSES = 4
_LARGEST_INTEGER = np.iinfo(np.int16).max


def find_hdf5(source: Path, tell: Tell, passed_over: list[Path]) -> dict[str, Readable]:
    """The cases by name; empty where there are no such files.

    A case without a volume file, of which slices are missing, is left out with a remark.

    Args:
        passed_over: gets those slices, and the slices of cases that have a volume file.
    """
    data = source / "data" if (source / "data").is_dir() else source
    volumes = {path.stem: path for path in data.glob("*.h5") if re.fullmatch(r"patient\d{3}_frame\d{2}", path.stem)}
    slices: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in (data / "slices").glob("*.h5"):
        match = re.fullmatch(r"(patient\d{3}_frame\d{2})_slice_(\d+)", path.stem)
        if match and match[1] in volumes:
            passed_over.append(path)
        elif match:
            slices[match[1]][int(match[2])] = path
    cases = {name: Readable(partial(_whole, path), (path,)) for name, path in sorted(volumes.items())}
    for name, parts in sorted(slices.items()):
        gaps = [n for n in range(1, max(parts) + 1) if n not in parts]
        if gaps:
            tell(f"{name} is left out: it has no volume file, and of its slices {listed(gaps)} are missing")
            passed_over += parts.values()
        else:
            files = tuple(parts[n] for n in sorted(parts))
            cases[name] = Readable(partial(_stack, files), files)
    return cases


def as_integers(image: Array) -> Array:
    """The integers k of an image that was made as k / k.max(), if that gives the image exactly; else the image itself.

    Args:
        image: float, any shape, smallest value 0 and largest 1.

    Returns:
        uint8 or int16 of the same shape, or `image`.
    """
    values = np.unique(image).astype(np.float64)
    if image.dtype.kind != "f" or values[0] != 0 or values[-1] != 1:
        return image
    low = values[: max(2, len(values) // 8)]  # the smallest floats have the most exact steps
    step = float(np.diff(low).min())
    for multiple in (1, 2, 3, 4):  # the smallest step seen may be several integers wide
        divisor = round(multiple / step)
        if not 1 <= divisor <= _LARGEST_INTEGER:
            break
        k = np.round(image.astype(np.float64) * divisor)
        if np.array_equal((k / divisor).astype(image.dtype), image):
            return k.astype(np.uint8 if divisor <= np.iinfo(np.uint8).max else np.int16)
    return image


def _whole(path: Path) -> tuple[Volume, Array]:
    return _volume(*read_pair(path, 3, CLASSES))


def _stack(paths: Sequence[Path]) -> tuple[Volume, Array]:
    parts = [read_pair(path, 2, CLASSES) for path in paths]
    for path, (image, _) in zip(paths, parts, strict=True):
        if image.shape != parts[0][0].shape:
            raise UserError(f"{path} has shape {image.shape}, {paths[0].name} {parts[0][0].shape}: copy them again.")
    return _volume(np.stack([image for image, _ in parts]), np.stack([label for _, label in parts]))


def _volume(image: Array, label: Array) -> tuple[Volume, Array]:
    """Image and label as (x, y, z), of unknown spacing."""
    return new_volume(as_integers(image).transpose(2, 1, 0)), label.transpose(2, 1, 0)
