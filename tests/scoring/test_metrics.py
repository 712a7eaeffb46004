"""Metrics against medpy's numbers, values by hand, and properties."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from crossmatch.scoring import metrics
from crossmatch.scoring.metrics import (
    all_metrics,
    asd,
    assd,
    dice,
    dice_per_class,
    hd95,
    hd95_max,
    jaccard,
    surface_distances,
)
from crossmatch.scoring.surface_voxels import surface_voxels

DISTANCES = (hd95, hd95_max, asd, assd)
EVERY = (dice, jaccard, *DISTANCES)


def mask(shape: tuple[int, ...], *box: slice) -> np.ndarray:
    result = np.zeros(shape, bool)
    result[box] = True
    return result


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    shape = draw(array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7))
    one = arrays(bool, shape, elements=st.booleans())
    spacing = st.tuples(*[st.sampled_from((0.5, 1.0, 1.25, 10.0))] * len(shape))
    return draw(one), draw(one), draw(spacing)


@pytest.mark.parametrize("index", range(4))
def test_equals_medpy(shared: Path, index: int) -> None:
    with np.load(shared / "golden" / "metrics_shared.npz") as golden:
        pred, ref, spacing = (golden[f"{name}{index}"] for name in ("pred", "ref", "spacing"))
        expected = dict(zip(golden["columns"].tolist(), golden[f"values{index}"], strict=True))
    found = {name: getattr(metrics, name)(pred, ref, spacing) for name in expected}
    assert found == pytest.approx(expected, rel=1e-12)


def test_shifted_cube_by_hand() -> None:
    # a 4 x 4 x 4 cube moved by one voxel along the last axis, which is 3 mm
    pred, ref = mask((8, 8, 8), *[slice(2, 6)] * 3), mask((8, 8, 8), slice(2, 6), slice(2, 6), slice(3, 7))
    assert dice(pred, ref) == 0.75  # 48 of 64 voxels are common
    assert jaccard(pred, ref) == 0.6  # 48 of 80
    # 16 voxels of the far face lie 3 mm outside the other cube. Of the 4 voxels in the middle of the opposite face
    # of the other cube, which this cube holds inside, none is on this surface: they see it 1 mm sideways.
    distances = surface_distances(pred, ref, (1, 1, 3))
    assert len(distances.pred_to_ref) == 4**3 - 2**3
    assert sorted(distances.pred_to_ref)[-16:] == [3.0] * 16
    assert sorted(distances.pred_to_ref)[:-16] == [0.0] * 36 + [1.0] * 4
    assert asd(pred, ref, (1, 1, 3)) == pytest.approx((16 * 3 + 4 * 1) / 56)
    assert assd(pred, ref, (1, 1, 3)) == pytest.approx((16 * 3 + 4 * 1) / 56)
    assert hd95(pred, ref, (1, 1, 3)) == 3.0
    assert hd95(pred, ref) == 1.0


def test_directed_and_pooled_by_hand() -> None:
    # one pixel against a row of 21: the pixel lies on the row, the row reaches 0 ... 20 pixels away from it
    pred, ref = mask((3, 21), slice(1, 2), slice(0, 1)), mask((3, 21), slice(1, 2))
    assert asd(pred, ref) == 0.0
    assert asd(ref, pred) == 10.0
    assert assd(pred, ref) == pytest.approx(210 / 22)  # pooled, not (0 + 10) / 2
    assert hd95_max(pred, ref) == 19.0  # 95th percentile of 0 ... 20
    assert hd95(pred, ref) == pytest.approx(18.95)  # of 0, 0, 1, ... 20: position 0.95 * 21 = 19.95
    assert asd(ref, pred, (5, 0.5)) == 5.0


def test_hausdorff_pooled_and_larger_direction_differ() -> None:
    pred, ref = mask((1, 60), slice(0, 1), slice(0, 2)), mask((1, 60), slice(0, 1), slice(0, 50))
    pred[0, 55] = True  # 6 pixels from the row; one of three predicted pixels
    assert hd95_max(pred, ref) > hd95(pred, ref) > 0


def test_surface_at_the_border_of_the_image() -> None:
    # the outside is background: the outermost ring of a full image is surface, its inside is not
    full = np.ones((5, 6), bool)
    inner = mask((5, 6), slice(2, 3), slice(2, 4))
    assert len(surface_distances(full, inner).pred_to_ref) == 5 * 6 - 3 * 4
    assert asd(inner, full) == 2.0
    corner = mask((5, 6), slice(0, 2), slice(0, 2))
    assert hd95(corner, mask((5, 6), slice(3, 5), slice(0, 2))) == 3.0


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_empty_masks(shape: tuple[int, ...]) -> None:
    nothing, something = np.zeros(shape, bool), np.ones(shape, bool)
    assert [metric(nothing, nothing) for metric in EVERY] == [1, 1, 0, 0, 0, 0]
    for pair in ((nothing, something), (something, nothing)):
        assert [metric(*pair) for metric in (dice, jaccard)] == [0, 0]
        assert all(math.isnan(metric(*pair)) for metric in DISTANCES)


@given(pairs())
@settings(max_examples=60, deadline=None)
def test_equals_scipy_and_is_symmetric(pair: tuple[np.ndarray, np.ndarray, tuple[float, ...]]) -> None:
    pred, ref, spacing = pair
    for metric in (dice, jaccard, hd95, hd95_max, assd):
        assert metric(pred, ref, spacing) == pytest.approx(metric(ref, pred, spacing), nan_ok=True)
    assert [metric(pred, pred, spacing) for metric in EVERY] == [1, 1, 0, 0, 0, 0]
    doubled = tuple(2 * step for step in spacing)
    for metric in DISTANCES:
        assert metric(pred, ref, doubled) == pytest.approx(2 * metric(pred, ref, spacing), nan_ok=True)
    if pred.ndim == 3 and sorted(pred.shape)[:2] != [1, 1]:  # with an axis of one voxel: as a slice
        flat = tuple(axis for axis in range(3) if pred.shape[axis] == 1)
        pred, ref = np.squeeze(pred, flat), np.squeeze(ref, flat)
        spacing = tuple(step for axis, step in enumerate(spacing) if axis not in flat)
    if pred.any() and ref.any():
        border, other = (one & ~ndimage.binary_erosion(one) for one in (pred, ref))
        expected = ndimage.distance_transform_edt(~other, sampling=spacing)[border]
        np.testing.assert_allclose(surface_distances(*pair).pred_to_ref, expected, rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_has_the_outline_of_the_slice_whatever_axes_its_file_has(axis: int) -> None:
    # a square of 20 pixels moved by 4: two sides lie 4 apart, the other two 0 to 4. As a volume every pixel would be
    # surface, and most of the distances 0: the mean would be 0.5.
    pred, ref = mask((40, 40), slice(10, 30), slice(10, 30)), mask((40, 40), slice(10, 30), slice(14, 34))
    for spacing in (None, (0.5, 2.0)):
        volume = None if spacing is None else tuple(np.insert(spacing, axis, 8.0))
        found = all_metrics(np.expand_dims(pred, axis), np.expand_dims(ref, axis), volume)
        assert found == all_metrics(pred, ref, spacing)
    assert (hd95(pred[None], ref[None]), asd(pred[None], ref[None])) == (4.0, 2.0)
    line = mask((1, 9, 1), slice(0, 1), slice(2, 6))  # no slice, so all of its voxels are surface
    assert len(surface_distances(line, line).pred_to_ref) == 4


def test_slices_between_ignored_ones_have_the_distances_of_their_outlines() -> None:
    """By hand: a square prism moved by 4, every other slice drawn; the ends do not count either."""
    pred, ref = mask((40, 40, 7), slice(10, 30), slice(10, 30)), mask((40, 40, 7), slice(10, 30), slice(14, 34))
    ignored = mask((40, 40, 7), slice(None), slice(None), slice(0, None, 2))
    found = surface_distances(pred, ref, (1, 1, 8), ignored)
    assert len(found.pred_to_ref) == 3 * (4 * 20 - 4)  # the outlines of three slices
    assert (found.hd95, found.hd95_max, found.asd, found.assd) == (4, 4, 2, 2)  # as the same squares in one slice
    # with the cut as a surface, all 400 pixels of a slice would count, 320 of them at distance 0
    cut = surface_distances(pred & ~ignored, ref & ~ignored, (1, 1, 8))
    assert (len(cut.pred_to_ref), cut.asd) == (3 * 400, 0.5)


def test_a_structure_that_runs_into_ignored_voxels_has_no_surface_there() -> None:
    """By hand: rows of pixels, the columns from 6 on to be ignored; a surface needs background that counts."""
    ref, ignored = mask((5, 9), slice(1, 4), slice(2, 9)), mask((5, 9), slice(None), slice(6, None))
    # of the 3 x 4 pixels that count, these three have no background beside them
    inside = {(2, 3), (2, 4), (2, 5)}
    assert {tuple(map(int, one)) for one in surface_voxels(ref & ~ignored, ignored)} == {
        (row, column) for row in range(1, 4) for column in range(2, 6)
    } - inside
    shorter = mask((5, 9), slice(1, 4), slice(2, 5))  # ends one pixel before them: this end is a surface
    found = surface_distances(shorter, ref, None, ignored)
    assert sorted(found.pred_to_ref) == [0] * 7 + [1]  # (2, 4) lies 1 from the row above it
    assert sorted(found.ref_to_pred) == [0] * 7 + [1] * 2  # (1, 5) and (3, 5)


def test_without_a_surface_that_counts_distances_are_undefined() -> None:
    whole, ignored = np.ones((3, 3), bool), np.ones((3, 3), bool)
    ignored[1, 1] = False
    nothing = np.zeros((3, 3), bool)
    for pair in ((whole, whole), (whole, nothing), (nothing, whole)):
        found = surface_distances(*pair, None, ignored)
        assert all(math.isnan(value) for value in (found.hd95, found.hd95_max, found.asd, found.assd))
    both_empty = surface_distances(nothing, nothing, None, ignored)
    assert (both_empty.hd95, both_empty.asd) == (0, 0)
    outside_alone = surface_distances(whole, whole, None, np.ones((3, 3), bool))  # no voxel counts: both are empty
    assert (outside_alone.hd95, outside_alone.asd) == (0, 0)
    with pytest.raises(ValueError, match=r"mask of ignored voxels and reference .* \(3, 1\) and \(3, 3\)"):
        surface_distances(whole, whole, None, ignored[:, :1])


@given(pairs(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_ignored_voxels_hold_neither_right_nor_wrong(
    pair: tuple[np.ndarray, np.ndarray, tuple[float, ...]], seed: int
) -> None:
    pred, ref, spacing = pair
    rng = np.random.default_rng(seed)
    ignored, other = rng.random(pred.shape) < 0.4, rng.random(pred.shape) < 0.5
    found = surface_distances(pred, ref, spacing, ignored)
    again = surface_distances(np.where(ignored, other, pred), np.where(ignored, ~other, ref), spacing, ignored)
    for one, same in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, same)
    none = surface_distances(pred, ref, spacing, np.zeros(pred.shape, bool))
    for one, same in zip(surface_distances(pred, ref, spacing), none, strict=True):
        np.testing.assert_array_equal(one, same)
    if 1 not in pred.shape:  # else it may be a slice
        counts = pred & ~ignored
        border = np.argwhere(counts & ~ndimage.binary_erosion(counts | ignored))
        np.testing.assert_array_equal(surface_voxels(counts, ignored), border)


@pytest.mark.parametrize(("shape", "spacing"), [((40, 50), (1, 1)), ((24, 30, 9), (0.8, 1.5, 10.0))])
def test_tree_and_transform_agree(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(3)
    pred, ref = rng.random(shape) < 0.3, ndimage.gaussian_filter(rng.random(shape), 2) > 0.5
    by_tree = surface_distances(pred, ref, spacing)
    monkeypatch.setattr(metrics, "MAX_TREE_POINTS", 0)
    monkeypatch.setattr(metrics, "_by_tree", None)  # a call of it would fail
    by_transform = surface_distances(pred, ref, spacing)
    for one, other in zip(by_tree, by_transform, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_kinds_of_arrays() -> None:
    pred, ref = mask((6, 7), slice(1, 4), slice(0, 5)), mask((6, 7), slice(2, 6), slice(1, 7))
    expected = all_metrics(pred, ref)
    assert expected == {metric.__name__: metric(pred, ref) for metric in EVERY}
    for kind in (np.uint8, np.int64, np.float32):
        assert all_metrics(np.asfortranarray(pred.astype(kind)), ref.astype(kind)) == expected
    assert all_metrics(pred[::-1, ::-1], ref[::-1, ::-1]) == pytest.approx(expected)  # views are fine
    assert type(hd95(pred, ref)) is float


@pytest.mark.parametrize(
    ("pred", "ref", "spacing", "told"),
    [
        (np.ones((3, 4)), np.ones((4, 3)), None, r"\(3, 4\) and \(4, 3\)"),
        (np.ones((3, 4)), np.ones((3, 4)), (1.0,), "2 axes"),
        (np.ones((3, 4)), np.ones((3, 4)), (1.0, 0.0), "positive"),
        (np.ones((3, 4)), np.ones((3, 4)), (1.0, math.nan), "positive"),
        (np.full((3, 4), 0.5), np.ones((3, 4)), None, "threshold"),
        (np.array(1), np.array(1), None, "single number"),
        (np.array(["a"]), np.array([1]), None, "bool or integer"),
    ],
)
def test_errors(pred: np.ndarray, ref: np.ndarray, spacing: tuple[float, ...] | None, told: str) -> None:
    for metric in EVERY:
        with pytest.raises(ValueError, match=told):
            metric(pred, ref, spacing)


def test_dice_per_class() -> None:
    rng = np.random.default_rng(0)
    pred, ref = rng.integers(0, 3, (5, 6, 7), np.uint8), rng.integers(0, 3, (5, 6, 7), np.int16)
    found = dice_per_class(pred, np.asfortranarray(ref), 4)
    assert found == pytest.approx([dice(pred == k, ref == k) for k in (1, 2, 3)])
    assert found[2] == 1  # a class absent from both
    assert dice_per_class(pred, ref.astype(np.float32), 4) == pytest.approx(found)
    with pytest.raises(ValueError, match=r"0 \.\.\. 1, the prediction holds 0 to 2"):
        dice_per_class(pred, ref, 2)
    with pytest.raises(ValueError, match="whole numbers"):
        dice_per_class(pred, ref / 2, 4)
    with pytest.raises(ValueError, match="different shapes"):
        dice_per_class(pred, ref[1:], 4)
