"""Which differences in Dice are more than chance between patients: paired Wilcoxon tests with Holm's correction.

The test asks whether the best row of a number of labels is systematically better on the patients of the test set than
another row. Its unit is a patient of a data set. Volumes of one patient resemble each other, so they are averaged
first. Several seeds on the same patients are not further patients, so they are averaged too. Only runs count whose seed
and data every row of that number of labels has. With other runs the test would compare patients, not rows.

The test does not say how much a method varies from training to training: the standard deviation over seeds shows that.
With a single seed a lucky run and a better method look alike. The probability of being first (`bootstrap.py`) has both.
The best row is chosen by the numbers that are then tested, so its lead looks somewhat too large. With few patients p
cannot be small: see `least_p`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from crossmatch.benchmark.bootstrap import first_of
from crossmatch.benchmark.results import Result, Row, Unit, patient_dice
from crossmatch.scoring.paired import exact_p

LEAST_UNITS = 2  # with one pair p is always 1
DIGITS = 12  # decimals of differences in Dice: rounding errors of means do not count as differences


class Comparison(NamedTuple):
    """A row compared with the best one of its number of labels, over the runs that all rows of that number share."""

    best: bool  # this is the best of several rows
    seeds: tuple[int, ...]  # of the shared runs; (): nothing can be compared
    patients: int  # of both rows; for the best row its own
    p: float | None  # two-sided, not corrected; None: the best row itself, or fewer than two patients
    p_holm: float | None  # corrected over the other rows of the same number of labels
    first: float | None  # probability of being first, see `first_of`; None for a single row


def compare(rows: Sequence[Row]) -> list[Comparison]:
    """A comparison for each row, in their order.

    The best row has the highest mean over the patients of the shared runs. Where patients have unequal numbers of
    cases, that need not be the highest mean over cases, which the table shows.
    """
    found: dict[int, Comparison] = {}
    for labelled in dict.fromkeys(row.labelled for row in rows):
        group = [place for place, row in enumerate(rows) if row.labelled == labelled]
        shared = shared_runs([rows[place] for place in group])
        if not shared[0]:
            found |= dict.fromkeys(group, Comparison(False, (), 0, None, None, None))
            continue
        seeds = tuple(result.seed for result in shared[0])
        dice = {place: patient_dice(results) for place, results in zip(group, shared, strict=True)}
        means = {place: float(np.mean(list(of_patients.values()))) for place, of_patients in dice.items()}
        best = max(group, key=means.__getitem__)
        chances = first_of(shared) if len(group) > 1 else [None]
        first = dict(zip(group, chances, strict=True))
        found[best] = Comparison(len(group) > 1, seeds, len(dice[best]), None, None, first[best])
        others = [place for place in group if place != best]
        tests = [signed_rank(dice[place], dice[best]) for place in others]
        corrected = holm([p for _, p in tests])
        for place, (patients, p), p_holm in zip(others, tests, corrected, strict=True):
            found[place] = Comparison(False, seeds, patients, p, p_holm, first[place])
    return [found[place] for place in range(len(rows))]


def shared_runs(rows: Sequence[Row]) -> list[list[Result]]:
    """For each row the results whose seed and data all of these rows have; all empty if there are none."""
    shared = set.intersection(*({result.conditions for result in row.results} for row in rows))
    return [[result for result in row.results if result.conditions in shared] for row in rows]


def signed_rank(ours: Mapping[Unit, float], theirs: Mapping[Unit, float]) -> tuple[int, float | None]:
    """Wilcoxon's signed-rank test over the units that both have: (number of units, two-sided p).

    Pairs without a difference get no rank, as Wilcoxon has it. p is 1 if all pairs are equal, and None for fewer than
    two pairs.
    """
    paired = sorted(ours.keys() & theirs.keys())
    differences = np.round([ours[unit] - theirs[unit] for unit in paired], DIGITS)
    return len(paired), exact_p(differences[differences != 0]) if len(paired) >= LEAST_UNITS else None


def least_p(patients: int, rows: int) -> float:
    """The smallest possible corrected p: the two most extreme of 2^patients sign patterns, times the rows tested."""
    return min(1.0, rows * 2.0 ** (1 - patients))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (Scand. J. Statist. 6, 1979): the i-th smallest of m p is multiplied by m - i + 1.

    A corrected p is never above 1, and never below that of a smaller p. Tests without p (None) do not count.
    """
    order = sorted((value, place) for place, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    least = 0.0
    for rank, (value, place) in enumerate(order):
        least = max(least, min(1.0, value * (len(order) - rank)))
        corrected[place] = least
    return corrected
