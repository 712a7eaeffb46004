"""Cells to rows: means over seeds by hand, the order of rows, units, what is not known."""

import math
from dataclasses import replace

import pytest
from finished import NAN, cases, result

from crossmatch.benchmark.results import aggregate
from crossmatch.errors import UserError


def test_mean_and_deviation_over_seeds_not_over_cases() -> None:
    found = aggregate(
        [
            result("a", cases(0.9, 0.7), seed=2, hd95=6, seconds=100, parameters=5, peak_memory_bytes=10),
            result("a", cases(0.5, 0.7), seed=1, hd95=2, seconds=50, parameters=5, peak_memory_bytes=30),
        ]
    )
    row = found[0]
    assert len(found) == 1
    assert [each.seed for each in row.results] == [1, 2]
    assert row.dice == pytest.approx((0.7, math.sqrt(0.02)))  # of 0.8 and 0.6
    assert row.jaccard == pytest.approx((0.35, math.sqrt(0.005)))
    assert (row.unit, row.hd95.mean, row.asd.mean) == ("mm", 8, 2)  # 4 and 1 voxels of 2 mm
    assert row.hd95.sd == pytest.approx(math.sqrt(32))  # of 12 and 4 mm
    assert (row.seconds, row.parameters, row.peak_memory_bytes) == (75, 5, 30)
    assert (row.dataset, row.results[0].checkpoint, row.results[0].step) == ("Blocks", "last", 100)


def test_one_seed_has_no_deviation_and_unknown_costs_stay_unknown() -> None:
    row = aggregate([result("a", cases(0.9, 0.7))])[0]
    assert row.dice.mean == pytest.approx(0.8)
    assert math.isnan(row.dice.sd)
    assert (row.parameters, row.peak_memory_bytes) == (None, None)
    assert math.isnan(row.validation.mean)


def test_validation_over_the_seeds_that_have_one() -> None:
    known = [result("a", cases(0.9), seed=n, validation_dice=dice) for n, dice in enumerate((0.5, None, 0.7))]
    assert aggregate(known)[0].validation == pytest.approx((0.6, math.sqrt(0.02)))


def test_a_case_without_a_patient_is_named() -> None:
    with pytest.raises(
        UserError, match=r"of a with 3 labelled and seed 0 has cases .* dataset: b, c\. Put the dataset"
    ):
        result("a", cases(0.9, 0.8, 0.7), patients={"a": "p1", "z": "p2"})


def test_voxels_for_all_where_one_result_has_no_millimetres() -> None:
    rows = aggregate([result("a", cases(0.9)), result("b", cases(0.8), mm=False)])
    assert [(row.unit, row.hd95.mean) for row in rows] == [("voxels", 4), ("voxels", 4)]


def test_undefined_distances_are_counted_and_left_out() -> None:
    row = aggregate([result("a", cases(0.9, 0.9), seed=1), result("a", cases(0.0, 0.0), seed=2, hd95=NAN)])[0]
    assert (row.hd95.mean, row.undefined) == (8, 2)
    assert math.isnan(row.hd95.sd)


def test_rows_are_sorted_by_labels_then_dice() -> None:
    grid = (("method.threshold", "0.5"),)
    rows = aggregate(
        [
            result("a", cases(0.9), labelled="all"),
            result("a", cases(0.5), labelled="16"),
            result("b", cases(0.6), labelled="16"),
            result("b", cases(0.7), labelled="16", grid=grid),
            result("a", cases(0.1), labelled="8"),
        ]
    )
    assert [(row.labelled, row.name) for row in rows] == [
        ("8", "a"),
        ("16", "b, method.threshold=0.5"),
        ("16", "b"),
        ("16", "a"),
        ("all", "a"),
    ]


def test_an_evaluation_that_does_not_know_its_run_is_named() -> None:
    cell = result("a", cases(0.9), seed=7)
    nameless = replace(cell, evaluation=replace(cell.evaluation, prediction=None))
    with pytest.raises(
        UserError, match=r"of a with 3 labelled and seed 7 does not say training of .* and run it again"
    ):
        aggregate([nameless])
