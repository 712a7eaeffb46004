"""The one error a person is meant to read: what is wrong, where, and the way out."""

import shlex
import unicodedata
from collections.abc import Iterable
from pathlib import Path

SHOWN = 10  # names spelled out in one message
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


def quoted(path: Path) -> str:
    """A path as a shell takes it, for commands that are shown to be copied."""
    return shlex.quote(str(path))


def listed(items: Iterable[object], separator: str = ", ") -> str:
    """The first ten items in a row, and how many more there are."""
    texts = [str(item) for item in items]
    rest = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return separator.join(texts[:SHOWN] + rest)
