"""A seal on test cases: while a network learns, whoever opens one of their files gets an error, not a scan."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_lock = threading.Lock()
_sealed: list[frozenset[str]] = []  # real paths, a set for each seal that is in force


class SealedError(RuntimeError):
    """A test case was to be opened while a network learns: a mistake of the program, not of its user."""


@contextmanager
def sealed(files: Iterable[Path]) -> Iterator[None]:
    """These files cannot be read in this process until the block ends.

    Enforced by `crossmatch.data.files`, where every case is opened, in all threads and under whatever name a file is
    reached.
    """
    seal = frozenset(os.path.realpath(path) for path in files)
    with _lock:
        _sealed.append(seal)
    try:
        yield
    finally:
        with _lock:
            _sealed.remove(seal)


def refuse_sealed(path: Path) -> None:
    """Raise SealedError if the file is under a seal."""
    if _sealed and (real := os.path.realpath(path)) and any(real in seal for seal in _sealed):
        raise SealedError(f"{path} belongs to a test case: it may not be opened while a network learns.")
