"""Scans and masks for pictures: which files they are, and their voxels in one frame.

Shapes: (x, y, z) volumes in the frame of a run's dataset.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from crossmatch import formats
from crossmatch.atomic import read_json
from crossmatch.dataset.layout import Description, Listing, list_cases, read_description
from crossmatch.dataset.orientation import Frame, Turn, read_label, turn_into, turn_volume
from crossmatch.errors import UserError
from crossmatch.formats import Array, Volume
from crossmatch.reports.slices import shown_scan
from crossmatch.scoring.largest import largest_components_of
from crossmatch.scoring.metrics import counted, dice
from crossmatch.scoring.scores import Evaluation

ORIGIN = "prediction.json"


@dataclass(frozen=True)
class OpenScan:
    """A scan that masks are brought onto: its first channel, or its picture in colours."""

    image: Volume  # in the frame
    _stored: Volume
    _turn: Turn

    def mask(self, path: Path, labels: Mapping[str, int]) -> Array:
        """A mask of this scan (*S), labels, in the frame."""
        return turn_volume(read_label(path, self._stored, labels), self._turn).voxels


def open_scan(files: Sequence[Path], frame: Frame | None) -> OpenScan:
    """The first channel of a scan, or its picture in colours, turned into a frame.

    Raises:
        UserError: it cannot be read.
    """
    channels = formats.read_channels(files[:1])
    stored = channels[0]
    turn = turn_into(frame, stored)
    return OpenScan(shown_scan([turn_volume(channel, turn) for channel in channels]), stored, turn)


class CaseFiles(NamedTuple):
    """The files of a case of a dataset, and what its label says."""

    images: tuple[Path, ...]
    label: Path
    drawn: dict[str, int]  # name -> value, background and the label to be ignored among them
    ignore: int | None


def case_of_dataset(root: Path, case: str) -> CaseFiles:
    """The files of a case with a reference.

    Raises:
        UserError: the dataset is gone, or has no image or no label of that name.
    """
    listing, description = _listed(root)
    if case not in listing.images or case not in listing.labels:
        raise UserError(f"the dataset {root} has no image or no label of that name.")
    return CaseFiles(listing.images[case], listing.labels[case], description.drawn, description.ignore)


def images_of_dataset(root: Path, case: str) -> tuple[Path, ...]:
    """The files of a case's scan.

    Raises:
        UserError: the dataset is gone, or has no image of that name.
    """
    listing, _ = _listed(root)
    if case not in listing.images:
        raise UserError(f"nothing says where its scan is, and the dataset {root} has none of that name.")
    return listing.images[case]


def _listed(root: Path) -> tuple[Listing, Description]:
    if not (root / "dataset.json").is_file():
        raise UserError(f"the dataset is not at {root} any more.")
    description = read_description(root)
    return list_cases(root, description), description


def mask_of(folder: Path, case: str) -> Path:
    """The mask of a case in a folder.

    Raises:
        UserError: there is none.
    """
    mask = dict(formats.files_in(folder)).get(case) if folder.is_dir() else None
    if mask is None:
        raise UserError(f"there is no mask of {case} in {folder}.")
    return mask


def scored_pair(scan: OpenScan, files: CaseFiles, mask: Path, evaluation: Evaluation, case: str) -> tuple[Array, Array]:
    """Reference and prediction (*S) of an evaluated case, as they were scored.

    Both are background where the reference is to be ignored. The prediction has the largest component of each class
    where only that was scored.

    Raises:
        UserError: a file cannot be read, or the masks are not those that were evaluated: a Dice differs.
    """
    reference, prediction = scan.mask(files.label, files.drawn), scan.mask(mask, files.drawn)
    if evaluation.largest_component:
        prediction = largest_components_of(prediction, evaluation.labels.values())
    prediction, reference = counted(prediction, reference, files.ignore)
    for row in evaluation.rows:
        if row.case == case:
            now = dice(prediction == row.value, reference == row.value)
            if abs(now - row.scores["dice"]) > 1e-6:
                raise UserError(f"{mask} and {files.label} are not what was evaluated; evaluate again.")
    return reference, prediction


def recorded_scans(folder: Path) -> dict[str, list[Path]]:
    """Case -> the files that its mask in a folder was made from, as `predict` wrote them down; none where it did not.

    Raises:
        UserError: prediction.json is damaged.
    """
    path = folder / ORIGIN
    if not path.is_file():
        return {}
    stored = read_json(path, dict[str, Any], "predict again into another folder").get("scans", {})
    found: dict[str, list[Path]] = {}
    for case, files in stored.items() if isinstance(stored, dict) else ():
        paths = [each["path"] for each in files if isinstance(each, dict) and isinstance(each.get("path"), str)]
        if paths:
            found[case] = [Path(os.path.normpath(folder.resolve() / each)) for each in paths]
    return found


def scan_file(files: Sequence[Path]) -> Path:
    """What to open of a scan's files: the first, or the folder of a DICOM series.

    Raises:
        UserError: it is gone.
    """
    first = files[0] if formats.stem(files[0]) is not None else files[0].parent
    if not first.exists():
        raise UserError(f"its scan is not at {first} any more.")
    return first
