"""Masks of scans whose labels a run has used: how good these are says little about new scans."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossmatch import formats
from crossmatch.atomic import file_sha256
from crossmatch.dataset.layout import read_description
from crossmatch.errors import UserError
from crossmatch.reports.scans import images_of_dataset
from crossmatch.reports.seen_before import note, used_labels
from crossmatch.runs.run import Run
from crossmatch.scoring.stored import Prediction

KINDS = {"training": "the run learned from their labels", "validation": "the run was validated with them"}


def labelled_scans(run: Run, made: Prediction, folder: Path, cases: Sequence[str]) -> dict[str, str]:
    """Case -> training or validation, for the masks of scans whose labels the run, or one that made them, has used.

    A case of another dataset may have such a name, so the scan must be in the run's dataset, or be the same file.

    Args:
        made: what prediction.json says of the masks; folder: where they lie; cases: their names.
    """
    own: list[Any] = [run.data, *(each.get("data", {}) for each in (made, *made.get("members", [])))]
    used: dict[str, str] = {}
    for facts in own:
        if facts.get("name") == run.data["name"]:
            for case, kind in used_labels(facts).items():
                note(used, case, kind)
    scans, told = made.get("scans", {}), {}
    for case in cases:
        if case in used and _is_of_dataset(run, case, folder, scans.get(case, [])):
            told[case] = used[case]
    return told


def told_of_labelled(known: Mapping[str, str], masks: int) -> list[str]:
    """A sentence that counts them; none where there are none. `masks`: how many there are in all."""
    counts = {kind: list(known.values()).count(kind) for kind in KINDS}
    told = [f"{count} of {masks} are {kind} cases: {KINDS[kind]}" for kind, count in counts.items() if count]
    return [f"{'; '.join(told)}. They say little about new scans, so none is chosen for pictures."] if told else []


def _is_of_dataset(run: Run, case: str, folder: Path, recorded: Sequence[Any]) -> bool:
    """Whether a mask is of the scan that the run's dataset has under this name; so it counts where nobody knows."""
    files = [each for each in recorded if isinstance(each, dict) and isinstance(each.get("path"), str)]
    if not files:
        return True
    first = folder.resolve() / files[0]["path"]
    scan = first if formats.stem(first) is not None else first.parent  # a folder of DICOM slices
    root = scan.parent.resolve().parent
    if root == Path(run.data["root"]).resolve():
        return True
    try:
        if (root / "dataset.json").is_file() and read_description(root).name == run.data["name"]:
            return True  # the dataset was moved or copied
        parts = [part for image in images_of_dataset(Path(run.data["root"]), case) for part in formats.parts(image)]
        if [part.stat().st_size for part in parts] != [each.get("size") for each in files]:
            return False
        return [file_sha256(part) for part in parts] == [each.get("sha256") for each in files]
    except (UserError, OSError):
        return False
