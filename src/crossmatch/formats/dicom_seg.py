"""DICOM segmentations (.seg.dcm): masks that refer to the series they belong to, through highdicom (extra `dicom`).

Written for masks of DICOM series, read for evaluation. Shapes and affines as in volume.py; highdicom has (slice, row,
column) and LPS+.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from crossmatch.errors import UserError
from crossmatch.formats.codes import SegmentCode, code_of
from crossmatch.formats.dicom_slice import Slice
from crossmatch.formats.extras import needed
from crossmatch.formats.segments import Segment, values_of
from crossmatch.formats.volume import Array, Grid, Volume, new_volume, spacing_of

NAME = "DICOM segmentation"
ENDINGS = (".seg.dcm",)
WRITTEN = (".seg.dcm",)
PLACED, CHANNELS, MAPS = True, False, False
DAMAGED = (OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, InvalidDicomError)

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_REVERSED = np.eye(4)[[2, 1, 0, 3]]  # (slice, row, column) to (x, y, z) = (column, row, slice), and back


def read(path: Path) -> list[Volume]:
    """The segments as one label volume, by their numbers. Errors as in `read_label`."""
    return [read_label(path, {})]


def segments(path: Path) -> list[Segment]:
    """The segments with their names and numbers."""
    highdicom = needed("highdicom", "dicom", path)
    return _segments(highdicom.seg.segread(str(path)))


def _segments(stored: Any) -> list[Segment]:
    described = [stored.get_segment_description(number) for number in stored.segment_numbers]
    return [Segment(each.segment_label, each.segment_number, 0) for each in described]


def read_label(path: Path, labels: Mapping[str, int]) -> Volume:
    """The segments as one label volume, with the values of `values_of`.

    Raises:
        UserError: highdicom is missing, segments overlap, probabilities or shares of voxels instead of whole voxels, or
            frames that form no evenly spaced volume.
    """
    highdicom = needed("highdicom", "dicom", path)
    stored = highdicom.seg.segread(str(path))
    if stored.SegmentationType == "FRACTIONAL" and not np.isin(stored.pixel_array, (0, _most(stored))).all():
        raise UserError(
            f"{path} holds shares or probabilities (segmentation type FRACTIONAL), and a label is one number a voxel: "
            "export the segmentation as BINARY."
        )
    described = _segments(stored)
    values = values_of(path, described, labels)
    found = stored.get_volume(combine_segments=True)
    new = np.zeros(max(each.value for each in described) + 1, np.uint8 if max(values) < 256 else np.int32)
    new[[each.value for each in described]] = values
    voxels, affine = new[np.asarray(found.array)].T, found.affine @ _REVERSED
    if np.linalg.det(affine) < 0:  # slices against the normal of their plane, unlike those of `dicom`
        affine = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, voxels.shape[2] - 1], [0, 0, 0, 1]])
        voxels = voxels[:, :, ::-1]
    return new_volume(np.ascontiguousarray(voxels), _LPS_TO_RAS @ affine)


def _most(stored: Any) -> int:
    """The number that stands for a whole voxel."""
    return int(stored.get("MaximumFractionalValue", 1))


def read_grid(path: Path) -> Grid:
    """The place of the voxels. Errors as in `read`."""
    (found,) = read(path)
    return Grid(found.shape, found.affine, spacing_of(found.affine))


def write(
    path: Path, voxels: Array, like: Volume, labels: Mapping[str, int], given: Mapping[str, SegmentCode] | None = None
) -> None:
    """Write label values (x, y, z) as segments, one a label, numbered by their values.

    Args:
        path: the new file.
        voxels: 0 is background.
        like: the series, as `dicom.read` gives it.
        labels: name -> value, 0 to K-1.
        given: name -> code, where it is not to be that of `code_of`.

    Raises:
        UserError: highdicom is missing, or `like` is no DICOM series.
    """
    highdicom = needed("highdicom", "dicom", path)
    slices = like.native if isinstance(like.native, tuple) else ()
    if not slices or not all(isinstance(one, Slice) and not one.flat for one in slices):
        raise UserError(f"{path.name} would refer to a DICOM series, and the scan is none: choose nii.gz or nrrd.")
    files = list(dict.fromkeys(one.path for one in slices))
    order = np.arange(len(slices)) if len(files) > 1 else np.argsort([one.frame for one in slices])
    highdicom.seg.Segmentation(
        source_images=[_source(file, like) for file in files],
        pixel_array=np.ascontiguousarray(voxels.T[order]),
        segmentation_type="BINARY",
        segment_descriptions=[
            _segment(highdicom, name, value, code_of(name, given or {})) for name, value in labels.items() if value > 0
        ],
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="crossmatch",
        manufacturer_model_name="crossmatch",
        software_versions=version("crossmatch"),
        device_serial_number="0",
        omit_empty_frames=False,  # so that the grid is the whole series'
    ).save_as(path)


def _source(file: Path, like: Volume) -> Dataset:
    """The header of a file of the series; highdicom asks for a thickness, which some series do not state."""
    data = dcmread(file, stop_before_pixels=True)
    if data.get("SliceThickness") is None:
        data.SliceThickness = round(spacing_of(like.affine)[2], 6)
    return data


def _segment(highdicom: Any, name: str, value: int, code: SegmentCode) -> Any:
    """The description of a label."""
    return highdicom.seg.SegmentDescription(
        segment_number=value,
        segment_label=name,
        segmented_property_category=(
            codes.SCT.MorphologicallyAbnormalStructure if code.finding else codes.SCT.AnatomicalStructure
        ),
        segmented_property_type=Code(code.value, code.scheme, code.meaning),
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="crossmatch", family=codes.DCM.ArtificialIntelligence, version=version("crossmatch")
        ),
    )
