"""Which files of a source an importer of a public dataset does not read, by their names alone."""

import os
from collections.abc import Iterable
from pathlib import Path

from crossmatch.formats import files_in, folders_below, unclaimed_in


def unread_in(source: Path, known: Iterable[Path]) -> list[str]:
    """The names below a source of files that are not read; of a folder that holds no other its name alone, and a slash.

    Args:
        known: files and folders that are read, or that need not be named.
    """
    source = Path(os.path.normpath(source))
    read = {Path(os.path.normpath(path)) for path in known}
    above = {parent for path in read for parent in path.parents}
    found: list[str] = []
    for folder, below in folders_below(source):
        files = [path for _, path in files_in(folder)] + [path for path in unclaimed_in(folder) if not path.is_dir()]
        found += [str(path.relative_to(source)) for path in files if path not in read]
        unused = [name for name in below if folder / name not in read | above]
        found += [f"{(folder / name).relative_to(source)}/" for name in unused if _holds_files(folder / name)]
        below[:] = [name for name in below if folder / name in above - read]
    return sorted(found)


def _holds_files(folder: Path) -> bool:
    return any(files for _, _, files in os.walk(folder, followlinks=False))
