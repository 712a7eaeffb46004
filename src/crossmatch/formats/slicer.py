"""Segmentations of 3D Slicer (.seg.nrrd): segments with names and label values, on one layer or several.

Format: slicer.readthedocs.io, Segmentations, "Segmentation file format". Each header field `Segment0_Name`,
`Segment0_LabelValue`, `Segment0_Layer`, ... tells of one segment. Shapes and affines as in volume.py; L layers.
"""

from collections.abc import Mapping
from pathlib import Path

import nrrd as pynrrd
import numpy as np

from crossmatch.errors import UserError
from crossmatch.formats import nrrd
from crossmatch.formats.nrrd_voxels import read_voxels
from crossmatch.formats.segments import Segment, values_of
from crossmatch.formats.volume import Array, Grid, Volume

NAME = "NRRD segmentation"
ENDINGS = (".seg.nrrd", ".seg.nhdr")
WRITTEN: tuple[str, ...] = ()
PLACED, CHANNELS, MAPS = True, False, False
DAMAGED = nrrd.DAMAGED


def read(path: Path) -> list[Volume]:
    """The segments as one label volume, by their label values. Errors as in `read_label`."""
    return [read_label(path, {})]


def read_grid(path: Path) -> Grid:
    """Where the voxels lie, without reading them."""
    return nrrd.grid_of(path, _spatial(pynrrd.read_header(str(path))))


def read_label(path: Path, labels: Mapping[str, int]) -> Volume:
    """The segments as one label volume, layers flattened.

    Their values are those of `values_of`. A file without segments is a label volume like any other.

    Raises:
        UserError: of `values_of`; two segments share a voxel, or a voxel has a value that no segment has.
    """
    stored, header = read_voxels(path)
    spatial = _spatial(header)
    layers = stored if stored.ndim == len(spatial["sizes"]) + 1 else stored[np.newaxis]
    found = _segments(header)
    if not found:
        return nrrd.volume_of(path, stored, header)
    values = values_of(path, found, labels)
    return nrrd.volume_of(path, _flattened(path, layers, found, values), spatial)


def segments(path: Path) -> list[Segment]:
    """The segments with their names and label values, without reading the voxels."""
    return _segments(pynrrd.read_header(str(path)))


def write(path: Path, voxels: Array, like: Volume, labels: Mapping[str, int]) -> None:
    """Segmentations are only read."""
    raise NotImplementedError


def _spatial(header: nrrd.Header) -> nrrd.Header:
    """The header of one layer: without the axis of layers, which comes first."""
    kinds = [str(kind).lower() for kind in header.get("kinds", [])]
    if len(header["sizes"]) != 4 or kinds[:1] not in (["list"], ["vector"], ["none"], ["???"]):
        return header
    layer = dict(header)
    for field in ("sizes", "kinds", "space directions", "spacings", "units"):
        if field in header:
            layer[field] = header[field][1:]
    layer["dimension"] = 3
    return layer


def _segments(header: nrrd.Header) -> list[Segment]:
    found = []
    for n in range(len(header)):
        if f"Segment{n}_LabelValue" in header or f"Segment{n}_ID" in header:
            name = header.get(f"Segment{n}_Name", header.get(f"Segment{n}_ID", f"Segment{n}"))
            value, layer = header.get(f"Segment{n}_LabelValue", 1), header.get(f"Segment{n}_Layer", 0)
            found.append(Segment(str(name), int(value), int(layer)))
    return found


def _flattened(path: Path, layers: Array, segments: list[Segment], values: list[int]) -> Array:
    """Layers (L, *S) as one label volume (*S)."""
    flat = np.zeros(layers.shape[1:], np.uint8 if max(values) < 256 else np.int32)
    owner = np.full(layers.shape[1:], -1, np.int16)
    told = 0
    for n, (segment, value) in enumerate(zip(segments, values, strict=True)):
        if not 0 <= segment.layer < len(layers):
            raise UserError(
                f"{path} has {len(layers)} layers, and {segment.name} lies on layer {segment.layer}: save it."
            )
        mask = layers[segment.layer] == segment.value
        told += int(mask.sum())
        if (shared := owner[mask]).size and shared.max() >= 0:
            other = segments[int(shared.max())].name
            raise UserError(
                f"{path} has the segments {other} and {segment.name} overlapping in {int((shared >= 0).sum())} voxels: "
                "a voxel has one label; remove the overlap in 3D Slicer (Logical operators, subtract)."
            )
        flat[mask], owner[mask] = value, n
    if told != int(np.count_nonzero(layers)):
        raise UserError(f"{path} has voxels of a value that no segment has: save it again from 3D Slicer.")
    return flat
