"""Pancreas-CT as TCIA gives it: DICOM series `PANCREAS_0001/<study>/<series>` and NIfTI labels `label0001.nii.gz`.

Shapes: image and label are (x, y, z) = (column, row, slice), slices by position. The affine of a label says where it
lies, if it puts every voxel centre on one of the scan's; axes may be turned or flipped. An affine that cannot be right
(see `_never_placed`) is ignored: voxel (i, j, k) then goes to column i, row j of the slice with the k-th instance
number, as in OrganSegC2F (198808xc/OrganSegC2F@bd2c400, DATA2NPY) and MC-Net (ycwu1997/MC-Net@fee453c). CoraNet
(koncle/CoraNet@b9d454c) takes the k-th file name. None of them flips. The flip along y that is often mentioned is
needed after converters that store the rows upside down, such as dcm2niix.
"""

import re
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import Array, Grid, HasGrid, Volume, same_grid
from crossmatch.formats.axes import is_unturned, nearest_turn, turned
from crossmatch.formats.dicom import find_series, read_series, read_slices
from crossmatch.importers.shared import Readable, Tell, only_once

TURNED = "are stored with other axes than their scans and were turned as their headers say: look at one over its scan"
BY_INDEX = (
    "have headers that do not place them on their scans; voxel (i, j, k) was taken for column i, row j of the slice "
    "with the k-th instance number, as usual for this dataset: look at one over its scan"
)
_DICOM_AXES = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS+ to LPS+ and back
_SAME_STEPS = 1e-3  # voxels for each voxel: half a voxel over 512

Remarks = dict[str, list[str]]  # what was done to labels -> the cases


def find_raw(source: Path, remarks: Remarks, tell: Tell, passed_over: list[Path]) -> dict[str, Readable]:
    """The cases by name, neither resampled nor cropped; empty where there are no such folders.

    A scan without label is left out, with a remark. `remarks` is filled while cases are read.

    Args:
        passed_over: gets the scans that are left out.

    Raises:
        UserError: a scan or a label that lies in two of the folders in which it is looked for.
    """
    roots = [source, source / "Pancreas-CT", *sorted(source.glob("manifest-*/Pancreas-CT"))]
    folders = [path for root in roots for path in sorted(root.glob("*/"))]
    scans = only_once(source, ((path.name, path) for path in folders if re.fullmatch(r"PANCREAS_\d{4}", path.name)))
    places = [source, source / "TCIA_pancreas_labels-02-05-2017", source / "labels"]
    names = [name.replace("PANCREAS_", "label") + ".nii.gz" for name in scans]
    found = ((name, folder / name) for folder in places for name in names)
    labels = only_once(source, ((name, path) for name, path in found if path.is_file()))
    cases: dict[str, Readable] = {}
    for scan, label in zip(scans, names, strict=True):
        case = scan.lower()
        if label in labels:
            files = (scans[scan], labels[label])
            cases[case] = Readable(partial(_read, *files, case, remarks), files)
        else:
            tell(f"{scan} is left out: {label} is not in {', '.join(map(str, places))}")
            passed_over.append(scans[scan])
    return cases


def _read(scan: Path, path: Path, name: str, remarks: Remarks) -> tuple[Volume, Array]:
    slices = read_slices(find_series(scan))
    image, label = read_series(slices), formats.read(path)
    placed, remark = place_label(image, [one.number for one in slices], label, path)
    whole = placed.astype(np.uint8)
    if not np.array_equal(whole, placed) or whole.max() > 1:
        raise UserError(f"{path} holds values that are no labels (0 and 1): copy the file again.")
    if remark:
        remarks.setdefault(remark, []).append(name)
    return image, whole


def place_label(image: HasGrid, numbers: Sequence[int | None], label: Volume, path: Path) -> tuple[Array, str]:
    """The label's voxels in the order of the image's, and a remark on what was done ("" for nothing).

    Args:
        image: the scan's grid, (x, y, z).
        numbers: InstanceNumber of each slice of the scan.
        label: as read.
        path: its file, for messages.

    Raises:
        UserError: another shape, an affine that places it beside the scan's voxels, no order of the slices.
    """
    if sorted(label.shape) != sorted(image.shape):
        raise _other_shape(path, image, label)
    turn = nearest_turn(np.linalg.solve(image.affine, label.affine))
    voxels, affine = turned(label.voxels, label.affine, turn)
    if same_grid(image, Grid(voxels.shape, affine, None)):
        return voxels, "" if is_unturned(turn) else TURNED
    if label.shape != tuple(image.shape):
        raise _other_shape(path, image, label)
    if not _never_placed(image, label):
        steps = np.linalg.solve(image.affine, affine)
        if np.abs(steps[:3, :3] - np.eye(3)).max() > _SAME_STEPS:
            what = f"has voxels of {label.spacing_mm} mm in directions that are not those of its scan"
        else:
            what = f"is shifted by {(np.round(steps[:3, 3], 3) + 0.0).tolist()} voxels (x, y, z) against its scan"
        raise UserError(f"{path} {what}: copy the file again, or put it on the scan's grid (e.g. in 3D Slicer).")
    order = set(np.sign(np.diff([0 if number is None else number for number in numbers])))
    if None in numbers or len(order) > 1 or 0 in order:
        raise UserError(
            f"{path} has a header that does not place it on its scan, and the InstanceNumber of the scan's slices "
            "neither rises nor falls along it, so nothing says which slice is which: copy the series again."
        )
    return label.voxels[:, :, :: int(order.pop())], BY_INDEX


def _never_placed(image: HasGrid, label: Volume) -> bool:
    """Whether an affine cannot be right: no spacing, 1 mm where the scan has another, no origin, DICOM's axes taken for
    RAS+, or a place that does not touch the scan."""
    steps = np.linalg.norm(label.affine[:3, :3], axis=0)
    if label.spacing_mm is None or not label.affine[:3, 3].any():
        return True
    if np.allclose(steps, 1) and not np.allclose(np.linalg.norm(image.affine[:3, :3], axis=0), 1):
        return True
    if same_grid(label, Grid(tuple(image.shape), _DICOM_AXES @ image.affine, None)):
        return True
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in label.shape))]).T
    inside = np.linalg.solve(image.affine, label.affine @ corners)[:3]
    return bool((inside.max(axis=1) < 0).any() or (inside.min(axis=1) > np.array(image.shape) - 1).any())


def _other_shape(path: Path, image: HasGrid, label: Volume) -> UserError:
    return UserError(
        f"{path} has shape {label.shape}, its scan {tuple(image.shape)} (columns, rows, slices): it belongs to another "
        "scan, or slices are missing; copy both again."
    )
