"""What lies below a folder of scans and is none of them: predictions, runs, exported models, other datasets.

Each of these folders has a file by which it is known. What lies deeper in it belongs to it.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from crossmatch import formats
from crossmatch.errors import listed

Aside = dict[str, list[str]]  # what they hold -> names of folders and files below the source

PREDICTIONS = "predictions"
_ORIGIN = "prediction.json"
_MAPS = ("probabilities", "uncertainty")  # folders beside predicted masks
_MARKS = (  # a file, what must lie beside it (one is enough), what the folder holds
    (_ORIGIN, (), PREDICTIONS),
    ("made_by.json", (), "masks of an exported model"),
    ("run.json", (), "a run"),
    ("model.json", ("SHA256SUMS",), "an exported model"),
    ("dataset.json", ("imagesTr", "imagesTs"), "a dataset (name it, or its imagesTr, to use its scans)"),
)


def held_in(folder: Path) -> str | None:
    """What a folder holds instead of scans of the source; None where nothing says so."""
    for mark, beside, held in _MARKS:
        if (folder / mark).is_file() and (not beside or any((folder / name).exists() for name in beside)):
            return held
    return None


def predicted_in(source: Path) -> list[str]:
    """The names of the masks and folders of maps that `predict` wrote into a folder of scans itself.

    They are known by the cases that its note names; all files count as masks where it cannot be read.
    """
    if not (source / _ORIGIN).is_file():
        return []
    files = formats.files_in(source)
    try:
        cases = {*json.loads((source / _ORIGIN).read_text(encoding="utf-8"))["scans"]}
    except (ValueError, KeyError, TypeError):
        cases = {name for name, _ in files}
    return [path.name for name, path in files if name in cases] + maps_in(source)


def maps_in(folder: Path) -> list[str]:
    """The names of the folders beside predicted masks that hold maps of the same cases."""
    return [name for name in _MAPS if (folder / _ORIGIN).is_file() and (folder / name).is_dir()]


def without(source: Path, aside: Aside, taken: Iterable[Path]) -> Aside:
    """What stays set aside of a source where some of its files were asked for."""
    used = {place for path in taken for place in (path, *path.parents)}
    left = {held: [name for name in names if source / name not in used] for held, names in aside.items()}
    return {held: names for held, names in left.items() if names}


def aside_notes(aside: Aside) -> list[str]:
    """A sentence on what is set aside; none where nothing is."""
    parts = [f"{listed(names)}, which hold{'s' * (len(names) == 1)} {held}" for held, names in aside.items()]
    return [f"not used: {'; '.join(parts)}"] if parts else []
