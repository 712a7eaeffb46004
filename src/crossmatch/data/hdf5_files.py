"""The community's HDF5 files: `image` and `label` of one scan or slice, as published with UA-MT and SSL4MIS."""

from pathlib import Path

import h5py
import numpy as np

from crossmatch.data.files import Array
from crossmatch.errors import UserError


def read_pair(path: Path, rank: int, classes: int) -> tuple[Array, Array]:
    """`image` as stored and `label` as uint8 of one file, both of `rank` axes and of one shape.

    Raises:
        UserError: no such file, damaged, other axes, or label values that are not 0 to classes - 1.
    """
    try:
        with h5py.File(path) as file:
            image, label = (np.asarray(file[key][()]) for key in ("image", "label"))
    except (OSError, KeyError) as error:
        raise UserError(f"{path} is no HDF5 file with 'image' and 'label', or damaged ({error}): copy it.") from error
    if image.ndim != rank or image.shape != label.shape:
        raise UserError(
            f"{path} has an image of shape {image.shape} and a label of shape {label.shape}: both must have the same "
            f"{rank} axes; copy the file again."
        )
    if not np.isin(label, range(classes)).all():
        raise UserError(f"{path} holds values in 'label' that are no labels (0 to {classes - 1}): copy the file again.")
    return image, label.astype(np.uint8)
