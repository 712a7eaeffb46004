"""What every importer does once it can read its cases: write nnU-Net's layout, lists and description, and check it.

Shapes: image and label are (x, y, z) in the file's axis order.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from crossmatch.data.check import check
from crossmatch.data.dataset import SPLITS, Dataset, open_dataset
from crossmatch.data.files import Array, Volume, write_volume
from crossmatch.data.fingerprint import Progress
from crossmatch.data.target import new_folder
from crossmatch.errors import UserError

Read = Callable[[], tuple[Volume, Array]]  # -> image and label, one shape
Tell = Callable[[str], None]  # takes a remark about something left out


def write_import(
    target: str | os.PathLike[str],
    cases: Mapping[str, Read],
    wanted: Mapping[str, Sequence[str]],
    description: Mapping[str, object],
    progress: Progress | None,
    tell: Tell,
) -> Dataset:
    """Write the cases that the standard lists name and that are there; what is missing is told and noted.

    Args:
        target: the dataset's new folder.
        cases: case name -> how to read it.
        wanted: list name -> case names; ``train``, ``val``, ``test`` decide what is written, ``train_N_label`` what
            counts as labelled. Cases on no split's list are left out.
        description: content of dataset.json; ``description`` gets what is missing added, the counts are filled in.
        progress: called with (cases written, cases in all); tell: called with each remark.

    Raises:
        UserError: no training case is there, `target` is not empty, a damaged file.
    """
    lists = {name: [case for case in names if case in cases] for name, names in wanted.items()}
    present = [case for split in SPLITS for case in lists.get(split, [])]
    if not lists["train"]:
        raise UserError(
            f"None of the {len(wanted['train'])} standard training cases is there (found "
            f"{', '.join(sorted(cases)[:5]) or 'none'}): add training cases to the source."
        )
    missing = _missing(lists, wanted)
    if missing:
        tell(missing)
    with new_folder(Path(target)) as folder:
        for done, name in enumerate(present, start=1):
            kind = "Ts" if name in lists.get("test", []) else "Tr"
            image, label = cases[name]()
            write_volume(folder / f"images{kind}" / f"{name}_0000.nii.gz", image.voxels, like=image)
            write_volume(folder / f"labels{kind}" / f"{name}.nii.gz", label, like=image)
            if progress is not None:
                progress(done, len(present))
        (folder / "splits").mkdir()
        for name, names in lists.items():
            if names:
                (folder / "splits" / f"{name}.txt").write_text("".join(f"{n}\n" for n in names), encoding="utf-8")
        counts = {
            "numTraining": len(lists["train"]) + len(lists.get("val", [])),
            "numTest": len(lists.get("test", [])),
            "file_ending": ".nii.gz",
        }
        noted = "; ".join(part for part in (str(description["description"]), missing) if part)
        text = json.dumps({**description, "description": noted, **counts}, indent=1)
        (folder / "dataset.json").write_text(text + "\n", encoding="utf-8")
    for warning in check(target).warnings:
        tell(warning)
    return open_dataset(target)


def _missing(lists: Mapping[str, Sequence[str]], wanted: Mapping[str, Sequence[str]]) -> str:
    """A remark about the cases of the standard lists that are not there; empty when all are."""
    parts = [
        f"{len(wanted[name]) - len(lists[name])} of {len(wanted[name])} in {name}"
        for name in wanted
        if len(lists[name]) < len(wanted[name])
    ]
    return f"cases of the standard lists that are missing: {', '.join(parts)}" if parts else ""
