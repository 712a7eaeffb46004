"""HDF5: files with the image and the label of one scan or slice, as published with UA-MT and SSL4MIS."""

from pathlib import Path

import h5py
import numpy as np

from crossmatch.errors import UserError
from crossmatch.formats.seal import refuse_sealed
from crossmatch.formats.sizes import check_claim
from crossmatch.formats.volume import Array


def read_pair(path: Path, rank: int, classes: int) -> tuple[Array, Array]:
    """Read `image` as stored and `label` as uint8.

    Args:
        path: the file.
        rank: how many axes both must have; their shapes must be equal.
        classes: label values must be 0 to classes - 1.

    Raises:
        UserError: no such file, a damaged one, no numbers, other axes, no voxels, grey values that are NaN or infinite,
            other label values.
        SealedError: the file of a test case while a network learns.
    """
    refuse_sealed(path)
    try:
        with h5py.File(path) as file:
            image, label = (_array(path, file, key, kinds) for key, kinds in (("image", "iuf"), ("label", "biuf")))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} is no HDF5 file with 'image' and 'label', or damaged ({error}): copy it.") from error
    if image.ndim != rank or image.shape != label.shape or not image.size:
        raise UserError(
            f"{path} has an image of shape {image.shape} and a label of shape {label.shape}: both must have the same "
            f"{rank} axes, and voxels; copy the file again."
        )
    if bad := image.size - int(np.isfinite(image).sum()):
        raise UserError(f"{path} has {bad} voxels in 'image' that are NaN or infinite: copy the file again.")
    if not np.isin(label, range(classes)).all():
        raise UserError(f"{path} holds values in 'label' that are no labels (0 to {classes - 1}): copy the file again.")
    return image, label.astype(np.uint8)


def _array(path: Path, file: h5py.File, key: str, kinds: str) -> Array:
    """The array under a name, whose type must be one of NumPy's `kinds`."""
    link = file.get(key, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise UserError(f"{path} keeps '{key}' in another place or file: copy the file again, with all it holds.")
    stored = file[key]
    if not isinstance(stored, h5py.Dataset) or stored.dtype.kind not in kinds:
        what = f"values of type {stored.dtype}" if isinstance(stored, h5py.Dataset) else "no array"
        raise UserError(f"{path} holds {what} under '{key}', numbers are needed, one a voxel: copy the file again.")
    if stored.is_virtual or stored.external:
        raise UserError(f"{path} keeps '{key}' in other files: write it into one.")
    check_claim(path, stored.nbytes, compressed=True)
    return np.asarray(stored[()])
