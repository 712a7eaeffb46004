"""Wilcoxon tests over patients, Holm's correction: values by hand."""

from itertools import product

import numpy as np
import pytest
from finished import cases, result
from scipy.stats import rankdata, wilcoxon

from crossmatch.benchmark.results import aggregate
from crossmatch.benchmark.significance import Comparison, compare, holm, least_p, patient_dice, signed_rank
from crossmatch.scoring.paired import exact_p


def test_holm_by_hand() -> None:
    # 4 x 0.005; 3 x 0.01; 2 x 0.03; 0.04 below the one before, so 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1, 1]  # 2 x 0.5, then at least that
    assert holm([0.04, None, 0.03]) == [0.06, None, 0.06]  # two tests, not three
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_signed_rank_by_hand() -> None:
    def pairs(*differences: float) -> tuple[int, float | None]:
        ours = {("f", str(n)): 0.5 + d for n, d in enumerate(differences)}
        return signed_rank(ours, dict.fromkeys(ours, 0.5))

    assert pairs(-0.01, -0.02, -0.03, -0.04, -0.05) == (5, 2 / 32)  # one of 32 sign patterns, and its mirror
    # the positive one has rank 1: W = 1, reached by 2 of 32 sign patterns on either side
    assert pairs(0.01, -0.02, -0.03, -0.04, -0.05) == (5, 4 / 32)
    assert pairs(0.0, 0.0) == (2, 1)
    assert pairs(0.3) == (1, None)
    assert pairs() == (0, None)


def test_exact_p_with_ties_counts_all_sign_patterns() -> None:
    differences = np.array([0.01, 0.01, -0.02, 0.02, 0.03, -0.01, 0.05, 0.05])
    ranks = rankdata(np.abs(differences))
    apart = abs(ranks @ np.sign(differences))
    patterns = [abs(ranks @ np.array(signs)) >= apart for signs in product((-1, 1), repeat=8)]
    assert exact_p(differences) == pytest.approx(np.mean(patterns))
    assert 0.1 < exact_p(differences) < 0.2


def test_exact_p_without_ties_as_scipy_has_it() -> None:
    for seed, count in ((1, 7), (2, 30), (3, 49), (4, 120)):
        differences = np.random.default_rng(seed).normal(0.3, 1, count)
        assert exact_p(differences) == pytest.approx(wilcoxon(differences, method="exact").pvalue)


def test_least_p() -> None:
    assert least_p(5, 1) == exact_p(np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == 1 / 16
    assert least_p(5, 12) == 12 / 16
    assert least_p(3, 12) == 1


def test_rows_are_ranked_and_tested_on_the_runs_that_all_share() -> None:
    easy = cases(0.85, 0.86, 0.87, 0.88, 0.89, 0.90)
    lower = {case: dice - 0.02 for case, dice in easy.items()}
    hard = dict.fromkeys(easy, 0.5)
    rows = aggregate([result("a", easy), result("a", hard, seed=1, fingerprint="f1"), result("b", lower)])
    assert [row.method for row in rows] == ["b", "a"]  # by the mean of all of their own runs
    assert compare(rows) == [Comparison(False, (0,), 6, 1 / 32, 1 / 32, 0), Comparison(True, (0,), 6, None, None, 1)]


def test_seeds_on_one_data_set_are_not_averaged_against_fewer() -> None:
    three = [result("a", cases(*dice), seed=n) for n, dice in enumerate([(0.5, 0.6), (0.9, 0.9), (0.9, 0.9)])]
    found = compare(aggregate([*three, result("b", cases(0.6, 0.7))]))
    assert found == [Comparison(False, (0,), 2, 0.5, 0.5, 0), Comparison(True, (0,), 2, None, None, 1)]


def test_without_a_shared_run_there_is_no_best() -> None:
    nothing = [Comparison(False, (), 0, None, None, None)] * 2
    assert compare(aggregate([result("a", cases(0.9, 0.8)), result("b", cases(0.7, 0.6), seed=1)])) == nothing
    other = result("b", cases(0.7, 0.6), fingerprint="f1")  # the same seed, other data
    assert compare(aggregate([result("a", cases(0.9, 0.8)), other])) == nothing


def test_only_patients_of_the_same_data_set_are_paired() -> None:
    ours = {("f", "p"): 0.5, ("f", "q"): 0.5, ("g", "p"): 0.5}
    theirs = {("f", "p"): 0.5, ("g", "p"): 0.5, ("g", "q"): 0.9}
    assert signed_rank(ours, theirs) == (2, 1)


def test_volumes_of_a_patient_and_seeds_are_averaged_first() -> None:
    patients = {"a": "p1", "b": "p1", "c": "p2"}
    row = aggregate(
        [
            result("m", cases(0.2, 0.4, 0.9), seed=1, patients=patients),
            result("m", cases(0.4, 0.6, 0.7), seed=2, patients=patients),
            result("m", cases(0.1, 0.1, 0.1), seed=3, patients=patients, fingerprint="f1"),
        ]
    )[0]
    assert patient_dice(row.results) == pytest.approx(
        {("f0", "p1"): 0.4, ("f0", "p2"): 0.8, ("f1", "p1"): 0.1, ("f1", "p2"): 0.1}
    )


def test_rows_against_the_best_of_their_number_of_labels() -> None:
    best = cases(0.95, 0.90, 0.85, 0.80, 0.75)
    worse = {case: dice - 0.01 * (place + 1) for place, (case, dice) in enumerate(best.items())}
    worst = {case: dice - 0.1 for case, dice in worse.items()}
    rows = aggregate(
        [
            result("b", best),
            result("c", worst),
            result("a", worse),
            result("alone", best, labelled="7"),
        ]
    )
    assert [row.method for row in rows] == ["b", "a", "c", "alone"]
    assert compare(rows) == [
        Comparison(True, (0,), 5, None, None, 1),
        Comparison(False, (0,), 5, 0.0625, 0.125, 0),
        Comparison(False, (0,), 5, 0.0625, 0.125, 0),
        Comparison(False, (0,), 5, None, None, None),  # the only row of its number of labels is no winner
    ]


def test_means_that_differ_by_rounding_alone_are_equal() -> None:
    rows = aggregate([result("a", cases(0.3, 0.6)), result("b", cases(0.1 + 0.2, 0.6 + 1e-15))])
    assert sorted(comparison.p or 0 for comparison in compare(rows)) == [0, 1]


def test_the_best_row_is_best_over_patients_as_first_is() -> None:
    """Three of seven cases are of one patient: x leads over cases, y over patients."""
    patients = dict(zip("abcdefg", "pppqrst", strict=True))
    x = result("x", cases(0.9, 0.9, 0.9, 0.7, 0.7, 0.7, 0.7), patients=patients)
    y = result("y", cases(0.7, 0.7, 0.7, 0.74, 0.74, 0.74, 0.8), patients=patients)
    found = dict(zip("xy", compare(aggregate([x, y])), strict=True))
    assert found["y"].best
    assert not found["x"].best
