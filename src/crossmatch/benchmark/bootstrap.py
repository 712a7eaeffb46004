"""The probability that each row is first, had other trainings and patients been drawn: a bootstrap over both.

Shapes: R rows, S runs (a seed with its data set), P patients of a data set, N samples.
Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993; rankings by it as in Wiesenfarth et al., "Methods
and open-source toolkit for analyzing and visualizing challenge results", Scientific Reports 11, 2021.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crossmatch.benchmark.results import Result, patient_dice

SAMPLES = 10_000
SEED = 0  # of the samples: the same results give the same table
ROUNDING = 1e-12  # scores that differ by less are equal


def first_of(rows: Sequence[Sequence[Result]]) -> list[float]:
    """For each row the share of samples in which its mean Dice is the highest; equal ones share.

    A sample draws runs with replacement, then patients with replacement. All rows have the same runs and patients of a
    sample, and runs on one data set the same patients. A row's score is the mean over runs of the mean over patients,
    whose cases are averaged first.

    With one run only the patients are drawn. With two or three there are few different samples of runs, and the first
    row looks surer than it is.

    Args:
        rows: the results of each row; all rows have the same seeds and data, in one order.
    """
    drawn = np.random.default_rng(SEED)
    runs = rows[0]
    dice = [[patient_dice([result]) for result in row] for row in rows]
    patients = {
        data: sorted(
            set.intersection(*(set(own[n]) for own in dice for n, r in enumerate(runs) if r.fingerprint == data))
        )
        for data in dict.fromkeys(run.fingerprint for run in runs)
    }
    of_patients = {data: _shares(drawn, len(units)) for data, units in patients.items()}  # (P, N)
    of_runs = _shares(drawn, len(runs))  # (S, N)
    scores = np.zeros((len(rows), SAMPLES))
    for n, run in enumerate(runs):
        values = np.array([[own[n][unit] for unit in patients[run.fingerprint]] for own in dice])  # (R, P)
        scores += of_runs[n] * (values @ of_patients[run.fingerprint])
    leads = scores >= scores.max(0) - ROUNDING
    shares: list[float] = (leads / leads.sum(0)).mean(1).tolist()
    return shares


def _shares(drawn: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """How much of each sample is each of `count` things, drawn with replacement: (count, N), columns sum to 1."""
    return drawn.multinomial(count, np.full(count, 1 / count), SAMPLES).T / count
