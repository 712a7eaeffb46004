"""Tiny DICOM series for tests, written with pydicom."""

import copy
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))  # where columns and rows grow, LPS+


def write_series(
    folder: Path,
    stored: np.ndarray,
    *,
    spacing: tuple[float, float] = (0.75, 0.5),
    step: float = 2.5,
    origin: tuple[float, float, float] = (-100.0, -90.0, 30.0),
    orientation: Sequence[Sequence[float]] = AXIAL,
    intercept: float = -1024,
    slope: float = 1,
    falling: bool = False,
) -> list[Path]:
    """Write int16 `stored` (column, row, slice) as one file a slice, slice 0 lowest; the files from slice 0 on.

    Args:
        spacing: between columns, between rows, mm. step: between slices, mm. origin: of slice 0, LPS+.
        falling: whether names and instance numbers fall where positions rise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series, study = generate_uid(), generate_uid()
    normal, count = np.cross(*np.array(orientation)), stored.shape[2]
    paths = []
    for k in range(count):
        number = count - k if falling else k + 1
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.SeriesInstanceUID, data.InstanceNumber = series, number
        data.StudyInstanceUID = data.FrameOfReferenceUID = study  # as every scanner writes, and a SEG refers to
        for tag in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(data, tag, "")
        data.StudyDate, data.StudyTime, data.ReferringPhysicianName = "20200101", "120000", ""
        data.PixelSpacing = [spacing[1], spacing[0]]
        data.ImageOrientationPatient = [float(f"{x:.12g}") for x in np.ravel(orientation)]
        data.ImagePositionPatient = [float(f"{x:.12g}") for x in np.array(origin) + k * step * normal]
        data.RescaleIntercept, data.RescaleSlope = intercept, slope
        data.Columns, data.Rows = stored.shape[:2]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.PixelData = np.ascontiguousarray(stored[:, :, k].T.astype("<i2")).tobytes()
        paths.append(folder / f"1-{number:03d}.dcm")
        data.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_contours(path: Path) -> Path:
    """Write an RTSTRUCT without contours: what kind of file it is, and nothing else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = RTStructureSetStorage, generate_uid(), "RTSTRUCT"
    data.save_as(path, enforce_file_format=True)
    return path


def write_multiframe(
    path: Path,
    stored: np.ndarray,
    *,
    orientation: Sequence[Sequence[float]] = AXIAL,
    shared: bool = True,
    order: Sequence[int] | None = None,
) -> Path:
    """Write slices of int16 `stored` (column, row, slice) as frames of one file, in the order given.

    Args:
        shared: whether spacing, orientation and rescaling stand once for all frames, or in each.
    """
    frames = range(stored.shape[2]) if order is None else order
    singles = [dcmread(one) for one in write_series(path.parent / ".singles", stored, orientation=orientation)]
    data, pixels = copy.deepcopy(singles[0]), [one.PixelData for one in singles]
    per_frame, common = [], Dataset()
    for k in frames:
        group, holder = Dataset(), common if shared else Dataset()
        for sequence, tags in _GROUPS.items():
            item = Dataset()
            for tag in tags:
                setattr(item, tag, getattr(singles[k], tag))
            if sequence == "PixelMeasuresSequence":
                item.SliceThickness = 2.5
            setattr(group if sequence == "PlanePositionSequence" or not shared else holder, sequence, [item])
        per_frame.append(group)
    data.PerFrameFunctionalGroupsSequence, data.SharedFunctionalGroupsSequence = per_frame, [common]
    for tag in (tag for tags in _GROUPS.values() for tag in tags):
        delattr(data, tag)
    data.NumberOfFrames = len(per_frame)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    data.PixelData = b"".join(pixels[k] for k in frames)
    data.save_as(path, enforce_file_format=True)
    shutil.rmtree(path.parent / ".singles")
    return path


_GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
}


def edit(path: Path, **tags: object) -> None:
    """Change tags of one file; None removes one."""
    data = dcmread(path)
    for name, value in tags.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
