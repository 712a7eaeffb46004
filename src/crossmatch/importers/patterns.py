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
from crossmatch.importers.set_aside import PREDICTIONS, Aside, aside_notes, held_in, maps_in, predicted_in
from crossmatch.importers.wishes import Wishes


class ChosenFile(NamedTuple):
    """A file of the source, and what the patterns say of it."""

    path: Path
    parts: tuple[str, ...]  # folders and stem that tell the case
    label: bool | None  # None: its words decide
    test: bool


class FoundBelow(NamedTuple):
    """What lies below a folder."""

    scans: list[Path]  # a DICOM series being one
    unclaimed: list[str]  # names of files that are none
    aside: Aside  # not looked into, as it is no scan of this source


def scans_below(source: Path) -> FoundBelow:
    """Every scan below a folder, but for predictions, runs and other datasets that lie there, see `set_aside`."""
    if not source.is_dir():
        raise UserError(
            f"{source} {'is a file' if source.exists() else 'does not exist'}: name the folder of the scans."
        )
    series = [path for _, path in formats.series_in(source)]
    predicted = predicted_in(source)
    found: list[Path] = []
    unused: list[str] = []
    aside: Aside = {PREDICTIONS: [*predicted]} if predicted else {}
    for folder, below in formats.folders_below(source):
        passed = {*(predicted if folder == source else ())}
        scans = [path for _, path in formats.files_in(folder) if path.name not in passed]
        found += scans
        taken = {path.name for path in scans}
        left = formats.unclaimed_in(folder)
        if folder in series:
            no_slices = set(formats.not_slices(folder))
            left = [path for path in left if path in no_slices]
        unused += [str(path.relative_to(source)) for path in left if not path.is_dir()]
        for name in below:
            if name not in passed and (held := held_in(folder / name)) is not None:
                aside.setdefault(held, []).append(str((folder / name).relative_to(source)))
                passed.add(name)
        below[:] = [name for name in below if name not in taken | passed]
    away = [source / name for names in aside.values() for name in names]
    found = [path for path in series if not any(path.is_relative_to(place) for place in away)] + found
    return FoundBelow(found, unused, aside)


def scans_asked_for(source: Path, aside: Aside, pattern: str) -> list[Path]:
    """The files of folders that are set aside, where the fixed beginning of a pattern names such a folder."""
    fixed = source
    for part in Path(pattern).parts:
        if re.search(r"[*?\[]", part):
            break
        fixed /= part
    away = [source / name for names in aside.values() for name in names]
    if not any(fixed.is_relative_to(place) for place in away):
        return []
    top = fixed if fixed.is_dir() else fixed.parent
    asked: list[Path] = []
    for folder, below in formats.folders_below(top):
        asked += [path for _, path in formats.files_in(folder)]
        below[:] = [name for name in below if name not in maps_in(folder)]
    return asked


def remarks_on(source: Path, unclaimed: list[str], aside: Aside) -> list[str]:
    """What an import says of files of a source that are no scans, and of folders that it does not look into."""
    return [f"{told[0].upper()}{told[1:]}." for told in [*formats.unused_notes(source, unclaimed), *aside_notes(aside)]]


def unused_below(source: Path, used: Iterable[Path], why: str) -> list[str]:
    """Remarks that name the files below a source which an import does not use.

    Args:
        used: scans and other files; why: of the scans that are not among them.
    """
    scans, unclaimed, aside = scans_below(source)
    known = {os.path.normpath(path) for path in used}
    rest = [str(path.relative_to(source)) for path in scans if os.path.normpath(path) not in known]
    others = [name for name in unclaimed if os.path.normpath(source / name) not in known]
    remarks = [f"Not used, {why}: {listed(sorted(rest))}."] if rest else []
    return remarks + remarks_on(source, others, aside)


def choose(source: Path, below: FoundBelow, wishes: Wishes) -> list[ChosenFile]:
    """The files that the patterns name, with what they say of each; all scans where there is no pattern.

    Files of folders that are set aside are taken where a pattern names the folder, as in --labels out.
    """
    chosen: dict[Path, ChosenFile] = {}
    parts = {path: _parts(path, source) for path in below.scans}
    patterns = (("--test", wishes.test), ("--images", wishes.images), ("--labels", wishes.labels))
    for option, pattern in patterns:
        if pattern is None:
            continue
        scans = [*below.scans, *scans_asked_for(source, below.aside, pattern)]
        matched = {path: told for path in scans if (told := _told(source, path, pattern)) is not None}
        if not matched:
            passed = "".join(f" {told[0].upper()}{told[1:]}." for told in aside_notes(below.aside))
            raise UserError(
                f"{option} {pattern} matches none of the scans in {source}, such as {listed(list(parts)[:3])}.{passed}"
            )
        for path, told in matched.items():
            kind = {"--images": False, "--labels": True}.get(option)
            before = chosen.get(path)
            if before is not None and not before.test:
                raise UserError(f"{path} matches both --images and --labels: give patterns that tell them apart.")
            test = option == "--test" or before is not None
            chosen[path] = ChosenFile(path, told, kind, test)
    for path in below.scans:
        if path not in chosen and wishes.images is None:  # labels alone were named, or nothing: words decide
            chosen[path] = ChosenFile(path, parts[path], None if wishes.labels is None else False, False)
        elif path not in chosen and wishes.labels is None and role_of(parts[path][:-1], parts[path][-1], ()).label:
            chosen[path] = ChosenFile(path, parts[path], True, False)
    return [chosen[path] for path in dict.fromkeys([*below.scans, *chosen]) if path in chosen]


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
