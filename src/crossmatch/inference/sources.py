"""Which scan each mask was made from, and how it was written: kept in `prediction.json`.

So no mask is taken for that of another scan, and none that was changed by hand for the network's.

Names do not tell scans apart: two patients' files may have one name. Times do not either: a scan can be
replaced by an older file. So each file is known by its path, size and times, and by the digest of its bytes.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from crossmatch import formats
from crossmatch.atomic import file_sha256
from crossmatch.errors import listed
from crossmatch.formats import same_grid
from crossmatch.inference.inputs import Scan
from crossmatch.inference.origin import (
    Masks,
    Recorded,
    file_state,
    read_recorded,
    write_origin,
)
from crossmatch.scoring.recorded_files import SourceFile, has_changed

_SECONDS = 30.0  # between two writings of the digests; what a killed process has not written is told by sizes and times


Files = tuple[Path, ...]  # the mask of a scan, then its probabilities and its uncertainty, where wanted


class Sources:
    """What the masks of one folder are made from. The threads of a prediction may call it at once."""

    def __init__(self, target: Path, facts: dict[str, Any], recorded: Recorded, masks: Masks, kept: Recorded) -> None:
        self.kept = kept  # the scans whose files are made
        self._target, self._facts, self._recorded, self._masks = target, facts, recorded, masks
        self._lock = Lock()
        self.save()

    def read(self, name: str, files: Iterable[Path]) -> None:
        """Add the digests of a scan's files."""
        digests = [file_sha256(path) for path in files]
        with self._lock:
            for file, sha256 in zip(self._recorded[name], digests, strict=True):
                file["sha256"] = sha256
        if time.monotonic() - self._saved > _SECONDS:
            self.save()

    def files(self, name: str) -> list[SourceFile]:
        """The files of a scan, as they are recorded."""
        with self._lock:
            return [file.copy() for file in self._recorded[name]]

    def wrote(self, name: str, mask: Path) -> None:
        """Add the mask of a scan, which holds what the network makes."""
        state = file_state(self._target, mask)
        with self._lock:
            self._masks[name] = state

    def mask(self, name: str) -> SourceFile:
        """The mask of a scan, as it was written."""
        with self._lock:
            return self._masks[name].copy()

    def is_edited(self, name: str, mask: Path) -> bool:
        """Whether a mask was changed since it was written; False where nobody knows, as of earlier versions."""
        with self._lock:
            written = self._masks.get(name)
        return written is not None and has_changed(mask, written)

    def save(self) -> None:
        """Write `prediction.json`."""
        with self._lock:
            write_origin(self._target, self._facts, self._recorded, self._masks)
            self._saved = time.monotonic()


@contextmanager
def known_sources(
    target: Path, facts: dict[str, Any], scans: Sequence[tuple[Scan, Files]], warn: Callable[[str], None]
) -> Iterator[Sources]:
    """Write down what each mask is made from before it is made, and the digests of what was read at the end.

    Masks that were made from other scans of these names are removed first: so every mask in the folder is one of the
    scan recorded, wherever a prediction stops.

    Args:
        target: the folder of the masks.
        facts: what makes them, see `origin`.
        scans: each with the files to make.
        warn: called with the scans that are predicted again.

    Raises:
        UserError: the folder holds masks of another origin.
    """
    recorded, masks = read_recorded(target, facts)
    same = _same(target, scans, recorded, masks)
    _remove_outdated(target, [scan for scan, _ in scans if scan.name not in same], warn)
    present = {scan.name: same.get(scan.name) or _current(target, scan.files) for scan, _ in scans}
    masks = {name: mask for name, mask in masks.items() if name in same or name not in present}
    # a call that was killed, or of an earlier version, has written masks and did not record them
    masks |= {scan.name: file_state(target, made[0]) for scan, made in scans if scan.name in same.keys() - masks.keys()}
    kept = {scan.name: same[scan.name] for scan, made in scans if scan.name in same and all(map(Path.is_file, made))}
    sources = Sources(target, facts, recorded | present, masks, kept)
    try:
        yield sources
    finally:
        sources.save()


def _same(target: Path, scans: Sequence[tuple[Scan, Files]], recorded: Recorded, masks: Masks) -> Recorded:
    """The scans whose masks an earlier call made from the same content, with the state of their files."""
    same = {}
    for scan, (mask, *_) in scans:
        before = recorded.get(scan.name)
        if before is None or not mask.is_file():
            continue
        state = _unchanged(target, before, scan.files)
        if state is None:
            continue
        if scan.name in masks or same_grid(formats.read_label_grid(mask, scan.grid), scan.grid):
            same[scan.name] = state
    return same


def _remove_outdated(target: Path, scans: Sequence[Scan], warn: Callable[[str], None]) -> None:
    """Remove what earlier calls made for other scans of these names, so that no mask lies there for a wrong scan."""
    names, outdated = {scan.name for scan in scans}, []
    for folder in (target, target / "probabilities", target / "uncertainty"):
        for name, path in formats.files_in(folder) if folder.is_dir() else []:
            if name in names:
                path.unlink()
                outdated += [name] if folder == target else []
    if outdated:
        warn(
            f"predicted again, because their masks in {target} were made from other scans of these names, or do not "
            f"say from which: {listed(outdated)}"
        )


def _current(target: Path, files: Iterable[Path]) -> list[SourceFile]:
    """The files of a scan as they are, unread; `target` is the folder of the masks."""
    found = []
    for path in files:
        stat = path.stat()
        shown = os.fsencode(os.path.relpath(path, target)).decode(errors="backslashreplace")
        found.append(
            SourceFile(path=shown, size=stat.st_size, mtime_ns=stat.st_mtime_ns, ctime_ns=stat.st_ctime_ns, sha256=None)
        )
    return found


def _unchanged(target: Path, recorded: list[SourceFile], files: Sequence[Path]) -> list[SourceFile] | None:
    """The files of a scan as they are, with their digests, if their content is the one recorded; else None.

    A file of another path or time is read and compared by its digest. One whose digest was not recorded counts as
    another.
    """
    present = _current(target, files)
    if len(recorded) != len(present):
        return None
    for before, after, path in zip(recorded, present, files, strict=True):
        after["sha256"] = before["sha256"]
        if before == after:
            continue
        if before["size"] != after["size"] or before["sha256"] is None or file_sha256(path) != before["sha256"]:
            return None
    return present
