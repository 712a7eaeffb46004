"""Schedules by hand and against the released ones, and where CrossMatch uses its warm-up and its threshold."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from crossmatch.methods.schedules import poly_decay, ramp_up, threshold_at
from methods.tiny_methods import build, noise


def test_poly_decay_by_hand() -> None:
    assert poly_decay(0.0) == 1.0
    assert poly_decay(0.75, power=0.5) == pytest.approx(0.5)
    assert poly_decay(1.0) == 0.0
    assert poly_decay(0.3, power=0.0) == 1.0


def test_poly_decay_to_the_released_horizon_in_3d() -> None:
    """17,000 steps whatever the length of the run, here 14,000: 3,000 of them are left at its end."""
    for step in (0, 1, 5000, 13999):
        assert poly_decay(step / 14000, 0.9, 17 / 14) == pytest.approx((1 - step / 17000) ** 0.9, abs=1e-12)
    assert poly_decay(1.0, 0.9, 17 / 14) == pytest.approx((3 / 17) ** 0.9)
    assert poly_decay(1.0, 0.9, 1.0) == 0.0
    assert poly_decay(1.0, 0.5, 4 / 3) == pytest.approx(0.5)


def test_ramp_up_by_hand() -> None:
    progress = torch.tensor([0.0, 0.2, 0.4, 1.0])
    expected = [math.exp(-5), math.exp(-1.25), 1.0, 1.0]
    assert ramp_up(progress, 0.4).tolist() == pytest.approx(expected)
    assert ramp_up(progress, 0.0).tolist() == [1.0] * 4


@pytest.mark.parametrize(("progress", "factor"), [(0.0, math.exp(-5)), (0.25, math.exp(-1.25)), (0.5, 1.0)])
def test_warm_up_scales_all_but_the_supervised_term(progress: float, factor: float) -> None:
    method = build("crossmatch", 2, warm_up=0.5, weak_rate=0.0, strong_rate=0.0)
    terms = method(noise(2), torch.tensor(progress))
    unlabelled = 0.25 * (terms["ip1"] + terms["ip2"]) / 2 + 0.25 * (0.7 * terms["tkd"] + 0.3 * terms["dkd"])
    assert unlabelled > 0.01
    assert terms["total"].item() == pytest.approx((0.5 * terms["sup"] + factor * unlabelled).item(), rel=1e-5)


def test_a_constant_threshold_by_hand() -> None:
    for progress in (0.0, 0.5, 1.0):
        assert threshold_at(torch.tensor(progress), 0.95, ramp=0.0, scale=1.0) == 0.95
        assert threshold_at(torch.tensor(progress), 0.75, ramp=0.0, scale=0.5) == 0.375


@pytest.mark.parametrize("scale", [1.0, math.log(2)])
def test_a_rising_threshold_by_hand(scale: float) -> None:
    for progress, share in ((0.0, math.exp(-5)), (0.2, math.exp(-1.25)), (0.4, 1.0), (1.0, 1.0)):
        found = threshold_at(torch.tensor(progress), 0.75, ramp=0.4, scale=scale)
        assert isinstance(found, torch.Tensor)
        assert found.item() == pytest.approx((0.75 + 0.25 * share) * scale)
    later = threshold_at(torch.tensor(1.0), 0.75, ramp=17 / 14, scale=scale)
    assert float(later) == pytest.approx((0.75 + 0.25 * math.exp(-5 * (3 / 17) ** 2)) * scale)


def test_equal_to_the_released_threshold(shared: Path) -> None:
    """It lags by a step: step 5000 has the value of 4999. The very first has the start alone, without ln 2."""
    tau = {}
    for step in (0, 5000):
        with np.load(shared / "golden" / f"objective3d_shared_it{step}.npz") as file:
            assert file["iteration"] == step
            tau[step] = file["tau"].item()
    found = threshold_at(torch.tensor(4999 / 14000, dtype=torch.float64), 0.75, 17 / 14, math.log(2))
    assert float(found) == pytest.approx(tau[5000], rel=1e-12)
    assert tau[0] == threshold_at(torch.tensor(0.0), 0.75, ramp=0.0, scale=1.0)


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_crossmatch_asks_for_the_threshold_of_the_moment(progress: float) -> None:
    """A schedule gives the terms of the constant threshold that it has come to, and of no other."""
    reached = (0.3 + 0.7 * math.exp(-5 * (1 - min(progress / 0.5, 1)) ** 2)) * 0.8
    schedule = {"threshold": 0.3, "threshold_ramp": 0.5, "threshold_scale": 0.8}
    still = {"weak_rate": 0.0, "strong_rate": 0.0}
    found = build("crossmatch", 2, **schedule, **still)(noise(2), torch.tensor(progress))
    expected = build("crossmatch", 2, threshold=reached, **still)(noise(2), torch.tensor(progress))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    assert found["confident"].item() == pytest.approx({0.0: 1.0, 0.25: 0.668, 1.0: 0.0}[progress], abs=0.01)
