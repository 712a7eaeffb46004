"""Label files that name their segments, as those of 3D Slicer do: the names become the labels of the dataset.

The value of a segment may differ from file to file. Names are equal in any case of letters.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from crossmatch import formats
from crossmatch.dataset.layout import IGNORE
from crossmatch.errors import UserError, listed

BACKGROUND = "background"


def labels_by_name(paths: Iterable[Path], remarks: list[str]) -> dict[str, int] | None:
    """Name -> value of all segments, in the order in which files show them; None where no file names any.

    Values are 1, 2, 3, ... Where some label files name no segments, they are those of the files that do.

    Args:
        paths: of the label files. One that cannot be read is left to who reads its voxels.
        remarks: gets a sentence on how many files show each segment.

    Raises:
        UserError: some files name no segments, and those that do give one name two values, or two names one.
    """
    named: dict[Path, dict[str, int]] = {}
    plain: list[Path] = []
    for path in paths:
        with suppress(UserError):
            segments = formats.segments_of(path)
            if segments:
                named[path] = {each.name.strip(): each.value for each in segments}
            else:
                plain.append(path)
    if not named:
        return None
    spelled: dict[str, str] = {}
    for segments_of_file in named.values():
        for name in segments_of_file:
            spelled.setdefault(name.casefold(), name)
    counts = Counter(spelled[name.casefold()] for found in named.values() for name in found)
    remarks.append(
        "Labels are the segments' names: "
        + listed((f"{name} ({count} of {len(named)} files)" for name, count in counts.items()), ", ")
    )
    order = [name for key, name in spelled.items() if key not in (BACKGROUND, IGNORE)]
    order += [IGNORE] if IGNORE in spelled else []
    if not plain:
        return {BACKGROUND: 0} | {name: value for value, name in enumerate(order, start=1)}
    values = _values_in_all(named, plain[0])
    return {BACKGROUND: 0} | {name: values[name.casefold()] for name in order}


def _values_in_all(named: Mapping[Path, Mapping[str, int]], plain: Path) -> dict[str, int]:
    """Name, in lower case -> value, where all files agree."""
    found: dict[str, tuple[int, Path]] = {}
    for path, segments in named.items():
        for name, value in segments.items():
            other = found.setdefault(name.casefold(), (value, path))
            if other[0] != value:
                raise UserError(
                    f"{plain} does not name its labels, and others disagree on what they mean: {name} is {other[0]} in "
                    f"{other[1]} and {value} in {path}. Save {plain.name} with named segments too, or give a segment "
                    "the same label value in every file."
                )
    values = [value for value, _ in found.values()]
    if len(set(values)) < len(values):
        raise UserError(
            f"{plain} does not name its labels, and in other files two segments have one value: save it with named "
            "segments too."
        )
    return {name: value for name, (value, _) in found.items()}
