"""Which scan each mask was made from: kept in `prediction.json`, so that no mask is taken for that of another scan.

Names do not tell scans apart: two patients' files may both be called img.nii.gz. Times do not either: a scan can be
replaced by an older file. So each file is known by its path, size and times, and by the digest of its bytes.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch import formats
from crossmatch.errors import listed
from crossmatch.formats import same_grid
from crossmatch.inference.inputs import Scan

_SECONDS = 30.0  # between two writings of the digests; what a killed process has not written is told by sizes and times


@with_config(ConfigDict(extra="forbid"))
class SourceFile(TypedDict):
    """A file of a scan as it was when its mask was made."""

    path: str  # from the folder of the masks
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int  # changes with every change of the file, whatever its time says
    sha256: str | None  # of its bytes; None until it is read


Recorded = dict[str, list[SourceFile]]  # case -> the files of its channels, in order


class Sources:
    """What the masks of one folder are made from. The threads of a prediction may call it at once."""

    def __init__(self, recorded: Recorded, save: Callable[[Recorded], None]) -> None:
        self._recorded = dict(recorded)
        self._save = save
        self._lock = Lock()
        self._saved = time.monotonic()

    def begin(self, scans: Mapping[str, list[SourceFile]]) -> None:
        """Write down what each scan is, before its mask is made: then every mask is one of the scan recorded."""
        with self._lock:
            self._recorded |= scans
            self._write()

    def read(self, name: str, files: Iterable[Path]) -> None:
        """Add the digests of a scan's files."""
        digests = [_digest(path) for path in files]
        with self._lock:
            for file, sha256 in zip(self._recorded[name], digests, strict=True):
                file["sha256"] = sha256
            if time.monotonic() - self._saved > _SECONDS:
                self._write()

    def finish(self) -> None:
        """Write the digests that are not written yet."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        self._save(self._recorded)
        self._saved = time.monotonic()


def kept_masks(target: Path, scans: Sequence[Scan], made: Sequence[tuple[Path, ...]], recorded: Recorded) -> Recorded:
    """The scans whose files an earlier call made from the same content, with the state of their files."""
    kept = {}
    for scan, files in zip(scans, made, strict=True):
        before = recorded.get(scan.name)
        if before is None or not all(path.is_file() for path in files):
            continue
        state = _unchanged(target, before, scan.channels)
        if state is not None and same_grid(formats.read_grid(files[0]), scan.grid):
            kept[scan.name] = state
    return kept


def remove_outdated(target: Path, scans: Sequence[Scan], warn: Callable[[str], None]) -> None:
    """Remove what earlier calls made for other scans of these names, so that no mask lies there for a wrong scan."""
    names, outdated = {scan.name for scan in scans}, []
    for folder in (target, target / "probabilities"):
        for name, path in formats.files_in(folder) if folder.is_dir() else []:
            if name in names:
                path.unlink()
                outdated += [name] if folder == target else []
    if outdated:
        warn(
            f"predicted again, because their masks in {target} were made from other scans of these names, or do not "
            f"say from which: {listed(outdated)}"
        )


def current(target: Path, files: Iterable[Path]) -> list[SourceFile]:
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
    present = current(target, files)
    if len(recorded) != len(present):
        return None
    for before, after, path in zip(recorded, present, files, strict=True):
        after["sha256"] = before["sha256"]
        if before == after:
            continue
        if before["size"] != after["size"] or before["sha256"] is None or _digest(path) != before["sha256"]:
            return None
    return present


def _digest(path: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
