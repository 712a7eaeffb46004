"""Formats: reading and writing the files that scans come in. Nothing outside this folder knows one of them.

    volume = formats.read("scan.nrrd")                       # voxels, affine, spacing_mm
    red, green, blue = formats.read_channels(["photo.png"])
    label = formats.read_label("mask.png", image=volume)     # label values, on the grid of their scan
    formats.write("mask.nrrd", labels, like=volume)          # by ending, in the geometry of the scan

HDF5 pairs are not one file for one volume: `hdf5` reads them for importers.
"""

from crossmatch.formats.codes import SegmentCode, parse_codes
from crossmatch.formats.dicom_kind import patient_id, unused_notes
from crossmatch.formats.embedding import file_bytes, picture_bytes
from crossmatch.formats.folders import folders_below
from crossmatch.formats.labels import may_be_transposed, read_label, read_label_grid, refuse_other_turn, segments_of
from crossmatch.formats.names import (
    files_in,
    holds_channels,
    maps_ending,
    mask_ending,
    not_slices,
    parts,
    series_in,
    spelled,
    stands_alone,
    stem,
    unclaimed_in,
)
from crossmatch.formats.palettes import mixed_palettes
from crossmatch.formats.placement import doubts, in_mm, refuse_implausible, settled
from crossmatch.formats.registry import (
    DEFAULT_ENDING,
    FORMATS,
    PHOTO_ENDING,
    PICTURE_ENDING,
    UNCOMPRESSED_ENDING,
    Format,
    ending,
    endings,
    read,
    read_channels,
    read_grid,
    read_stack,
    write,
)
from crossmatch.formats.volume import (
    Array,
    Grid,
    HasGrid,
    Volume,
    first_voxel,
    new_volume,
    places_voxels,
    same_grid,
    spacing_of,
)

__all__ = [
    "DEFAULT_ENDING",
    "FORMATS",
    "PHOTO_ENDING",
    "PICTURE_ENDING",
    "UNCOMPRESSED_ENDING",
    "Array",
    "Format",
    "Grid",
    "HasGrid",
    "SegmentCode",
    "Volume",
    "doubts",
    "ending",
    "endings",
    "file_bytes",
    "files_in",
    "first_voxel",
    "folders_below",
    "holds_channels",
    "in_mm",
    "maps_ending",
    "mask_ending",
    "may_be_transposed",
    "mixed_palettes",
    "new_volume",
    "not_slices",
    "parse_codes",
    "parts",
    "patient_id",
    "picture_bytes",
    "places_voxels",
    "read",
    "read_channels",
    "read_grid",
    "read_label",
    "read_label_grid",
    "read_stack",
    "refuse_implausible",
    "refuse_other_turn",
    "same_grid",
    "segments_of",
    "series_in",
    "settled",
    "spacing_of",
    "spelled",
    "stands_alone",
    "stem",
    "unclaimed_in",
    "unused_notes",
    "write",
]
