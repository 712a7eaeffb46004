"""What the report draws: which cases and slices, outlines, orientation, crops, scales of curves."""

import math
import re

import numpy as np
import pytest

from crossmatch.formats import new_volume
from crossmatch.reports import cases, curves, overlays, slices
from crossmatch.scoring.scores import ClassScores, Evaluation


def test_choice_of_cases():
    def chosen(*dice: float) -> dict[str, str]:
        rows = tuple(ClassScores(f"c{n}", "RV", 1, {"dice": value}) for n, value in enumerate(dice))
        return cases.chosen_cases(Evaluation(rows, {"RV": 1}, "test", "labelsTs", None, (), (), None))

    assert chosen(0.2, 0.9, 0.5, 0.1, 0.6) == {"c1": "best", "c2": "median", "c3": "worst"}
    assert chosen(0.2, 0.9) == {"c1": "best", "c0": "worst"}
    assert chosen(0.2) == {"c0": "the only one"}


def test_choice_of_slices():
    reference, prediction = np.zeros((2, 5, 8, 8), np.uint8)
    reference[1, :6, :6] = prediction[1, :6, :6] = 1  # largest, perfect
    reference[2, :5, :6], prediction[2, :5, :3] = 1, 1  # 15 voxels wrong, Dice 2/3
    reference[3, 0, 0] = 1  # 1 voxel wrong, Dice 0
    reference[4, :2, :2] = prediction[4, :2, :2] = 1
    assert overlays.slice_dice(reference[2], prediction[2]) == pytest.approx(2 / 3)
    assert overlays.slice_dice(reference[0], prediction[0]) == 1
    assert overlays.chosen_slices(reference, prediction) == {
        1: "largest reference",
        2: "most wrong voxels",
        3: "lowest Dice",
    }
    same = overlays.chosen_slices(reference, reference)
    assert same == {1: "largest reference", 2: "no wrong voxel", 4: "no wrong voxel"}


def test_outline_of_a_square_and_of_diagonal_neighbours():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    points = {tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", slices.outline(mask))}
    # middles of the pixel edges beside each corner of the box from (1, 1) to (4, 3), as (x, y)
    assert points == {(1.5, 1), (3.5, 1), (4, 1.5), (4, 2.5), (3.5, 3), (1.5, 3), (1, 2.5), (1, 1.5)}
    assert slices.outline(np.eye(2, dtype=bool)).count("M") == 2
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    assert slices.outline(ring).count("M") == 2
    assert slices.outline(np.zeros((3, 3), bool)) == ""


@pytest.mark.parametrize(("flips", "axes"), [((-1, -1), ()), ((1, -1), (0,)), ((1, 1), (0, 1))])
def test_slices_stand_upright(flips, axes):
    """Right on the left and front on top: axes that run to the right or to the front are turned round."""
    voxels = np.arange(24).reshape(2, 3, 4)
    volume = new_volume(voxels, np.diag([1.5 * flips[0], 2.0 * flips[1], 8.0, 1.0]))
    stack, pixel = slices.upright(volume, 2)
    np.testing.assert_array_equal(stack(voxels)[1], np.flip(voxels, axes)[:, :, 1].T)
    assert pixel == (2.0, 1.5)


def test_side_views_have_the_head_on_top():
    voxels = np.arange(24).reshape(2, 3, 4)
    stack, pixel = slices.upright(new_volume(voxels, np.diag([-1.0, -2.0, 3.0, 1.0])), 0)
    np.testing.assert_array_equal(stack(voxels)[1], voxels[1, :, ::-1].T)
    assert pixel == (3.0, 2.0)
    flat, pixel = slices.upright(new_volume(voxels[0]), 2)
    np.testing.assert_array_equal(flat(voxels[0]), voxels[0].T[np.newaxis])
    assert pixel == (1.0, 1.0)


def test_crop_is_square_in_millimetres():
    labelled = np.zeros((2, 100, 200), bool)
    labelled[0, 40:50, 90:110] = True
    rows, columns = slices.crop(labelled, (2.0, 1.0))  # 20 x 20 mm, with a margin 27 x 27
    assert (rows.stop - rows.start, columns.stop - columns.start) == (14, 27)
    assert rows.start <= 40
    assert rows.stop >= 50
    assert columns.start <= 90
    assert columns.stop >= 110
    assert slices.crop(labelled[1:], (2.0, 1.0)) == (slice(None), slice(None))


def test_ticks_are_round_and_cover():
    assert curves.ticks(0, 0.83) == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    assert curves.ticks(0, 100) == [0, 25, 50, 75, 100]
    assert curves.ticks(0, 30900, 6, inside=True) == [0, 10000, 20000, 30000]
    assert curves.ticks(-0.3, 0.3)[0] >= -0.3


def test_long_curves_are_thinned_by_averaging():
    points = [(n, math.nan if n % 2 else 1.0) for n in range(3000)]
    drawn = curves.thin(points)
    assert len(drawn) == curves.POINTS
    assert drawn[0] == (9, 1.0)
    assert curves.thin(points[:5]) == points[:5]
