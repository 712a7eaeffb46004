"""What every benchmark needs: the time of a call, and several times told as median and range."""

import statistics
import time
from collections.abc import Callable


def seconds(function: Callable[..., object], *inputs: object) -> float:
    """Wall-clock of one call."""
    start = time.perf_counter()
    function(*inputs)
    return time.perf_counter() - start


def spread(values: list[float], form: str = ".1f") -> str:
    """``median (least to most)``, each in a format such as ``.2f``."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
