"""Files and folders that appear whole or not at all: filled under another name, then renamed."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crossmatch.errors import UserError


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a name in the folder of `path` to write to; it becomes `path` when the block ends without an error.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    aside = _aside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): name a folder you may write to."
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to fill. It becomes `target` when the block ends without an error, else it is removed.

    Raises:
        UserError: `target` exists and is not an empty folder, or cannot be made; nothing is overwritten.
    """
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise UserError(f"{target} exists and is not an empty folder: name a new one, nothing is overwritten.")
    target = target.absolute()
    aside = _aside(target)
    try:
        aside.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{target} cannot be made ({error.strerror}): name a folder you may write to.") from error
    try:
        yield aside
        aside.replace(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all; NaN is an error, undefined numbers are null."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _aside(path: Path) -> Path:
    return path.with_name(f".partial-{os.getpid()}-{path.name}")
