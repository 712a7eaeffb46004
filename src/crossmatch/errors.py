"""The one error a person is meant to read: what is wrong, where, and the way out."""

from collections.abc import Iterable

SHOWN = 10  # names spelled out in one message


class UserError(Exception):
    """A mistake the user can correct. The command line prints its text (no traceback) and exits with code 2.

    Write one paragraph: name the file, folder or setting, say what was found, and say what to do about it.
    """


def listed(items: Iterable[object], separator: str = ", ") -> str:
    """The first ten items in a row, and how many more there are."""
    texts = [str(item) for item in items]
    rest = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return separator.join(texts[:SHOWN] + rest)
