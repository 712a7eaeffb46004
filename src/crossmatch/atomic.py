"""Files and folders that appear whole or not at all: made in a hidden folder beside their place, then renamed.

The hidden folder has a random name and is locked by its process. One that nobody locks is what a killed process has
left; it is removed by the next one that writes there.
"""

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from crossmatch import errors
from crossmatch.errors import UserError
from crossmatch.system.locks import WITHOUT_LOCKS, lock_folder

HIDDEN = ".crossmatch-"  # how the names of hidden folders begin
_INFINITE = re.compile(rb"NaN|Infinity|[eE][+]?[0-9]{3}")  # what text may hold that is not finite
_ELSEWHERE = (errno.EXDEV, errno.EBUSY)  # said where the target is mounted from another disk, as into a container
_searched: set[Path] = set()  # folders that this process has searched for leftovers
_adapters: dict[object, TypeAdapter[Any]] = {}  # the form -> what checks it

Form = TypeVar("Form")


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a path to write to, with the name of `path`. It becomes `path` when the block ends without an error.

    The file gets the permissions that the user's umask gives.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    try:
        with _hidden(path) as aside:
            yield aside
            aside.chmod(aside.parent.stat().st_mode & 0o666)  # safetensors writes files that nobody else may read
            _put_in_place(aside, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): name a folder you may write to."
        ) from error


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to fill. It becomes `target` when the block ends without an error, else it is removed.

    Raises:
        UserError: `target` exists and is not an empty folder, also one that another process has filled meanwhile, or
            cannot be made; nothing is overwritten.
    """
    _refuse_filled(target)
    target = target.absolute()
    with ExitStack() as stack:
        try:
            aside = stack.enter_context(_hidden(target))
            aside.mkdir()
        except OSError as error:
            raise UserError(f"{target} cannot be made ({error.strerror}): name a folder you may write to.") from error
        yield aside
        _refuse_filled(target)
        try:
            _fill(aside, target)
        except OSError as error:
            raise UserError(f"{target} cannot be made ({error.strerror}): name a folder you may write to.") from error


def _refuse_filled(target: Path) -> None:
    """Raise UserError unless nothing is there, or an empty folder."""
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise UserError(f"{target} exists and is not an empty folder: name a new one, nothing is overwritten.")


def check_writable(folder: Path) -> None:
    """Raise UserError unless files can be written into a folder, or it can be made: told before hours of work."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    try:
        with _hidden(there / "probe"):
            pass
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror}): name a folder you may write to.") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all; NaN is an error, undefined numbers are null."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, by which a later call sees whether it was written since."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, form: type[Form], way_out: str) -> Form:
    """Read back a JSON file that crossmatch wrote.

    Arguments and errors as of `parse_json`. No such file is an error too, and so is a number that is not finite, as
    `write_json` never writes one.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        out = errors.way_out(error, way_out)
        raise UserError(f"{path} cannot be read ({error.strerror}): {out}.") from None
    if _INFINITE.search(text):
        _refuse_infinite(text, f"{path} is damaged (a number is not finite): {way_out}.")
    return parse_json(text, form, str(path), way_out)


def parse_json(text: str | bytes, form: type[Form], origin: str, way_out: str) -> Form:
    """JSON that crossmatch wrote, in the form that it was written in.

    Args:
        text: the JSON.
        form: a type that pydantic knows; values are not converted, so "3" is no number.
        origin: where the text comes from, for the message.
        way_out: what the user can do where it is damaged.

    Raises:
        UserError: it has another form.
    """
    try:
        if form not in _adapters:
            _adapters[form] = TypeAdapter(form)
        found: Form = _adapters[form].validate_json(text, strict=True)
        return found
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part)[:50] for part in first["loc"])
        raise UserError(f"{origin} is damaged ({where + ': ' if where else ''}{first['msg']}): {way_out}.") from None


def _refuse_infinite(text: bytes, message: str) -> None:
    """Raise UserError where JSON holds NaN or an infinite number; what is no JSON is left to others."""

    def refuse(number: str) -> float:
        if not math.isfinite(float(number)):
            raise UserError(message)
        return 0.0

    with suppress(ValueError, RecursionError):
        json.loads(text, parse_constant=refuse, parse_float=refuse)


@contextmanager
def _hidden(path: Path) -> Iterator[Path]:
    """A path with the name of `path` in a new hidden folder beside it, which is removed when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent.absolute())
    folder, lock = _new_locked_folder(path.parent)
    try:
        yield folder / path.name
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except KeyboardInterrupt:  # a second Ctrl-C
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            if lock is not None:
                os.close(lock)


def _put_in_place(aside: Path, path: Path) -> None:
    """Make a finished file `path`; where that is a mounted file, by copying into it."""
    try:
        aside.replace(path)
    except OSError as error:
        if error.errno not in _ELSEWHERE:
            raise
        shutil.copyfile(aside, path)


def _fill(aside: Path, target: Path) -> None:
    """Make a finished folder `target`, which may be there, empty; where it cannot be replaced, file by file."""
    try:
        aside.replace(target)
    except OSError as error:
        if error.errno not in (*_ELSEWHERE, errno.EEXIST, errno.EACCES, errno.EPERM) or not target.is_dir():
            raise
        for each in aside.iterdir():
            shutil.move(each, target / each.name)


def _new_locked_folder(parent: Path) -> tuple[Path, int | None]:
    """A folder and the descriptor that locks it; None on a disk without locks."""
    while True:
        folder = parent / f"{HIDDEN}{secrets.token_hex(8)}"
        folder.mkdir()
        try:
            return folder, lock_folder(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # another process has just taken it for a leftover
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                return folder, None
            folder.rmdir()
            raise


def _remove_leftovers(parent: Path) -> None:
    """Remove the hidden folders of processes that have ended; once a process and folder."""
    if parent in _searched:
        return
    _searched.add(parent)
    with os.scandir(parent) as entries:
        found = [Path(entry.path) for entry in entries if entry.name.startswith(HIDDEN)]
    for folder in found:
        with suppress(OSError):
            descriptor = lock_folder(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
