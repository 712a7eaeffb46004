"""The map from agreement to Dice, its intervals, and the temperature of probabilities."""

import numpy as np
import pytest

from crossmatch.inference.calibration import SLACK, fit_map, half_width, interval, joined, mean_rows, residuals
from crossmatch.inference.reliability import reliability, voxels_around

AGREEMENT = np.array([[0.9, 0.5], [0.8, 0.6], [0.95, 0.7], [0.7, 0.4]])
DICE = np.array([[0.8, 0.5], [0.7, 0.65], [0.9, 0.7], [0.5, 0.3]])


def test_the_map_is_monotone_without_ties_and_near_its_cases() -> None:
    fitted = fit_map(AGREEMENT, DICE)
    line = np.linspace(0.02, 0.98, 50)
    estimates = fitted(np.stack([line, line], axis=1))
    assert (np.diff(estimates, axis=0) > 0).all()
    assert (estimates >= 0).all()
    assert (estimates <= 1).all()
    assert np.abs(fitted(AGREEMENT) - DICE).mean() < 0.06


def test_each_class_has_a_shift_of_its_own() -> None:
    low, high = fit_map(AGREEMENT, DICE)(np.array([[0.7, 0.7]]))[0]
    assert low < 0.55 < high  # of the first class agreements are above Dice, of the second they are not


def test_measures_count_alike_and_strange_sizes_count_against() -> None:
    nan = np.nan
    rows = [(0.9, 0.9, 0.1), (0.9, 0.5, 0.1), (0.5, 0.9, 0.1), (0.9, 0.9, 0.5), (nan, 0.9, 0.1), (0.9, nan, nan)]
    value = joined(*np.array(rows).T, np.zeros(6))
    assert value[0] == pytest.approx(0.9)
    assert value[1] == pytest.approx(value[2]) == pytest.approx(value[3])
    assert value[1] < value[0]
    assert np.isnan(value[4])
    assert value[5] < value[1]  # a class that is not in the mask
    assert joined(*np.array(rows).T, np.ones(6))[0] < value[0]


def test_what_is_unknown_stays_unknown() -> None:
    agreement, dice = AGREEMENT.copy(), DICE.copy()
    agreement[0, 1] = dice[0, 1] = np.nan
    assert np.isnan(fit_map(agreement, dice)(agreement)).tolist() == np.isnan(agreement).tolist()
    assert np.isnan(residuals(agreement, dice)[0, 1])
    assert mean_rows(agreement)[0] == 0.9


def test_each_case_is_estimated_from_the_others() -> None:
    far = DICE.copy()
    far[2] = 0.1  # fitted by itself, it would be estimated well
    off = residuals(AGREEMENT, far)
    assert (off[2] < -0.4).all()


def test_intervals_need_four_cases_and_hold_what_they_promise() -> None:
    assert half_width(np.array([0.1, -0.2, 0.3])) == 1  # too few for 80 %
    assert half_width(np.array([0.1, -0.2, 0.05, 0.3])) == pytest.approx(0.3 + SLACK / 2)
    draws = np.random.default_rng(0).normal(0, 0.1, (500, 10))
    held = [abs(row[0]) <= half_width(row[1:]) for row in draws]
    assert 0.77 < np.mean(held) < 0.95
    assert interval(0.9, 0.3) == (pytest.approx(0.6), 1.0)


def sure_cases(sharpness: float, count: int = 4) -> list:
    """Two classes whose logits are `sharpness` times what they should be."""
    random, cases = np.random.default_rng(1), []
    for _ in range(count):
        logit = random.normal(0, 1.5, (20, 20))
        truth = (random.random((20, 20)) < 1 / (1 + np.exp(-logit))).astype(np.uint8)
        first = 1 / (1 + np.exp(-sharpness * logit))
        cases.append(voxels_around(np.stack([1 - first, first]).astype(np.float32), truth))
    return cases


def test_the_temperature_undoes_what_was_too_sharp() -> None:
    found = reliability(sure_cases(3.0))
    assert found is not None
    assert found["temperature"] == pytest.approx(3.0, rel=0.15)
    assert found["ece_after"] < 0.5 * found["ece_before"]
    assert sum(each["share"] for each in found["bins_before"]) == pytest.approx(1)


def test_good_probabilities_keep_their_temperature() -> None:
    found = reliability(sure_cases(1.0))
    assert found is not None
    assert found["temperature"] == pytest.approx(1, rel=0.1)


def boxes(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A box of class 1, of which a tenth is missed; probabilities (2, *S) of 99 %, and the reference (*S)."""
    reference = np.zeros(shape, np.uint8)
    reference[8:-8, 8:-8, 8:-8] = 1
    missed = np.random.default_rng(0).random(shape) < 0.1
    first = np.where((reference == 1) & ~missed, 0.99, 0.01).astype(np.float32)
    return np.stack([1 - first, first]), reference


@pytest.mark.parametrize("shape", [(230, 230, 46), (231, 237, 46)])
def test_voxels_of_a_large_box_are_from_all_over_it(shape: tuple[int, ...]) -> None:
    """Of the box of the first shape a step of equal length sees the first slice alone, which is background."""
    probabilities, reference = boxes(shape)
    logs, truth = voxels_around(probabilities, reference)
    inside = reference[3:-3, 3:-3, 3:-3]
    assert logs.shape == (2, 50_000)
    assert truth.mean() == pytest.approx(inside.mean(), abs=0.01)
    assert (logs.argmax(0) == truth).mean() == pytest.approx(1 - 0.1 * inside.mean(), abs=0.01)


def test_voxels_to_be_ignored_contribute_nothing() -> None:
    """Whatever the mask shows there; as if the scan ended where they begin."""
    probabilities, reference = boxes((40, 30, 26))
    drawn = reference.copy()
    drawn[20:] = 2
    found = voxels_around(probabilities, drawn, ignore=2)
    logs, truth = voxels_around(probabilities[:, :20], reference[:20])
    assert np.array_equal(found[0], logs)
    assert np.array_equal(found[1], truth)
    assert len(voxels_around(probabilities, np.full_like(drawn, 2), ignore=2)[1]) == 0


def test_many_voxels_beside_others_to_be_ignored() -> None:
    probabilities, reference = boxes((120, 90, 40))
    drawn = reference.copy()
    drawn[40:] = 2
    _, truth = voxels_around(probabilities, drawn, ignore=2)
    assert len(truth) == 50_000
    assert truth.mean() == pytest.approx(reference[3:40, 3:-3, 3:-3].mean(), abs=0.01)


def test_one_case_says_nothing_about_others() -> None:
    assert reliability(sure_cases(2.0, count=1)) is None
    empty = voxels_around(np.stack([np.ones((4, 4)), np.zeros((4, 4))]).astype(np.float32), np.zeros((4, 4), np.uint8))
    assert len(empty[1]) == 0
    assert reliability([empty, *sure_cases(2.0, count=1)]) is None
