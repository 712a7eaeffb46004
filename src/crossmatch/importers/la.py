"""Import LA (late gadolinium-enhanced MRI of the left atrium, 100 scans) from the community's files or the challenge's.

Community: `ID/mri_norm2.h5`, normalised and cropped, as published with UA-MT and the methods after it.
Challenge: `ID/lgemri.nrrd`, `ID/laendo.nrrd` (Xiong et al., Medical Image Analysis 67, 2021, 101832).
The split (80 train, 20 test) is that of UA-MT (yulequan/UA-MT@80d0a34), kept in `splits/la`. The 4, 8 and 16 labelled
scans are the first lines of its training list. Shapes: image and label are (x, y, z).
"""

import hashlib
import os
from collections.abc import Iterator
from functools import partial
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.fingerprint import Progress
from crossmatch.dataset.orientation import turn_onto, turn_volume
from crossmatch.errors import UserError, listed
from crossmatch.formats import Array, Volume, new_volume
from crossmatch.formats.hdf5 import read_pair
from crossmatch.importers.shared import Readable, Tell, only_once, write_import

LABELLED_SCANS = (4, 8, 16)
SPACING_MM = 0.625  # along all axes, as the challenge states
# Community files: axes run to the left, back and top of the patient, as all 100 scans show (spine, descending aorta).
COMMUNITY_AFFINE = np.diag([-SPACING_MM, -SPACING_MM, SPACING_MM, 1.0])
LABEL_VALUE = 255  # of the left atrium's cavity in laendo.nrrd
PATCH = (112, 112)  # x, y: training patch of UA-MT; its preprocessing widens the label's box to it before cropping
MARGIN = (10, 19)  # voxels around that box in x and y, smallest and largest; from UA-MT too

COMMUNITY_FILE, IMAGE_FILE, LABEL_FILE = "mri_norm2.h5", "lgemri.nrrd", "laendo.nrrd"
TREES = f"""\
the community's HDF5 files              or the challenge's own files
  SRC/06SR5RBREL16DQ6M8LWS/               SRC/06SR5RBREL16DQ6M8LWS/
      {COMMUNITY_FILE}                        {IMAGE_FILE}
  ...                                         {LABEL_FILE} ..."""
_DEEPEST = 4  # folders between the source and a scan's files: LA/data/2018LA_Seg_Training Set/ID in AiEson/CrossMatch

DESCRIPTION = {
    "name": "LA",
    "description": "Late gadolinium-enhanced MRI, left atrium (2018 Atrial Segmentation Challenge)",
    "reference": "doi:10.1016/j.media.2020.101832",
    "channel_names": {"0": "MRI"},
    "labels": {"background": 0, "LA": 1},
}


def import_la(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Dataset:
    """Write LA into `target` in the layout of `open_dataset`, and check it.

    Community files keep their values (float32) and get the spacing that the challenge states. Challenge files are
    normalised over the whole scan, then cropped by `crop_box`. Scan folders may lie deeper, as in
    `2018LA_Seg_Training Set/ID`. Scans may be missing, as long as one of the 80 training scans is there; the lists then
    name the others.

    Args:
        source: the folder of either form; see `TREES`.
        target: the dataset's new folder; it must not exist, or be empty.
        progress: called with (cases written, cases in all).
        tell: called with each remark, such as scans left out.

    Raises:
        UserError: source in neither form, no training scan, one scan twice, a damaged file, a target that is not empty.
    """
    source = Path(source)
    tell = tell or (lambda remark: None)
    if not source.is_dir():
        raise UserError(f"{source} is no folder; LA is imported from\n{TREES}")
    community, challenge = _scans(source, COMMUNITY_FILE), _scans(source, IMAGE_FILE, LABEL_FILE)
    if not community and not challenge:
        raise UserError(f"{source} does not hold LA; it is imported from\n{TREES}")
    passed_over: list[Path] = []
    if community:
        if challenge:
            tell(f"the {COMMUNITY_FILE} files are imported; the {IMAGE_FILE} files beside them are not read")
            passed_over += (folder / name for folder in challenge.values() for name in (IMAGE_FILE, LABEL_FILE))
        tell(f"{COMMUNITY_FILE} has no spacing: {SPACING_MM} mm along all axes is written, as the challenge states it")
        files = {name: (folder / COMMUNITY_FILE,) for name, folder in community.items()}
        cases = {name: Readable(partial(_community, *paths), paths) for name, paths in files.items()}
    else:
        cases = {
            name: Readable(partial(_challenge, folder, tell), (folder / IMAGE_FILE, folder / LABEL_FILE))
            for name, folder in challenge.items()
        }
    lists = standard_lists()
    others = sorted(set(cases) - {name for names in lists.values() for name in names})
    if others:
        tell(f"scans left out, not of the usual 100: {len(others)} ({listed(others)})")
    passed_over += (file for name in others for file in cases[name].files)
    return write_import(source, target, cases, lists, DESCRIPTION, progress, tell, passed_over)


def standard_lists() -> dict[str, list[str]]:
    """The case names of train, test, train_4_label, train_8_label and train_16_label."""
    folder = package_files("crossmatch.importers") / "splits" / "la"
    names = ["train", "test", *(f"train_{n}_label" for n in LABELLED_SCANS)]
    return {name: (folder / f"{name}.txt").read_text(encoding="utf-8").split() for name in names}


def _scans(source: Path, *names: str) -> dict[str, Path]:
    """Scan ID -> its folder, for folders that hold a file of one of these names."""
    folders = sorted({path.parent for name in names for path in _at_any_depth(source, name)})
    return only_once(source, ((folder.name, folder) for folder in folders))


def _at_any_depth(source: Path, name: str) -> Iterator[Path]:
    for depth in range(1, _DEEPEST + 1):
        yield from source.glob("*/" * depth + name)


def _community(path: Path) -> tuple[Volume, Array]:
    """Image and label of one `mri_norm2.h5`, values as they are."""
    image, label = read_pair(path, rank=3, classes=2)
    return new_volume(image.astype(np.float32, copy=False), COMMUNITY_AFFINE), label


def _challenge(folder: Path, tell: Tell) -> tuple[Volume, Array]:
    """Image and label of one scan of the challenge, normalised over the whole scan, then cropped."""
    image, drawn = (formats.read(folder / name) for name in (IMAGE_FILE, LABEL_FILE))
    turn = turn_onto(image, drawn)
    if turn is None:
        raise UserError(
            f"{folder}: {LABEL_FILE} {drawn.shape} lies on another grid than {IMAGE_FILE} {image.shape}: "
            "copy both files again."
        )
    drawn = turn_volume(drawn, turn)
    label = (drawn.voxels == LABEL_VALUE).astype(np.uint8)
    if not label.any():
        raise UserError(f"{folder / LABEL_FILE} has no voxel of value {LABEL_VALUE}, the atrium: copy it again.")
    strays = np.setdiff1d(drawn.voxels, (0, LABEL_VALUE))
    if strays.size:
        values = listed(f"{value:g}" for value in strays)
        tell(
            f"{folder / LABEL_FILE} also holds {values}; only {LABEL_VALUE} is the atrium, the rest becomes background"
        )
    deviation = float(image.voxels.std(dtype=np.float64))
    if not deviation > 0:
        raise UserError(f"{folder / IMAGE_FILE} has one grey value or some that are no numbers: copy it again.")
    box = crop_box(label, folder.name)
    mean = float(image.voxels.mean(dtype=np.float64))
    cropped = ((image.voxels[box].astype(np.float64) - mean) / deviation).astype(np.float32)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [axis.start for axis in box]
    return new_volume(cropped, affine if image.spacing_mm else None), label[box]


def crop_box(label: Array, name: str) -> tuple[slice, ...]:
    """The part of a scan that is kept: the label's bounding box, widened to `PATCH`, and a margin in x and y; all of z.

    UA-MT's released preprocessing (Yu et al., MICCAI 2019) does the same, but draws the four margins at random. Here
    they follow from the case name, so that every import is equal: the first four bytes of its SHA-256 choose from
    `MARGIN`, for low x, high x, low y and high y. The box does not leave the scan.

    Args:
        label: (x, y, z), not empty.
        name: the case.
    """
    smallest, largest = MARGIN
    margins = [smallest + byte % (largest - smallest + 1) for byte in hashlib.sha256(name.encode()).digest()[:4]]
    box = []
    for axis, patch in enumerate(PATCH):
        inside = np.flatnonzero(label.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = int(inside[0]), int(inside[-1])
        missing = max(0, patch - (last - first + 1) + 1) // 2  # on each side, rounded up
        low, high = margins[2 * axis : 2 * axis + 2]
        box.append(slice(max(0, first - missing - low), min(label.shape[axis], last + missing + high + 1)))
    return (*box, slice(0, label.shape[2]))
