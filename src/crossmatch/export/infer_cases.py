"""Which files of a folder are the channels of one scan, and what is noted beside their masks, for infer.py."""

import json
import re
from pathlib import Path
from typing import Any

SCAN = re.compile(r"([^.].*?)(_\d{4})?(\.nii\.gz|\.nii|\.png|\.jpe?g|\.tiff?|\.bmp)", re.IGNORECASE)


def cases_in(folder: Path, count: int) -> dict[str, list[Path]]:
    """The files of each case of a folder, one a channel; hidden files are left out.

    Args:
        folder: one that holds scans.
        count: channels that the model takes. With one, CASE_0007 is a case of that name, unless CASE_0000 is there.
    """
    found: dict[str, list[Path]] = {}
    matches = [match for path in sorted(folder.glob("*")) if (match := SCAN.fullmatch(path.name))]
    first = {match[1] for match in matches if match[2] == "_0000"}
    for match in matches:
        number = "" if count > 1 or match[1] in first else match[2] or ""
        found.setdefault(match[1] + number, []).append(folder / match[0])
    return found


def mask_name(path: Path, case: str) -> str:
    """The name of the mask of a case: NIfTI as the scan, whose first file is `path`, or PNG."""
    match = SCAN.fullmatch(path.name)
    return case + (match[3].lower() if match and "nii" in match[3].lower() else ".png")


def check_channels(files: list[Path], count: int) -> None:
    """A ValueError unless the files of a case are the channels 0 to count - 1; one picture may hold them all."""
    numbers = [match[2] or "_0000" for path in files if (match := SCAN.fullmatch(path.name))]
    alone = len(files) == 1 and (count == 1 or (numbers == ["_0000"] and mask_name(files[0], "") == ".png"))
    if not alone and numbers != [f"_{number:04d}" for number in range(count)]:
        told = f"{len(files)} channel{'s' * (len(files) > 1)} by the names ({', '.join(numbers)})"
        raise ValueError(f"{told}; the model takes {count}, CASE_0000 to CASE_{count - 1:04d}: add or rename files")


def begin(out: Path, about: dict[str, Any]) -> None:
    """Make a folder for masks and note the model there; a ValueError where masks of another model lie in it.

    Args:
        about: model.json.
    """
    said = {key: about.get(key) for key in ("network", "method", "checkpoint", "step", "weights_sha256")}
    made_by = json.dumps(said, indent=2).encode()
    if (note := out / "made_by.json").is_file() and note.read_bytes() != made_by:
        raise ValueError(f"{out} holds masks of another model, as {note} says: name another folder")
    out.mkdir(parents=True, exist_ok=True)
    note.write_bytes(made_by)
