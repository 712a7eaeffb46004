"""A case in another program: a copy of its mask to change in ITK-SNAP or 3D Slicer, and the way back.

RUN/review/elsewhere/CASE/CASE.nii.gz    the copy; whatever label file is saved beside it is found too
"""

import hashlib
import re
from pathlib import Path

from crossmatch import formats
from crossmatch.errors import UserError, quoted
from crossmatch.formats import Array
from crossmatch.review.case_voxels import OpenCase
from crossmatch.review.decisions import FOLDER


def folder_of(run_folder: Path, ident: str) -> Path:
    """The folder of a case; its name tells the case and cannot lead anywhere else."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", ident)[:80]
    return run_folder.absolute() / FOLDER / "elsewhere" / f"{plain}_{hashlib.sha256(ident.encode()).hexdigest()[:6]}"


def hand_out(run_folder: Path, opened: OpenCase, labels: Array) -> dict[str, object]:
    """Write a copy of the mask and say how other programs open it."""
    folder = folder_of(run_folder, opened.case.id)
    ending = formats.DEFAULT_ENDING if not opened.flat else formats.PICTURE_ENDING
    path = folder / f"{opened.case.name}{ending}"
    formats.write(path, labels, like=opened.grid, labels=opened.labels)
    image = opened.case.images[0].absolute()
    facts: dict[str, object] = {"image": str(image), "mask": str(path), "folder": str(folder)}
    if not opened.flat and not image.is_dir():
        facts["commands"] = {
            "ITK-SNAP": f"itksnap -g {quoted(image)} -s {quoted(path)}",
            "3D Slicer": f"Slicer {quoted(image)} {quoted(path)}",
        }
    return facts


def take_back(run_folder: Path, opened: OpenCase) -> tuple[Array, Path]:
    """The label file that was saved last in the folder of a case.

    Raises:
        UserError: there is none, or it does not lie on the image or has other values.
    """
    folder = folder_of(run_folder, opened.case.id)
    found = [path for _, path in formats.files_in(folder)] if folder.is_dir() else []
    if not found:
        raise UserError(
            f"{folder} holds no mask: save the changed one there, as NIfTI or as a segmentation of 3D Slicer."
        )
    newest = max(found, key=lambda path: path.stat().st_mtime_ns)
    return opened.label(newest), newest
