"""Grey values to [0, 1], or as they are: by hand, constant and odd channels, and what training and prediction share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmatch.batches.intensity import colour_windows, foreground_window, scale, window


def test_minmax_by_hand():
    voxels = np.array([[-100, 0], [50, 100]], np.int16)
    assert window(voxels, "minmax") == (-100, 100, -100, 200)  # low, high, what becomes 0, what becomes 1
    np.testing.assert_allclose(scale(voxels, "minmax"), [[0, 0.5], [0.75, 1]], atol=1e-6)


def test_percentile_by_hand():
    """1,001 values 0..1000: the percentiles 0.5 and 99.5 are 5 and 995, whatever one outlier does."""
    voxels = np.arange(1001, dtype=np.float32)
    assert window(voxels, "percentile") == pytest.approx((5, 995, 5, 990))
    scaled = scale(voxels, "percentile")
    assert (scaled[5], scaled[995], scaled[500]) == pytest.approx((0, 1, 0.5))
    assert (scaled[0], scaled[1000]) == (0, 1)
    voxels[-1] = 1e9
    assert scale(voxels, "percentile")[500] == pytest.approx(0.5)


@pytest.mark.parametrize("normalise", ["minmax", "percentile"])
@pytest.mark.parametrize("value", [0, 7, -3.5])
def test_a_constant_channel_is_zero(normalise, value):
    scaled = scale(np.full((3, 4), value), normalise)
    assert not scaled.any()
    seen = window(np.full((3, 4), value), normalise)
    assert seen.high > seen.low
    assert seen.unit > 0


def test_percentiles_that_coincide_fall_back_to_minmax():
    """A mask-like channel: 99.9 % zeros, one voxel of 8."""
    voxels = np.zeros(1000, np.uint8)
    voxels[0] = 8
    assert window(voxels, "percentile") == (0, 8, 0, 8)


@pytest.mark.parametrize("kind", ["int16", "float32", "float64"])
def test_none_leaves_values_as_they_are(kind):
    voxels = np.array([[-3, 0], [2, 7]], kind)
    assert window(voxels, "none") == (-3, 7, 0, 1)
    scaled = scale(voxels, "none")
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, voxels)


@pytest.mark.parametrize("value", [0, 7, -3.5])
def test_none_leaves_a_constant_channel_as_it_is(value):
    assert np.array_equal(scale(np.full((3, 4), value), "none"), np.full((3, 4), value))


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    low=st.integers(-30000, 30000),
    spread=st.integers(1, 2000),
    kind=st.sampled_from(["int16", "int32", "float32"]),
    normalise=st.sampled_from(["minmax", "percentile"]),
)
def test_the_result_is_float32_in_range_and_monotone(low, spread, kind, normalise):
    voxels = np.sort(np.random.default_rng(spread).integers(low, low + spread + 1, 200)).astype(kind)
    scaled = scale(voxels, normalise)
    assert scaled.dtype == np.float32
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    assert (np.diff(scaled) >= 0).all()
    if normalise == "minmax" and voxels[-1] > voxels[0]:
        assert (scaled[0], scaled[-1]) == pytest.approx((0, 1), abs=1e-6)


def test_zscore_leaves_the_zeros_out():
    """Of 2, 4, 4, 6 the mean is 4 and the variance 2; the zero beside them is not counted, but moved with them."""
    voxels = np.array([0, 2, 4, 4, 6], np.int16)
    np.testing.assert_allclose(scale(voxels, "zscore"), (voxels - 4) / np.sqrt(2), atol=1e-6)


def test_zscore_of_a_constant_channel_is_zero():
    assert not scale(np.full((3, 4), 7), "zscore").any()


@pytest.mark.parametrize(("highest", "white"), [(200, 255), (300, 65535)])
def test_colour_is_scaled_by_what_the_type_holds(highest, white):
    np.testing.assert_allclose(scale(np.array([0, 10, highest]), "colour"), np.array([0, 10, highest]) / white)


def test_colours_that_are_shares_stay():
    assert scale(np.array([0.25, 0.5]), "colour").tolist() == [0.25, 0.5]


def test_all_channels_of_colours_have_one_scale():
    """The blue of a red picture holds 0 and 1: by itself it would look like shares, or like a mask."""
    red, blue = np.array([0, 200], np.uint8), np.array([0, 1], np.uint8)
    assert colour_windows([red, blue, blue], "colour") == [(0, 255, 0, 255)] * 3
    assert scale(blue, "colour").tolist() == pytest.approx([0, 1 / 255])
    wide = [red.astype(np.uint16), np.array([0, 300], np.uint16), blue.astype(np.uint16)]
    assert colour_windows(wide, "colour") == [(0, 65535, 0, 65535)] * 3
    shares = [np.array([0.1, 0.2]), np.array([0.0, 1.0])]
    assert colour_windows(shares, "colour") == [(0, 1, 0, 1)] * 2
    assert colour_windows(shares, "minmax") == []


def test_ct_takes_the_foreground_of_all_scans_together():
    """1,001 values -500..500 in two parts: percentiles -495 and 495, mean 0, variance (n^2 - 1) / 12."""
    values = np.arange(-500, 501, dtype=np.int16)
    fixed = foreground_window([values[:300], values[300:]])
    assert fixed == pytest.approx((-495, 495, 0, np.sqrt((1001**2 - 1) / 12)))
    scaled = scale(np.array([-3000, -495, 0, 100, 3000]), "ct", fixed)
    np.testing.assert_allclose(scaled * fixed.unit, [-495, -495, 0, 100, 495], atol=1e-3)


def test_ct_of_a_constant_foreground_can_be_computed():
    fixed = foreground_window([np.full(9, 40, np.int16)])
    assert (fixed.low, fixed.zero, fixed.unit) == (40, 40, 1)
    assert np.isfinite(scale(np.array([0.0, 80.0]), "ct", fixed)).all()


@pytest.mark.parametrize("kind", ["int64", "uint64", "int32"])
@pytest.mark.parametrize("normalise", ["minmax", "percentile"])
@pytest.mark.parametrize("offset", [2 * 10**9, -(2**40), 2**63 + 5, -(2**31)])
def test_an_offset_beyond_float32_changes_nothing(kind, normalise, offset):
    """float32 holds 24 bits: the offset must be gone before the cast."""
    plain = np.random.default_rng(0).integers(0, 1000, (20, 18, 7))
    info = np.iinfo(kind)
    if not info.min <= offset <= info.max - 1000:
        return
    shifted = np.array([int(value) + offset for value in plain.ravel()], dtype=kind).reshape(plain.shape)
    np.testing.assert_array_equal(scale(shifted, normalise), scale(plain - plain.min(), normalise))


def test_a_range_beyond_64_bits():
    ends = np.array([-(2**63), 0, 2**63 - 1], np.int64)
    np.testing.assert_allclose(scale(ends, "minmax"), [0, 0.5, 1])


def test_zscore_subtracts_before_it_casts():
    plain = np.random.default_rng(0).integers(1, 1000, (20, 18, 7))
    np.testing.assert_allclose(scale(plain + 2**40, "zscore"), scale(plain, "zscore"), atol=1e-3)
