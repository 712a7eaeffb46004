"""Files that appear whole or not at all: written aside, then renamed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crossmatch.errors import UserError


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Gives a name in the folder of `path` to write to; it becomes `path` when the block ends without an error.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    aside = path.with_name(f".partial-{os.getpid()}-{path.name}")
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


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all; NaN is an error, undefined numbers are null."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
