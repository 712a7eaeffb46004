"""What importers share: no scan twice, cases written in nnU-Net's layout with lists and description, the check.

Shapes: image and label are (x, y, z) in the file's axis order.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crossmatch.atomic import new_folder
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import SPLITS, Dataset, open_dataset
from crossmatch.dataset.fingerprint import Fingerprint, Progress
from crossmatch.dataset.writing import write_case, write_description
from crossmatch.errors import UserError, listed
from crossmatch.formats import Array, Volume
from crossmatch.importers.unread_files import unread_in

Read = Callable[[], tuple[Volume, Array]]  # -> image and label, one shape
Tell = Callable[[str], None]  # takes a remark about something left out


class Readable(NamedTuple):
    """Image and label of one case of a source."""

    read: Read
    files: tuple[Path, ...]  # that `read` reads; a folder stands for all in it


def only_once(source: Path, found: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Name -> path, of what was found in the folders of a source.

    Raises:
        UserError: a name that was found in two places.
    """
    places: dict[str, Path] = {}
    for name, path in found:
        if name in places:
            raise UserError(
                f"{source} holds {name} twice, in {places[name]} and {path}: remove one, or import the folder of "
                "one copy."
            )
        places[name] = path
    return places


def write_import(
    source: Path,
    target: str | os.PathLike[str],
    cases: Mapping[str, Readable],
    wanted: Mapping[str, Sequence[str]],
    description: Mapping[str, Any],
    progress: Progress | None,
    tell: Tell,
    passed_over: Iterable[Path] = (),
) -> Dataset:
    """Write the cases of the standard lists that are there. What is missing is told, and noted in dataset.json.

    Files of the source that are not read are named.

    The dataset appears under its name when it is complete and checked. After an error nothing is left.

    Args:
        source: the folder that the cases come from.
        target: the dataset's new folder.
        cases: by name.
        wanted: list name -> case names; ``train``, ``val``, ``test`` decide what is written, ``train_N_label`` what
            counts as labelled. Cases on no split's list are left out.
        description: content of dataset.json, with ``labels``. What is missing is added to its ``description``, and the
            counts are filled in.
        progress: called with (cases written, cases in all).
        tell: called with each remark.
        passed_over: files and folders that are not read, as every user of the dataset expects or was told already.

    Raises:
        UserError: no training case is there, `target` is not empty, a damaged file, an image that is constant or not
            finite, a label value that `description` does not name.
    """
    lists = {name: [case for case in names if case in cases] for name, names in wanted.items()}
    present = [case for split in SPLITS for case in lists.get(split, [])]
    if not lists["train"]:
        raise UserError(
            f"None of the {len(wanted['train'])} standard training cases is there (found "
            f"{listed(sorted(cases)) or 'none'}): add training cases to the source."
        )
    missing = _missing(lists, wanted)
    if missing:
        tell(missing)
    if unread := unread_in(source, [*passed_over, *(file for name in present for file in cases[name].files)]):
        tell(f"not read: {listed(unread)}")
    with new_folder(Path(target)) as folder:
        for done, name in enumerate(present, start=1):
            image, label = cases[name].read()
            _refuse(name, image.voxels, label, description["labels"])
            write_case(folder, name, image, label, test=name in lists.get("test", []))
            if progress is not None:
                progress(done, len(present))
        noted = "; ".join(part for part in (description["description"], missing) if part)
        write_description(folder, lists, {**description, "description": noted})
        fingerprint = check(folder, becomes=target)
    return finished(target, fingerprint, tell)


def finished(target: str | os.PathLike[str], fingerprint: Fingerprint, tell: Tell) -> Dataset:
    """Open a dataset that was checked before it was put in its place, and tell its warnings.

    Args:
        target: the dataset's folder.
        fingerprint: what `check` found.
        tell: called with each warning.
    """
    for warning in fingerprint.warnings:
        tell(warning)
    return open_dataset(target)


def of_source(message: str, folder: Path, target: Path, origins: Mapping[str, str]) -> str:
    """A message about files of the dataset as one about the source's files.

    Args:
        folder: where the dataset was made; target: where it goes.
        origins: file of the dataset -> file of the source.
    """
    for file in sorted(origins, key=len, reverse=True):
        message = message.replace(file, origins[file])
    return message.replace(str(folder), str(target))


def _refuse(name: str, image: Array, label: Array, labels: Mapping[str, int]) -> None:
    """Refuse what `check` would refuse in a case, before its files are written; the message names the source."""
    bad = image.size - int(np.isfinite(image).sum())
    unknown = np.setdiff1d(label, list(labels.values())).tolist()
    if bad:
        wrong = f"The image of {name} has {bad} voxels that are NaN or infinite"
    elif image.min() == image.max():
        wrong = f"The image of {name} is constant, every voxel is {image.flat[0]:g}"
    elif unknown:
        declared = ", ".join(f"{value} {label}" for label, value in labels.items())
        wrong = f"The label of {name} holds {listed(unknown)}, labels are {declared}"
    else:
        return
    raise UserError(f"{wrong}: copy its file again, or take the scan out of the source; nothing was written.")


def _missing(lists: Mapping[str, Sequence[str]], wanted: Mapping[str, Sequence[str]]) -> str:
    """A remark about the cases of the standard lists that are not there; empty when all are."""
    parts = [
        f"{len(wanted[name]) - len(lists[name])} of {len(wanted[name])} in {name}"
        for name in wanted
        if len(lists[name]) < len(wanted[name])
    ]
    return f"cases of the standard lists that are missing: {', '.join(parts)}" if parts else ""
