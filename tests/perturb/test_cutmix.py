"""CutMix boxes: inside the image, of the share and shape that was asked for, drawn or not by probability."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torch import Tensor

from crossmatch.perturb.cutmix import CutMixSettings, box_mask, draw_boxes

ALWAYS = CutMixSettings(probability=1)


def _boxes(chosen: CutMixSettings, count: int, size: tuple[int, ...], seed: int = 0) -> tuple[Tensor, Tensor]:
    return draw_boxes(chosen, count, size, torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    size=st.lists(st.integers(1, 40), min_size=2, max_size=3).map(tuple),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).map(tuple),
    seed=st.integers(0, 1000),
)
def test_boxes_lie_inside_the_image(size, share, seed):
    start, stop = _boxes(CutMixSettings(probability=1, share=share), 4, size, seed)
    assert start.shape == stop.shape == (4, len(size))
    assert (start >= 0).all()
    assert (start <= stop).all()
    assert (stop <= torch.tensor(size)).all()


@pytest.mark.parametrize("size", [(256, 256), (64, 96, 80)])
def test_the_share_is_uniform(size):
    """Edges are cut to whole voxels, so a box is a little smaller than drawn: the mean lies within 2 % below .21."""
    start, stop = _boxes(ALWAYS, 4000, size)
    share = (stop - start).prod(1) / math.prod(size)
    assert share.min() > 0.02 * 0.85
    assert share.max() <= 0.4
    assert share.mean().item() == pytest.approx(0.21, rel=0.04)
    for quantile in (0.25, 0.5, 0.75):
        assert share.quantile(quantile).item() == pytest.approx(0.02 + 0.38 * quantile, rel=0.06)


def test_edges_follow_volume_and_aspect():
    fixed = CutMixSettings(probability=1, share=(0.1, 0.1), aspect=(2.0, 2.0))
    start, stop = _boxes(fixed, 50, (200, 200))  # area 4000: edges sqrt(2000) and sqrt(8000)
    assert ((stop - start) == torch.tensor([44, 89])).all()
    start, stop = _boxes(fixed, 50, (100, 100, 100))  # volume 1e5: cube roots of 5e4, 2e5 and 1e5
    assert ((stop - start) == torch.tensor([36, 58, 46])).all()


def test_the_aspect_stays_in_its_range():
    start, stop = _boxes(ALWAYS, 2000, (512, 512))
    edges = (stop - start).double()
    aspect = edges[:, 1] / edges[:, 0]  # edges (V / r)^(1/2), (V r)^(1/2)
    assert aspect.min() > 0.3 * 0.97
    assert aspect.max() < 1 / 0.3 * 1.03
    assert (aspect < 1).double().mean().item() == pytest.approx((1 - 0.3) / (1 / 0.3 - 0.3), abs=0.05)


def test_boxes_lie_anywhere():
    start, stop = _boxes(CutMixSettings(probability=1, share=(0.05, 0.05)), 4000, (100, 100))
    covered = box_mask(start, stop, (100, 100)).float().mean(0)
    assert covered[40:60, 40:60].mean() > 0.04
    centre = (start + stop).double().mean(0) / 2
    torch.testing.assert_close(centre, torch.full((2,), 49.5, dtype=torch.float64), rtol=0, atol=1.5)


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_probability(probability, expected):
    start, stop = _boxes(CutMixSettings(probability=probability), 4000, (64, 64))
    drawn = (stop > start).all(1).float().mean().item()
    assert drawn == pytest.approx(expected, abs=0.0 if expected in (0.0, 1.0) else 0.03)
    assert box_mask(start, stop, (64, 64)).any((1, 2)).float().mean().item() == drawn


def test_share_zero_is_no_box():
    start, stop = _boxes(CutMixSettings(probability=1, share=(0, 0)), 20, (32, 32))
    assert not box_mask(start, stop, (32, 32)).any()


@pytest.mark.parametrize("size", [(5, 7), (4, 3, 6)])
def test_the_mask_by_slices(size):
    start, stop = _boxes(CutMixSettings(probability=0.7), 30, size)
    mask = box_mask(start, stop, size)
    assert mask.dtype == torch.bool
    for k in range(30):
        expected = torch.zeros(size, dtype=torch.bool)
        expected[tuple(slice(int(a), int(b)) for a, b in zip(start[k], stop[k], strict=True))] = True
        assert torch.equal(mask[k], expected)


@pytest.mark.parametrize("size", [(256, 256), (112, 112, 80)])
def test_no_box_is_cut_off_at_the_border(size):
    """At the largest released share few places fit, in 3D one of a hundred; the box is still whole."""
    start, stop = _boxes(CutMixSettings(probability=1, share=(0.4, 0.4)), 5000, size)
    share = (stop - start).prod(1) / math.prod(size)
    assert share.min() > 0.4 * 0.95  # edges are cut to whole voxels
    assert share.max() <= 0.4


def test_boxes_are_those_of_drawing_until_one_fits():
    """The released code's loop, written out: corners and edges have the same distribution."""
    rng = np.random.default_rng(0)
    size, volume, found = 64, 0.3 * 64 * 64, []
    while len(found) < 4000:
        aspect, place = rng.uniform(0.3, 1 / 0.3), rng.integers(0, size, 2)
        edges = np.sqrt([volume / aspect, volume * aspect]).astype(int)
        if (place + edges <= size).all():
            found.append([*place, *edges])
    start, stop = _boxes(CutMixSettings(probability=1, share=(0.3, 0.3)), 4000, (size, size))
    ours = torch.cat([start, stop - start], 1).numpy()
    for k in range(4):
        assert ks_2samp(ours[:, k], np.array(found)[:, k]).statistic < 0.05


def test_a_generators_seed_fixes_the_boxes():
    first, again, other = (_boxes(ALWAYS, 8, (64, 64), seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
