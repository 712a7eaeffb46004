"""Schedules by hand, and where CrossMatch uses its warm-up."""

import math

import pytest
import torch

from crossmatch.schedules import poly_decay, ramp_up
from methods.tiny_methods import build, noise


def test_poly_decay_by_hand() -> None:
    assert poly_decay(0.0) == 1.0
    assert poly_decay(0.75, power=0.5) == pytest.approx(0.5)
    assert poly_decay(1.0) == 0.0
    assert poly_decay(0.3, power=0.0) == 1.0


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
