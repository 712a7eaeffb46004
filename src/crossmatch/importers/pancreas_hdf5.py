"""Pancreas-CT as the community's HDF5 files of variant A: `imageNNNN_norm.h5` with `image` and `label`.

The code of MC-Net (UA-MT family) writes and reads them as `Pancreas_h5/image0001_norm.h5`. Axes are (x, y, z), voxels
are 1 mm apart; the files do not say where the scan lies in the patient. Values are z-scores of the cropped scan.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np

from crossmatch.formats import Array, Volume, new_volume
from crossmatch.formats.hdf5 import read_pair
from crossmatch.importers.shared import Readable, only_once

_SPACING = np.eye(4)  # 1 mm along each axis (the preprocessing of MC-Net, see pancreas.py)


def find_hdf5(source: Path) -> dict[str, Readable]:
    """The cases by name; empty where there are no such files.

    Raises:
        UserError: a scan that lies in two of the folders in which it is looked for.
    """
    folders = [source, source / "Pancreas_h5", source / "data"]
    paths = [path for folder in folders for path in sorted(folder.glob("image*_norm.h5"))]
    found = ((f"pancreas_{m[1]}", path) for path in paths if (m := re.fullmatch(r"image(\d{4})_norm", path.stem)))
    return {name: Readable(partial(_read, path), (path,)) for name, path in only_once(source, found).items()}


def _read(path: Path) -> tuple[Volume, Array]:
    image, label = read_pair(path, rank=3, classes=2)
    return new_volume(image.astype(np.float32), _SPACING), label
