"""The folders in which scans are looked for."""

import os
from collections.abc import Iterator
from pathlib import Path

from crossmatch.errors import UserError


def folders_below(top: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and all visible ones below it, each once: links are followed, also where they lead in a circle.

    Yields:
        The folder, and the names of those in it, sorted, links last. Names that are removed are not gone into.

    Raises:
        UserError: a folder that cannot be read.
    """
    seen: set[str] = set()
    for place, below, _ in os.walk(top, followlinks=True, onerror=_unreadable):
        real = os.path.realpath(place)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        visible = [(os.path.islink(os.path.join(place, name)), name) for name in below if not name.startswith(".")]
        below[:] = [name for _, name in sorted(visible)]
        yield Path(place), below


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read ({error.strerror}): change its permissions, or remove it.")
