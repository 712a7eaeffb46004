"""From agreement to Dice: a monotone map for each class, and how far its estimates are off.

Four measures are combined, because each misses cases that another finds: agreement, soft Dice, the certainty at the
mask's border, and how unlike the labelled cases the mask's size is. The map shifts each class's value by a constant on
the logit scale, then takes one isotonic regression for all classes. So a handful of cases suffice, and different values
give different estimates wherever they lie. It needs no image.

Shapes: N cases, L classes without background.
Source: isotonic regression by pooled adjacent violators is SciPy's. Intervals are those of split conformal prediction
(Lei et al., JASA 2018), with residuals of cases that are left out in turn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

DiceValues = NDArray[np.float64]

LEVEL = 0.8  # share of cases that an interval is to hold: four cases are the fewest that can say so
UNLIKE = 0.3  # logits that a factor of e costs; chosen on development runs, see docs/quality.md
SLACK = 0.1  # a Dice; chosen on development runs too
LEAST, MOST = 0.01, 0.99  # logits of agreements and Dice beyond these are taken for those of the ends


@dataclass(frozen=True)
class DiceMap:
    """A fitted map.

    Attributes:
        shifts: (L,), added to the logit of a class's value.
        knots: values after the shift, and the Dice there; straight lines lie between them.
    """

    shifts: tuple[float, ...]
    knots: tuple[tuple[float, float], ...]

    def __call__(self, agreement: DiceValues) -> DiceValues:
        """(..., L) values, see `joined` -> (..., L) estimated Dice; NaN stays NaN."""
        shifted = _expit(_logit(agreement) + np.array(self.shifts))
        places, values = zip(*self.knots, strict=True)
        return np.where(np.isnan(agreement), np.nan, np.interp(np.nan_to_num(shifted), places, values))


def joined(
    agreement: DiceValues, soft_dice: DiceValues, border_entropy: DiceValues, unlikeness: DiceValues
) -> DiceValues:
    """(..., L) measures of masks as one value: the mean of the first three on the logit scale, less `UNLIKE` the last.

    NaN where there is no agreement; of a class that is not in the mask nothing is certain.

    Args:
        unlikeness: see `shape.unlikeness`; 0 for a mask as the labelled cases have it.
    """
    sure, certain = np.nan_to_num(soft_dice, nan=0.0), 1 - np.nan_to_num(border_entropy, nan=1.0)
    mean = (_logit(agreement) + _logit(sure) + _logit(certain)) / 3
    return np.where(np.isnan(agreement), np.nan, _expit(mean - UNLIKE * unlikeness))


def fit_map(agreement: DiceValues, dice: DiceValues) -> DiceMap:
    """The map of cases whose Dice is known.

    Args:
        agreement: (N, L), `joined`; dice: (N, L). A class that is in neither mask nor reference of a case is NaN.
    """
    known = ~np.isnan(agreement) & ~np.isnan(dice)
    off = np.where(known, _logit(dice) - _logit(agreement), np.nan)
    every = float(np.median(off[known])) if known.any() else 0.0
    shifts = [float(np.median(off[known[:, k], k])) if known[:, k].any() else every for k in range(dice.shape[1])]
    places = _expit(_logit(agreement) + np.array(shifts))[known]
    order = np.argsort(places, kind="stable")
    fitted = isotonic_regression(dice[known][order]) if known.any() else None
    knots = [(0.0, 0.0)]
    if fitted is not None:
        for first, last in zip(fitted.blocks[:-1], fitted.blocks[1:], strict=True):
            knots.append((float(places[order][first:last].mean()), float(fitted.x[first])))
    return DiceMap(tuple(shifts), (*knots, (1.0, 1.0)))


def residuals(agreement: DiceValues, dice: DiceValues) -> DiceValues:
    """(N, L) true minus estimated Dice, each case estimated by a map of the others; NaN where nothing is known."""
    found = np.full(dice.shape, np.nan)
    for case in range(len(dice)):
        others = np.arange(len(dice)) != case
        if others.any():
            found[case] = dice[case] - fit_map(agreement[others], dice[others])(agreement[case])
    return found


class Fit(NamedTuple):
    """A map, and how far it is off on cases that are left out in turn."""

    to_dice: DiceMap
    widths: tuple[float, ...]  # half widths of the intervals, of each class, then of the mean over classes
    error: float | None  # mean absolute error of the mean Dice, 1 at most; None: nothing is known


def fit_estimates(value: DiceValues, dice: DiceValues, widening: float = 1.0) -> Fit:
    """Fit the map of cases whose Dice is known, and its intervals.

    Args:
        value: (N, L), what the Dice is estimated from, such as `joined`; dice: (N, L). NaN where nothing is known.
        widening: factor of the intervals.
    """
    off = residuals(value, dice)
    of_mean = mean_rows(np.where(np.isnan(dice) | np.isnan(value), np.nan, off))  # true minus estimated
    widths = tuple(min(1.0, widening * half_width(one)) for one in (*off.T, of_mean))
    error = mean_of(np.abs(of_mean))
    return Fit(fit_map(value, dice), widths, None if error is None else min(1.0, error))


def half_width(off: DiceValues, level: float = LEVEL) -> float:
    """How far estimates may be off on both sides, so that the interval holds a new case with probability `level`.

    `SLACK` over the root of the number of cases is added: a few cases may all happen to be estimated well.

    Args:
        off: (N,) residuals; NaN are left out.

    Returns:
        A Dice; 1, that is nothing is known, where there are too few cases for the level.
    """
    known = np.sort(np.abs(off[~np.isnan(off)]))
    rank = math.ceil((len(known) + 1) * level)
    return 1.0 if rank > len(known) else min(1.0, float(known[rank - 1]) + SLACK / math.sqrt(len(known)))


def mean_of(values: DiceValues) -> float | None:
    """The mean of what is known; None where nothing is."""
    known = np.asarray(values)[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def mean_rows(values: DiceValues) -> DiceValues:
    """(N, L) -> (N,): `mean_of` each row, NaN for None."""
    return np.array([np.nan if (mean := mean_of(row)) is None else mean for row in values])


def interval(estimate: float, width: float) -> tuple[float, float]:
    """From where to where, within what a Dice can be."""
    return max(0.0, estimate - width), min(1.0, estimate + width)


def _logit(share: DiceValues | Sequence[float]) -> DiceValues:
    cut = np.clip(share, LEAST, MOST)
    found: DiceValues = np.log(cut / (1 - cut))
    return found


def _expit(logit: DiceValues) -> DiceValues:
    found: DiceValues = 1 / (1 + np.exp(-logit))
    return found
