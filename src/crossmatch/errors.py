"""The one error a person is meant to read: what is wrong, where, and the way out."""

import difflib
import shlex
import unicodedata
from collections.abc import Iterable
from pathlib import Path

SHOWN = 10  # names spelled out in one message
# what PyTorch and oneDNN say in a RuntimeError where memory runs out on a CPU
SHORT_OF_MEMORY = (
    "allocate memory",
    "could not create a primitive",
    "could not create a memory",
    "std::bad_alloc",
    "allocation failed",
)
NEAR = 0.7  # share of letters in common, from which on one name may be a misspelling of another
_DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # marks that turn the order of letters


class UserError(Exception):
    """A mistake the user can correct. The command line prints its text (no traceback) and exits with code 2.

    Write one paragraph: name the file, folder or setting, say what was found, and say what to do about it.
    """


def visible(text: str) -> str:
    """Text for a terminal: control characters, which could move its cursor or hide words, are written out as \\x1b."""
    return "".join(_written_out(character) for character in text) if not text.isprintable() else text


def _written_out(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")  # control, surrogates, ends of lines
    turned = unicodedata.bidirectional(character) in _DIRECTIONS
    return ascii(character)[1:-1] if (hidden and character != "\n") or turned else character


def way_out(error: Exception, otherwise: str) -> str:
    """What helps where a file cannot be read: its permissions, where these are in the way."""
    return "change its permissions" if isinstance(error, PermissionError) else otherwise


def no_formula(text: str) -> str:
    """Text for a CSV file: an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def quoted(path: Path) -> str:
    """A path as a shell takes it, for commands that are shown to be copied."""
    return shlex.quote(str(path))


def listed(items: Iterable[object], separator: str = ", ") -> str:
    """The first ten items in a row, and how many more there are."""
    texts = [str(item) for item in items]
    rest = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return separator.join(texts[:SHOWN] + rest)


def offered(wrong: object, known: Iterable[str], opening: str = "there are", prefix: str = "") -> str:
    """What there is instead of a wrong name: the nearest one first, if any is near, then all.

    Args:
        opening: what stands before the list of names.
        prefix: what stands before the nearest name, such as the section of a setting.

    >>> offered("step", ["steps", "batch"], "valid keys are", "train.")
    'did you mean train.steps? Valid keys are steps, batch'
    """
    names = list(known)
    near = difflib.get_close_matches(str(wrong), names, 1, NEAR)
    every = f"{opening} {', '.join(names)}"
    return f"did you mean {prefix}{near[0]}? {every[0].upper()}{every[1:]}" if near else every
