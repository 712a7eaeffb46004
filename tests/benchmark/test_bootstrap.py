"""The probability of being first: shares of samples that can be counted by hand."""

import pytest
from finished import cases, result

from crossmatch.benchmark.bootstrap import first_of
from crossmatch.benchmark.results import Result, aggregate
from crossmatch.benchmark.significance import compare

NOISE = 0.02  # of a share of 10,000 samples: four standard deviations


def row(method: str, *runs: tuple[float, ...]) -> list[Result]:
    return [result(method, cases(*dice), seed=seed) for seed, dice in enumerate(runs)]


def test_one_that_is_better_on_every_patient_is_always_first_and_equal_ones_share() -> None:
    assert first_of([row("a", (0.6, 0.9)), row("b", (0.5, 0.8))]) == [1, 0]
    assert first_of([row("a", (0.6, 0.9)), row("b", (0.6, 0.9)), row("c", (0.1, 0.1))]) == [0.5, 0.5, 0]


def test_patients_are_drawn_and_paired() -> None:
    """a wins on one patient by 0.2, b on the other by 0.1: b is first where only the other is drawn, 1 of 4 times."""
    assert first_of([row("a", (0.7, 0.5)), row("b", (0.5, 0.6))]) == pytest.approx([0.75, 0.25], abs=NOISE)


def test_runs_are_drawn_too() -> None:
    """Of two runs a wins the first by 0.3, b the second by 0.1, on both patients alike."""
    found = first_of([row("a", (0.8, 0.8), (0.5, 0.5)), row("b", (0.5, 0.5), (0.6, 0.6))])
    assert found == pytest.approx([0.75, 0.25], abs=NOISE)


def test_runs_on_one_data_set_have_the_same_patients_and_others_their_own() -> None:
    """a wins on p by 0.2, b on q by 0.2. With one data set, a wins if p is drawn twice, and half of the ties.

    The second run repeats the first: on the same patients it changes nothing, on others of another data set it does:
    a is then first in 5 of 16 samples where both runs are drawn, and b too.
    """
    once = first_of(
        [row("a", (0.7, 0.5), (0.7, 0.5)), row("b", (0.5, 0.7), (0.5, 0.7)), row("c", (0.61, 0.61), (0.61, 0.61))]
    )
    assert once == pytest.approx([0.25, 0.25, 0.5], abs=NOISE)
    apart = [
        [result(name, cases(*dice), seed=seed, fingerprint=str(seed)) for seed in (0, 1)]
        for name, dice in (("a", (0.7, 0.5)), ("b", (0.5, 0.7)), ("c", (0.61, 0.61)))
    ]
    # one run alone (half of the samples): as above; both: a has 0.6 + (k - 2) / 20, k of 4 drawn p's
    assert first_of(apart) == pytest.approx([(0.25 + 5 / 16) / 2, (0.25 + 5 / 16) / 2, (0.5 + 6 / 16) / 2], abs=NOISE)


def test_cases_of_a_patient_are_averaged_first() -> None:
    patients = {"a": "p", "b": "p", "c": "q"}
    one = [result("a", cases(0.9, 0.5, 0.5), patients=patients)]
    other = [result("b", cases(0.6, 0.6, 0.5), patients=patients)]
    assert first_of([one, other]) == pytest.approx([0.75 + 0.25 / 2, 0.25 / 2], abs=NOISE)  # q alone: equal


def test_rows_of_a_table_have_it_and_a_single_row_has_none() -> None:
    several = [result("x", cases(0.9, 0.8)), result("y", cases(0.5, 0.6)), result("z", cases(0.5, 0.6), labelled="7")]
    found = {
        row.name: comparison.first
        for row, comparison in zip(aggregate(several), compare(aggregate(several)), strict=True)
    }
    assert found == {"x": 1, "y": 0, "z": None}
