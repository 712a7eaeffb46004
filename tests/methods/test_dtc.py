"""DTC: its terms by hand, what each head learns from, and the released terms and gradients."""

import math

import pytest
import torch
from released_numbers import VALUES, assert_gradient, cases
from tiny_methods import build, first_loss, noise

from crossmatch.methods.dtc import DTCSettings, dtc_loss
from crossmatch.methods.losses import DiceSettings

FOREGROUND = DiceSettings(background=False, smooth=1e-5)


def test_by_hand():
    """A line of four voxels, the first two are the mask: D = -1, 0, 1/2, 1. The second image has no label."""
    logits = torch.tensor([0, math.log(3)]).view(1, 2, 1, 1).expand(2, 2, 1, 4)
    distances = torch.zeros(2, 1, 1, 4)
    distances[1, 0, 0, 0] = -math.log(9) / 10
    label = torch.tensor([[[1, 1, 0, 0]]])
    terms = dtc_loss(logits, distances, label, torch.tensor(0.5), DTCSettings(slope=10), FOREGROUND)
    assert terms["sup"].item() == pytest.approx(1 - 2 * 1.5 / (4 * 0.75**2 + 2), rel=1e-4)
    assert terms["distance"].item() == pytest.approx((1 + 0.25 + 1) / 4)
    assert terms["consistency"].item() == pytest.approx((7 * 0.25**2 + 0.15**2) / 8)
    total = terms["sup"] + 0.3 * terms["distance"] + 0.5 * terms["consistency"]
    torch.testing.assert_close(terms["total"], total)


@pytest.mark.parametrize("dims", [2, 3])
def test_both_heads_learn_from_the_consistency_and_each_from_its_own_term(dims):
    method = build("dtc", dims)
    terms = first_loss(method, noise(dims))
    heads = [method.network.head.weight, method.distances.weight]
    for term, learns in (("sup", (True, False)), ("distance", (False, True)), ("consistency", (True, True))):
        gradients = torch.autograd.grad(terms[term], heads, retain_graph=True, allow_unused=True)
        assert tuple(gradient is not None and bool(gradient.any()) for gradient in gradients) == learns


@pytest.mark.parametrize(("name", "mended"), [("loss", ""), ("loss_empty", "_mended")])
def test_released_terms_and_gradients(name, mended, shared):
    """One channel and a sigmoid, as two channels of which the first is 0."""
    case = cases(shared, "dtc")[name]
    z, s = case["in:z"].requires_grad_(), case["in:s"].requires_grad_()
    settings = DTCSettings()
    assert (settings.distance_weight, settings.slope) == (case["in:beta"], case["in:slope"])
    logits = torch.cat([torch.zeros_like(z), z], 1)
    terms = dtc_loss(logits, s, case["in:y"], case["in:w"].float(), settings, FOREGROUND)
    pairs = {"sup": "L_seg", "distance": "L_sdf", "consistency": "L_cons", "total": "total"}
    for ours, released in pairs.items():
        torch.testing.assert_close(terms[ours], case[f"out:{released}{mended}"], **VALUES)
    terms["total"].backward()
    assert_gradient(z.grad, case["grad:z"])
    assert_gradient(s.grad, case[f"grad:s{mended}"])
