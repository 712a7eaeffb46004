"""A sound file of every ending that is read, for tests: written by the format, or by another program's package."""

from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import nrrd
import numpy as np
import pytest
from PIL import Image

from crossmatch import formats
from crossmatch.formats import new_volume
from tiny_dicom import write_series

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
AFFINE = np.diag([-1.5, -2.0, 6.0, 1.0])


def shape_of(ending: str, wanted: tuple[int, ...] = (20, 16, 12)) -> tuple[int, ...]:
    """The shape that a sample has: pictures have two axes."""
    return wanted[:2] if ending in PICTURES else wanted


def write_sample(path: Path, ending: str, wanted: tuple[int, ...] = (20, 16, 12), seed: int = 0) -> Path:
    """Write whole numbers from 0 to 99; of formats that keep their voxels in a second file, that one too."""
    shape = shape_of(ending, wanted)
    voxels = np.random.default_rng(seed).integers(0, 100, shape).astype(np.uint8)
    if ending in PICTURES:
        Image.fromarray(voxels.T).save(path)
    elif ending == ".hdr":
        nib.save(nib.Nifti1Pair(voxels, AFFINE), path)
    elif ending in (".seg.nrrd", ".seg.nhdr", ".nhdr"):
        nrrd.write(str(path), voxels, {"spacings": [1.5, 2, 6]}, detached_header=ending.endswith(".nhdr"))
    elif ending == ".mhd":
        itk = pytest.importorskip("SimpleITK")
        image = itk.GetImageFromArray(voxels.T)
        image.SetSpacing((1.5, 2.0, 6.0))
        itk.WriteImage(image, str(path))
    elif ending == ".seg.dcm":
        pytest.importorskip("highdicom")
        with TemporaryDirectory() as place:
            write_series(Path(place), voxels.astype(np.int16))
            scan = formats.read(place)
            formats.write(path, voxels // 50, like=scan, labels={"background": 0, "liver": 1})
    else:
        formats.write(path, voxels, like=new_volume(voxels, AFFINE))
    return path
