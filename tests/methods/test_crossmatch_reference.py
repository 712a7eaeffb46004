"""The plain step that `speed/` measure against is the same step: its total equals CrossMatch's."""

import sys
from pathlib import Path

import pytest
import torch
from tiny_methods import build, noise

sys.path.append(str(Path(__file__).resolve().parents[2] / "speed"))
from crossmatch.networks.vnet import VNet, VNetSettings
from reference_step import reference_loss


@pytest.mark.parametrize("dims", [2, 3])
def test_the_reference_step_has_the_same_total(dims):
    """Without dropout, and normalised by instance: the reference normalises partners beside labelled images."""
    method = build("crossmatch", dims, "vnet", weak_rate=0.0, strong_rate=0.0)
    plain = VNet(dims, 2, 3, VNetSettings(width=2, dropout=0.0, normalisation="instance"))
    method.network = plain
    batch = noise(dims, "vnet", labelled=3)
    ours = method(batch, torch.tensor(0.0))["total"]
    torch.testing.assert_close(reference_loss(plain, batch, method.settings, method.dice), ours, rtol=1e-5, atol=0)
    sure = method.settings.model_copy(update={"threshold": 2.0})
    assert abs(reference_loss(plain, batch, sure, method.dice) - ours) > 1e-3
