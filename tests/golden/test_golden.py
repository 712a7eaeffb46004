"""Equality with the released code, proved on any machine by a few numbers of its run (see `make.py`).

The tests of each room compare whole arrays, where ../shared lies beside the repository.
"""

import json
from pathlib import Path
from typing import Any

import golden_inputs
import numpy as np
import pytest
import torch
from golden_digest import digest
from torch import Tensor, nn

from crossmatch.methods.crossmatch import CrossMatchSettings, Decodings, objective
from crossmatch.methods.losses import DiceSettings
from crossmatch.networks.reference import from_reference
from crossmatch.scoring import metrics

HERE = Path(__file__).parent
NUMBERS: dict[str, Any] = json.loads((HERE / "numbers.json").read_text())
VALUE, GRADIENT = 1e-4, 1e-3  # relative tolerances, as for the whole arrays


def _agree(found: Tensor, expected: dict[str, Any], tolerance: float) -> None:
    """The sum may cancel: it is compared on the scale of the sum of absolute values."""
    ours, size = digest(found), expected["absolute"]
    assert ours["absolute"] == pytest.approx(size, rel=tolerance)
    assert ours["sum"] == pytest.approx(expected["sum"], abs=tolerance * size)
    mean = size / found.numel()
    assert ours["entries"] == pytest.approx(expected["entries"], rel=tolerance, abs=tolerance * mean)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["unet", "vnet"])
def test_networks(name: str, training: bool) -> None:
    """In eval mode, and in train mode without dropout, where the V-Net sees the image and its mirror image."""
    state, image = getattr(golden_inputs, name)()
    network = from_reference(state).train(training)
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout3d):
            module.p = 0.0
    if training and name == "vnet":
        image = torch.cat([image, image.flip(2)])
    expected = NUMBERS["networks"][name]["logits_train_nodrop" if training else "logits_eval"]
    with torch.no_grad():
        _agree(network(image), expected, VALUE)


@pytest.mark.parametrize("name", NUMBERS["objectives"])
def test_objectives(name: str) -> None:
    """Every term, the total, and the gradient that each stream of logits gets."""
    expected = NUMBERS["objectives"][name]
    released = {
        2: ({}, DiceSettings()),
        3: ({"distillation_weight": 0.5}, DiceSettings(background=False, smooth=1e-5)),
    }
    settings, dice = released[expected["dims"]]
    z, boxes = golden_inputs.objective(expected["dims"])
    for stream in golden_inputs.STREAMS:
        z[stream].requires_grad_()
    weak, strong2, partner = (Decodings(*(z[f"{view}_{field}"] for field in "nws")) for view in ("w", "s2", "mix"))
    chosen = CrossMatchSettings(eta=expected["eta"], **settings)
    terms = objective(z["x"], z["y"], weak, z["s1_n"], strong2, partner, boxes, chosen, dice, expected["tau"])
    found = {term: terms[term].item() for term in expected["terms"]}
    assert found == pytest.approx(expected["terms"], rel=VALUE)
    terms["total"].backward()
    learning = {stream for stream in golden_inputs.STREAMS if z[stream].grad is not None}
    assert learning == expected["gradients"].keys()
    for stream in learning:
        _agree(z[stream].grad, expected["gradients"][stream], GRADIENT)


@pytest.mark.parametrize("index", range(4))
def test_metrics(index: int) -> None:
    """Equal to medpy, but for rounding."""
    with np.load(HERE / "metrics.npz") as golden:
        pred, ref, spacing = (golden[f"{name}{index}"] for name in ("pred", "ref", "spacing"))
        expected = dict(zip(golden["columns"].tolist(), golden[f"values{index}"], strict=True))
    found = {name: getattr(metrics, name)(pred, ref, spacing) for name in expected}
    assert found == pytest.approx(expected, rel=1e-12)


def test_the_numbers_are_few() -> None:
    assert sum(path.stat().st_size for path in HERE.iterdir() if path.suffix in (".json", ".npz")) < 100_000
