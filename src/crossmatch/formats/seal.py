"""A seal on test cases: while a network learns, opening one of their files is an error."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_lock = threading.Lock()
_Inode = tuple[int, int]  # device and number: one file, whatever its names
_sealed: list[frozenset[_Inode]] = []  # a set for each seal that is in force


class SealedError(RuntimeError):
    """The program opened a test case while a network learns: a mistake of the program, not of its user."""


@contextmanager
def sealed(files: Iterable[Path]) -> Iterator[None]:
    """No thread of this process can open these files until the block ends, under any of their names.

    The registry of formats asks before it opens a file, for every format; so do `dicom` and `hdf5`.
    """
    seal = frozenset(found for path in files if (found := inode(path)))
    with _lock:
        _sealed.append(seal)
    try:
        yield
    finally:
        with _lock:
            _sealed.remove(seal)


def refuse_sealed(path: Path) -> None:
    """Raise SealedError if the file is under a seal."""
    if _sealed and (found := inode(path)) and any(found in seal for seal in _sealed):
        raise SealedError(f"{path} belongs to a test case: it may not be opened while a network learns.")


def inode(path: Path) -> _Inode | None:
    """Which file it is, whatever its name; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
