"""What every benchmark needs: the time of a call, several times told as median and range, and mistakes told plainly."""

import statistics
import sys
import time
from collections.abc import Callable

from crossmatch.errors import UserError


def seconds(function: Callable[..., object], *inputs: object) -> float:
    """Wall-clock of one call."""
    start = time.perf_counter()
    function(*inputs)
    return time.perf_counter() - start


def spread(values: list[float], form: str = ".1f") -> str:
    """``median (least to most)``, each in a format such as ``.2f``."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def run(main: Callable[[], None]) -> None:
    """A mistake of the user is one paragraph and exit code 2, as in `crossmatch`."""
    try:
        main()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
