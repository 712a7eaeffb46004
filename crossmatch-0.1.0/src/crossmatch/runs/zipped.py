"""The zip file of a packed model: two files, stored as they are, read without unpacking.

Nothing is written when one is read. A file that holds anything else than the two is refused: other names, one name
twice, links, and what grows when it is unpacked.
"""

import stat
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from crossmatch.atomic import written_aside
from crossmatch.errors import UserError

FACTS, WEIGHTS = "run.json", "last.safetensors"
ENDING = ".zip"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # a time of no file, so that equal models are equal files
_ENCRYPTED = 0x1


def is_packed(path: Path) -> bool:
    """Whether a path is that of a packed model, by its name."""
    return path.suffix.lower() == ENDING and path.is_file()


def write_packed(path: Path, facts: bytes, weights: bytes) -> None:
    """Write the zip file, whole or not at all; equal content makes equal bytes."""
    with written_aside(path) as aside, zipfile.ZipFile(aside, "w") as file:
        for name, content in ((FACTS, facts), (WEIGHTS, weights)):
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.create_system = 3  # as on Unix, wherever it is made
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            file.writestr(entry, content, zipfile.ZIP_STORED)


def read_packed(path: Path, name: str) -> bytes:
    """One of the two files of a packed model.

    Raises:
        UserError: no zip file, a damaged one, or one that holds anything else than a packed model.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if (wrong := _wrong(file.infolist(), path.stat().st_size)) is not None:
                raise UserError(
                    f"{path} is no packed model ({wrong}): use a file as `crossmatch pack` wrote it; nothing was read."
                )
            return file.read(name)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} cannot be read ({error}): it is damaged; pack the run again.") from None


def _wrong(entries: Iterable[zipfile.ZipInfo], size: int) -> str | None:
    """Why a zip file is not one that `write_packed` wrote; None where it may be."""
    found: Mapping[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = ascii(entry.filename)[:60]
        if entry.filename not in (FACTS, WEIGHTS):
            return f"it holds {name}"
        if entry.filename in found:
            return f"it holds {name} twice"
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            return f"{name} is a link or no file"
        if entry.flag_bits & _ENCRYPTED or entry.compress_type != zipfile.ZIP_STORED:
            return f"{name} is compressed or encrypted"
        found = {**found, entry.filename: entry}
    if missing := [name for name in (FACTS, WEIGHTS) if name not in found]:
        return f"it has no {missing[0]}"
    if sum(entry.file_size for entry in found.values()) > size:
        return "it claims more than it holds"
    return None
