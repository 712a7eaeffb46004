"""Formats: reading and writing the files that scans come in. Nothing outside this folder knows one of them.

    volume = formats.read("scan.nrrd")                       # voxels, affine, spacing_mm
    formats.write("mask.nrrd", labels, like=volume)          # by ending, in the geometry of the scan

DICOM series and HDF5 pairs are not one file for one volume: `dicom` and `hdf5` read them for importers.
"""

from crossmatch.formats.registry import (
    DEFAULT_ENDING,
    FORMATS,
    Format,
    ending,
    endings,
    files_in,
    read,
    read_grid,
    stem,
    write,
)
from crossmatch.formats.volume import Array, Grid, HasGrid, Volume, new_volume, same_grid, spacing_of

__all__ = [
    "DEFAULT_ENDING",
    "FORMATS",
    "Array",
    "Format",
    "Grid",
    "HasGrid",
    "Volume",
    "ending",
    "endings",
    "files_in",
    "new_volume",
    "read",
    "read_grid",
    "same_grid",
    "spacing_of",
    "stem",
    "write",
]
