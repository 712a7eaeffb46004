"""Which files of a source an import looks at: every scan below a folder, or those that the user's patterns name.

In a pattern * stands for any part of a name and ** for folders; what they stand for tells the case. A .* at the end
stands for any ending.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from crossmatch import formats
from crossmatch.errors import UserError, listed
from crossmatch.importers.roles import role_of
from crossmatch.importers.wishes import Wishes


class ChosenFile(NamedTuple):
    """A file of the source, and what the patterns say of it."""

    path: Path
    parts: tuple[str, ...]  # folders and stem that tell the case
    label: bool | None  # None: its words decide
    test: bool


def scans_below(source: Path) -> tuple[list[Path], list[str]]:
    """Every scan below a folder, a DICOM series being one, and the names of files that are none."""
    if not source.is_dir():
        raise UserError(
            f"{source} {'is a file' if source.exists() else 'does not exist'}: name the folder of the scans."
        )
    found = [path for _, path in formats.series_in(source)]
    series = set(found)
    unused: list[str] = []
    for folder, below in formats.folders_below(source):
        scans = [path for _, path in formats.files_in(folder)]
        found += scans
        taken = {path.name for path in scans}
        left = formats.unclaimed_in(folder)
        if folder in series:
            aside = set(formats.not_slices(folder))
            left = [path for path in left if path in aside]
        unused += [str(path.relative_to(source)) for path in left if not path.is_dir()]
        below[:] = [name for name in below if name not in taken]
    return found, unused


def unclaimed_remarks(source: Path, names: list[str]) -> list[str]:
    """What an import says of files of a source that are no scans."""
    return [f"{told[0].upper()}{told[1:]}." for told in formats.unused_notes(source, names)]


def unused_below(source: Path, used: Iterable[Path], why: str) -> list[str]:
    """Remarks that name the files below a source which an import does not use.

    Args:
        used: scans and other files; why: of the scans that are not among them.
    """
    scans, unclaimed = scans_below(source)
    known = {os.path.normpath(path) for path in used}
    rest = [str(path.relative_to(source)) for path in scans if os.path.normpath(path) not in known]
    others = [name for name in unclaimed if os.path.normpath(source / name) not in known]
    remarks = [f"Not used, {why}: {listed(sorted(rest))}."] if rest else []
    return remarks + unclaimed_remarks(source, others)


def choose(source: Path, scans: Iterable[Path], wishes: Wishes) -> list[ChosenFile]:
    """The files that the patterns name, with what they say of each; all of them where there is no pattern."""
    chosen: dict[Path, ChosenFile] = {}
    parts = {path: _parts(path, source) for path in scans}
    patterns = (("--test", wishes.test), ("--images", wishes.images), ("--labels", wishes.labels))
    for option, pattern in patterns:
        if pattern is None:
            continue
        matched = {path: told for path in scans if (told := _told(source, path, pattern)) is not None}
        if not matched:
            raise UserError(
                f"{option} {pattern} matches none of the scans in {source}, such as {listed(list(parts)[:3])}."
            )
        for path, told in matched.items():
            kind = {"--images": False, "--labels": True}.get(option)
            before = chosen.get(path)
            if before is not None and not before.test:
                raise UserError(f"{path} matches both --images and --labels: give patterns that tell them apart.")
            test = option == "--test" or before is not None
            chosen[path] = ChosenFile(path, told, kind, test)
    for path in scans:
        if path not in chosen and wishes.images is None:  # labels alone were named, or nothing: words decide
            chosen[path] = ChosenFile(path, parts[path], None if wishes.labels is None else False, False)
        elif path not in chosen and wishes.labels is None and role_of(parts[path][:-1], parts[path][-1], ()).label:
            chosen[path] = ChosenFile(path, parts[path], True, False)
    return [chosen[path] for path in scans if path in chosen]


def _parts(path: Path, above: Path) -> tuple[str, ...]:
    """The folders of a file below another, and its stem; accented letters in one spelling."""
    return tuple(map(formats.spelled, (*path.relative_to(above).parts[:-1], formats.stem(path) or path.name)))


def _told(source: Path, path: Path, pattern: str) -> tuple[str, ...] | None:
    """What a pattern leaves open in a path, which tells the case; None where it does not match."""
    source, path = Path(formats.spelled(str(source))), Path(formats.spelled(str(path)))
    pattern = formats.spelled(pattern).rstrip("/").removeprefix("./")
    if not re.search(r"[*?\[]", pattern):
        place = source / pattern
        if path == place:
            return (formats.stem(path) or path.name,)
        if not path.is_relative_to(place):
            return None
        return _parts(path, place)
    any_ending = pattern.endswith(".*")
    pieces = re.split(r"(\*\*/|\*|\?|\[[^]]+\])", pattern.removesuffix(".*"))
    open_places = {"**/": "(?:(.*)/)?", "*": "([^/]*)", "?": "([^/])"}
    expression = "".join(
        open_places.get(piece, f"({piece})" if n % 2 else re.escape(piece)) for n, piece in enumerate(pieces)
    )
    match = re.fullmatch(expression + r"\.[^/]*" * any_ending, path.relative_to(source).as_posix())
    if match is None:
        return None
    told = tuple(part for text in match.groups() if text for part in text.split("/"))
    last = formats.stem(told[-1]) if told and told[-1] == path.name else None  # "images/*" leaves the ending open too
    return (*told[:-1], last) if last else told
