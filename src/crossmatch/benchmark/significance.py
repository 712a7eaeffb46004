"""Which differences in Dice are more than chance between patients: paired Wilcoxon tests, with Holm's correction.

What the test says: whether patients of the test set systematically prefer the best row of a number of labels to another
one. The unit is a patient of a data set: the volumes of one patient resemble each other and are averaged first, and
several seeds on the same patients are no further patients, so they are averaged too.

What it cannot say: how much a method varies from training to training, which the standard deviation over seeds shows;
with a single seed a lucky run and a better method look alike. The best row is chosen by the numbers that are then
tested, which makes its lead look somewhat too large. Few patients give no small p: n of them at best 2^(1-n).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import wilcoxon

from crossmatch.benchmark.results import Row

LEAST_UNITS = 2  # one pair says nothing: its p is 1 whatever the difference
DIGITS = 12  # differences of Dice are rounded to these decimals: rounding errors of means are no differences

Unit = tuple[str, str]  # (fingerprint of the data set, patient)


class Comparison(NamedTuple):
    """A row against the best one of its number of labels."""

    best: bool  # this is the best row, of several
    patients: int  # that both rows have; of the best row: all of its own
    p: float | None  # two-sided, not corrected; None: the best row itself, or fewer than two patients
    p_holm: float | None  # corrected over the other rows of the same number of labels


def compare(rows: Sequence[Row]) -> list[Comparison]:
    """One comparison a row, in their order. The best row has the highest mean Dice over seeds."""
    found: dict[int, Comparison] = {}
    for labelled in dict.fromkeys(row.labelled for row in rows):
        group = [place for place, row in enumerate(rows) if row.labelled == labelled]
        best = max(group, key=lambda place: rows[place].dice.mean)
        reference = patient_dice(rows[best])
        found[best] = Comparison(len(group) > 1, len(reference), None, None)
        others = [place for place in group if place != best]
        tests = [signed_rank(patient_dice(rows[place]), reference) for place in others]
        corrected = holm([p for _, p in tests])
        for place, (patients, p), p_holm in zip(others, tests, corrected, strict=True):
            found[place] = Comparison(False, patients, p, p_holm)
    return [found[place] for place in range(len(rows))]


def patient_dice(row: Row) -> dict[Unit, float]:
    """Patient of a data set -> Dice, mean over the patient's cases, then over the seeds trained on that data set."""
    seeds: dict[Unit, list[float]] = {}
    for result in row.results:
        cases: dict[str, list[float]] = {}
        for case, dice in result.evaluation.case_means("dice").items():
            cases.setdefault(result.patients[case], []).append(dice)
        for patient, values in cases.items():
            seeds.setdefault((result.fingerprint, patient), []).append(float(np.mean(values)))
    return {unit: float(np.mean(values)) for unit, values in seeds.items()}


def signed_rank(ours: Mapping[Unit, float], theirs: Mapping[Unit, float]) -> tuple[int, float | None]:
    """Wilcoxon's signed-rank test of the units that both have: (how many, two-sided p).

    Pairs without a difference are left out of the ranks, as Wilcoxon does; p is 1 if there is no other, None for fewer
    than two pairs.
    """
    paired = sorted(ours.keys() & theirs.keys())
    differences = np.round([ours[unit] - theirs[unit] for unit in paired], DIGITS)
    if len(paired) < LEAST_UNITS:
        return len(paired), None
    if not differences.any():
        return len(paired), 1.0
    return len(paired), float(wilcoxon(differences, zero_method="wilcox", alternative="two-sided").pvalue)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (Scand. J. Statist. 6, 1979): the i-th smallest of m times m - i + 1, never above 1.

    A corrected value is at least that of every smaller one. Tests that gave no p (None) do not count.
    """
    order = sorted((value, place) for place, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    least = 0.0
    for rank, (value, place) in enumerate(order):
        least = max(least, min(1.0, value * (len(order) - rank)))
        corrected[place] = least
    return corrected
