"""A new folder that appears whole or not at all, for importers and generators of datasets."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossmatch.errors import UserError


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to fill, which becomes `target` when the block ends well and is removed when it does not.

    Raises:
        UserError: `target` exists and is not an empty folder, or cannot be made; nothing is overwritten.
    """
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise UserError(f"{target} exists and is not an empty folder: name a new one, nothing is overwritten.")
    target = target.absolute()
    partial = target.with_name(f".partial-{os.getpid()}-{target.name}")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{target} cannot be made ({error.strerror}): name a folder you may write to.") from error
    try:
        yield partial
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
