"""DMD: its terms by hand, and the released terms and gradients."""

import math

import pytest
import torch
from released_numbers import VALUES, assert_gradient, cases
from torch import Tensor

from crossmatch.methods.dmd import DMDSettings, dmd_loss
from crossmatch.methods.losses import DiceSettings

FOREGROUND = DiceSettings(background=False, smooth=1e-5)


def test_by_hand():
    """Two voxels of two images, odds 3 and 1/3 for the first network, 1 for the second; the first is labelled."""
    first = torch.tensor([[[[0.0]], [[math.log(3)]]], [[[math.log(3)]], [[0.0]]]])
    second = torch.zeros(2, 2, 1, 1)
    terms = dmd_loss(first, second, torch.ones(1, 1, 1, dtype=torch.long), DMDSettings(temperature=1), FOREGROUND)
    sup = (1 - 2 * 0.75 / (0.75**2 + 1)) + (1 - 2 * 0.5 / (0.5**2 + 1))
    mutual = 1 - 2 * (0.75 + 0.25) * 0.5 / (0.75**2 + 0.25**2 + 2 * 0.5**2)
    assert terms["sup"].item() == pytest.approx(sup, rel=1e-4)
    assert terms["mutual"].item() == pytest.approx(mutual, rel=1e-4)
    assert terms["total"].item() == pytest.approx(sup + 4 * mutual, rel=1e-4)


def test_a_higher_temperature_softens_both_sides():
    torch.manual_seed(0)
    first, second, label = torch.randn(3, 4, 5, 6), torch.randn(3, 4, 5, 6), torch.randint(4, (1, 5, 6))
    sharp, soft = (dmd_loss(first, second, label, DMDSettings(temperature=t), FOREGROUND) for t in (1, 4))
    assert soft["mutual"] < sharp["mutual"]
    assert torch.equal(soft["sup"], sharp["sup"])


def two_channels(logits: Tensor) -> Tensor:
    """Logits of a sigmoid (B, 1, *S) as logits of a softmax."""
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


@pytest.mark.parametrize(
    ("name", "suffix"), [("binary", ""), ("two", ""), ("multi", ""), ("two", "_bg"), ("multi", "_bg")]
)
def test_released_terms_and_gradients(name, suffix, shared):
    case = cases(shared, "dmd")[name]
    z1, z2 = (case[f"in:{key}"].requires_grad_() for key in ("z1", "z2"))
    settings = DMDSettings(temperature=case["in:T"].item())
    label = case["in:y"]
    dice = FOREGROUND.model_copy(update={"background": bool(suffix)})
    terms = dmd_loss(two_channels(z1), two_channels(z2), label, settings, dice)
    for ours, released in (("sup", "L_sup"), ("mutual", "L_kd"), ("total", "total")):
        torch.testing.assert_close(terms[ours], case[f"out:{released}{suffix}"], **VALUES)
    terms["total"].backward()
    assert_gradient(z1.grad, case[f"grad:z1{suffix}"])
    assert_gradient(z2.grad, case[f"grad:z2{suffix}"])
