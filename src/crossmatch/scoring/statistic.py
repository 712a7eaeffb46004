"""Means and standard deviations over cases, and how undefined numbers are written down."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Statistic(NamedTuple):
    """A metric over cases: NaN for a mean of no case, or a standard deviation (ddof 1) of fewer than two."""

    mean: float
    std: float
    cases: int  # that entered mean and std
    undefined: int  # left out of both


def statistic_of(values: Iterable[float]) -> Statistic:
    """Of numbers, some of which may be NaN: undefined."""
    numbers = np.array(list(values), np.float64)
    defined = numbers[~np.isnan(numbers)]
    mean = float(defined.mean()) if len(defined) else math.nan
    std = float(defined.std(ddof=1)) if len(defined) > 1 else math.nan
    return Statistic(mean, std, len(defined), len(numbers) - len(defined))


def plain(value: Any) -> Any:
    """Statistics and scores as JSON: NaN is null."""
    if isinstance(value, Statistic):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
