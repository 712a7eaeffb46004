"""An accepted mask becomes the label of its case, beside its image, with a note of where it comes from.

DATA/labelsTr/CASE.nii.gz          the label, on the voxels of its image as that is stored; in labelsTs, if in imagesTs
DATA/review/CASE.json              its provenance: run, checkpoint, who, when, how many voxels were corrected
DATA/review/replaced/CASE.1.nii.gz a label that it replaced, as it was

The order is: keep the old label, write the note, then put the new label in its place by one renaming. So a killed
process leaves the old label or the new one, whole, and never a label without its note.
"""

import filecmp
import getpass
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Required

import numpy as np
from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch import formats
from crossmatch.atomic import read_json, write_json, written_aside
from crossmatch.errors import UserError
from crossmatch.formats import Array
from crossmatch.review.case_voxels import OpenCase
from crossmatch.review.places import Places
from crossmatch.runs.run import Run
from crossmatch.scoring.scored_files import seen_from

FOLDER, REPLACED = "review", "replaced"  # in the dataset's folder
_ORIGIN_KEYS = ("run", "checkpoint", "step", "weights_sha256", "flips")  # of prediction.json


class LabelNote(TypedDict, total=False):
    """DATA/review/CASE.json."""

    case: str
    label: Required[str]  # below the dataset's folder
    sha256: Required[str]
    run: Required[str]
    run_folder: str | None  # seen from the dataset's folder; None where no path leads there
    prediction: dict[str, Any] | None
    who: Required[str]
    when: Required[str]
    corrected_voxels: Required[int]
    corrected_voxels_by_class: dict[str, int]
    voxels: dict[str, int]
    replaced: str | None
    crossmatch: str
    earlier: list[dict[str, Any]]  # what was noted of labels before, oldest first


class LabelThereError(Exception):
    """The case has a label, and nobody said that it may be replaced."""


@dataclass(frozen=True)
class AcceptedLabel:
    """What was written."""

    path: Path
    corrected: int  # voxels that differ from the prediction
    replaced: Path | None  # where the old label is kept
    note: LabelNote


def label_of(root: Path, name: str) -> Path | None:
    """The label file of a case as it is now, in whatever format."""
    found = [path for stem, path in _labels(root) if stem == name]
    return found[0] if found else None


def label_folder(root: Path, images: Sequence[Path]) -> Path:
    """Where the label of a case belongs: labelsTs for an image of imagesTs, whatever split the case is in."""
    return root / ("labelsTs" if images[0].parent == root / "imagesTs" else "labelsTr")


def _labels(root: Path) -> list[tuple[str, Path]]:
    folders = [root / name for name in ("labelsTr", "labelsTs")]
    return [each for folder in folders if folder.is_dir() for each in formats.files_in(folder)]


def who() -> str:
    """The user's name, as the system knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no name for this number, as in some containers; Windows has none
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def accept(
    run: Run,
    root: Path,
    opened: OpenCase,
    labels: Array,
    predicted: Array | None,
    *,
    replace: bool,
    when: str,
    places: Places,
) -> AcceptedLabel:
    """Write a label.

    Args:
        run: that made the prediction; root: of the dataset.
        opened: the case; its images lie in the dataset.
        labels: (*S) uint8, on the grid of the image as stored.
        predicted: what the run said, (*S), or None where it said nothing.
        replace: whether a label that is there may be replaced; it is kept.
        when: local time.

    Raises:
        LabelThereError: there is a label and `replace` is False; nothing was written.
        UserError: the folder cannot be written to, or lies outside of the data's.
    """
    name = opened.case.name
    old = label_of(root, name)
    if old is not None and not replace:
        raise LabelThereError
    path = label_folder(root, opened.case.images) / f"{name}{_ending(root, opened, old)}"
    if not places.holds(path.parent):
        raise UserError(f"{path.parent} leads out of the dataset's folder ({path.parent.resolve()}): nothing written.")
    different = labels != (0 if predicted is None else predicted)
    kept = _keep(root, name, old) if old is not None else None
    with written_aside(path) as aside:
        formats.write(aside, labels, like=opened.grid, labels=opened.labels)
        with aside.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        note = _note(run, root, opened, path, digest, different, labels, when, kept)
        if old is None and label_of(root, name) is not None:  # it appeared while this one was written
            raise LabelThereError
        write_json(note_path(root, name), note)
    if old is not None and old.name != path.name:
        for part in formats.parts(old):
            part.unlink(missing_ok=True)
    return AcceptedLabel(path, int(different.sum()), kept, note)


def _ending(root: Path, opened: OpenCase, old: Path | None) -> str:
    """The ending of the label: of the one it replaces, else the dataset's usual one, else that of the image."""
    own = formats.mask_ending(opened.case.images[0], None, formats.Grid(opened.grid.shape, opened.grid.affine, None))
    usual = Counter(formats.ending(path) for _, path in _labels(root)).most_common(1)
    for found in ([formats.ending(old)] if old is not None else []) + [ending for ending, _ in usual]:
        try:
            grid = formats.Grid(opened.grid.shape, opened.grid.affine, None)
            if formats.mask_ending(opened.case.images[0], found[1:], grid) == found:
                return found
        except UserError:
            continue  # it is only read, or cannot hold this case
    return own


def _keep(root: Path, name: str, old: Path) -> Path:
    """Copy a label that is about to be replaced, under the next free number.

    One with its voxels in a second file gets a folder, in which both keep their names: the one names the other.
    """
    folder = root / FOLDER / REPLACED
    folder.mkdir(parents=True, exist_ok=True)
    tail = formats.ending(old) if formats.stands_alone(old) else f".files/{old.name}"
    number = 1
    while list(folder.glob(f"{_literal(name)}.{number}.*")):
        number += 1
    last = folder / f"{name}.{number - 1}{tail}"
    if last.is_file() and _equal_parts(last, old):
        return last  # a process that was killed kept it
    kept = folder / f"{name}.{number}{tail}"
    for part in formats.parts(old):
        with written_aside(kept if part == old else kept.with_name(part.name)) as aside:
            shutil.copyfile(part, aside)
    return kept


def _equal_parts(kept: Path, old: Path) -> bool:
    pairs = list(zip(formats.parts(kept), formats.parts(old), strict=False))
    return bool(pairs) and all(one.is_file() and filecmp.cmp(one, other, shallow=False) for one, other in pairs)


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _note(
    run: Run,
    root: Path,
    opened: OpenCase,
    path: Path,
    digest: str,
    different: Array,
    labels: Array,
    when: str,
    kept: Path | None,
) -> LabelNote:
    mask = opened.case.mask
    facts = {} if mask is None else {key: mask.facts[key] for key in _ORIGIN_KEYS if key in mask.facts}
    values = {name: value for name, value in opened.labels.items() if value}
    return {
        "case": opened.case.name,
        "label": path.relative_to(root).as_posix(),
        "sha256": digest,
        "run": run.folder.resolve().name,
        "run_folder": seen_from(root, run.folder),
        "prediction": facts or None,
        "who": who(),
        "when": when,
        "corrected_voxels": int(different.sum()),
        "corrected_voxels_by_class": {name: int((different & (labels == v)).sum()) for name, v in values.items()},
        "voxels": {name: int(np.count_nonzero(labels == value)) for name, value in values.items()},
        "replaced": kept.relative_to(root).as_posix() if kept else None,
        "crossmatch": version("crossmatch"),
        "earlier": _earlier(root, opened.case.name, kept),
    }


def note_path(root: Path, name: str) -> Path:
    """Where is noted what a case's label comes from, if it was accepted."""
    return root / FOLDER / f"{name}.json"


def is_in_place(root: Path, name: str, sha256: str) -> bool:
    """Whether the label of a case is the one with this digest."""
    label = label_of(root, name)
    if label is None:
        return False
    with label.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _earlier(root: Path, name: str, kept: Path | None) -> list[dict[str, Any]]:
    """What was noted of labels that this one follows, oldest first.

    A note whose label was never put in its place, since the process was killed, is left out: what it was to replace
    is what is replaced now.
    """
    path = note_path(root, name)
    if not path.is_file():
        return []
    note = read_json(path, LabelNote, "move it away")
    earlier = note.get("earlier", [])
    replaced = kept.relative_to(root).as_posix() if kept else None
    unfinished = note.get("replaced") == replaced and not is_in_place(root, name, note["sha256"])
    return earlier if unfinished else [*earlier, {key: value for key, value in note.items() if key != "earlier"}]
