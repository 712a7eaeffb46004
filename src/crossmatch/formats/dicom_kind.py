"""What a file in the folder of a DICOM series is: a slice, or something else that is not read, such as contours."""

import re
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.misc import is_dicom

from crossmatch.errors import UserError, listed
from crossmatch.formats.dicom_slice import UNREADABLE, read_header
from crossmatch.formats.seal import refuse_sealed

_NOBODY = re.compile(r"anon\w*|unknown|none|null|n/?a|removed|patient|test|[0x*#?-]+", re.IGNORECASE)  # as a PatientID
_CONTOURS = "RT Structure Set Storage"


def is_slice(path: Path) -> bool:
    """Whether `read_header` finds a slice in a file, or an error; quick for usual slices."""
    if "Image Storage" in _class_of(path):
        return True
    try:
        return bool(read_header(path))
    except UserError:
        return True


def unused_notes(folder: Path, names: Sequence[str | Path]) -> list[str]:
    """Sentences on files of a folder that are not read: contours, which may be meant as labels, then the others."""
    contours = [name for name in names if (folder / name).is_file() and _class_of(folder / name) == _CONTOURS]
    others, notes = [name for name in names if name not in contours], []
    if contours:
        notes.append(
            f"contours (RTSTRUCT) are not read, so they give no label: {listed(contours)}; export the segmentations as "
            "NIfTI or DICOM SEG (.seg.dcm)"
        )
    return notes + ([f"not used, as they are no scans of a known format: {listed(others)}"] if others else [])


def patient_id(folder: Path) -> str | None:
    """The PatientID of a series, of its first file that has one; None where it has none, or one that names nobody."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "DICOMDIR" or not path.is_file():
            continue
        refuse_sealed(path)
        try:
            data = dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"]) if is_dicom(path) else None
        except UNREADABLE:
            continue
        if data is not None and (found := str(data.get("PatientID") or "").strip()):
            return None if _NOBODY.fullmatch(found) else found
    return None


def _class_of(path: Path) -> str:
    """The name of a DICOM file's class; empty where it has none, or is no DICOM file."""
    try:
        found = read_file_meta_info(path).get("MediaStorageSOPClassUID") if is_dicom(path) else None
    except UNREADABLE:
        return ""
    return getattr(found, "name", "")
