"""The warning that pseudo-labels hold background alone: when it comes, once, and in a run."""

from pathlib import Path

import pytest
import torch

from crossmatch.batches.store import Store
from crossmatch.recipes.load import load_recipe
from crossmatch.training import plateau as module
from crossmatch.training.fit import fit
from crossmatch.training.plateau import Plateau, foreground_share
from tiny import write_dataset
from train_tiny import TINY, Quiet


def told(plateau: Plateau, shares: dict[int, float]) -> dict[int, str]:
    """What it says at which step."""
    found = {step: plateau(step, {"total": 1.0, "pseudo_foreground": share}) for step, share in shares.items()}
    return {step: text for step, text in found.items() if text}


@pytest.mark.parametrize(("steps", "first"), [(200, 110), (1000, 210), (30000, 510)])
def test_it_waits_a_fifth_of_the_run_within_limits_and_speaks_once(steps, first):
    said = told(Plateau(steps, 0.1), {step: 0.004 for step in range(10, 1000, 10)})
    assert list(said) == [first]
    assert "since step 10" in said[first]
    assert "0.4 % of the voxels" in said[first]
    assert "10 % of the labelled" in said[first]
    assert "--set method.threshold=0.5" in said[first]


def test_foreground_in_between_starts_the_time_anew():
    assert told(Plateau(200, 0.1), {10: 0.0, 100: 0.01, 150: 0.0, 240: 0.0}) == {}
    assert list(told(Plateau(200, 0.1), {10: 0.0, 100: 0.01, 150: 0.0, 250: 0.0})) == [250]


def test_methods_without_confident_labels_are_left_alone():
    plateau = Plateau(200, 0.1)
    assert [plateau(step, {"total": 1.0}) for step in (10, 500)] == [None, None]


def test_voxels_to_be_ignored_are_not_counted():
    labels = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3], dtype=torch.uint8)
    store = Store(torch.zeros(0), labels, *[torch.zeros(0)] * 10, classes=3)  # 3: to be ignored
    assert foreground_share(store) == pytest.approx(3 / 6)


def test_a_run_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No voxel reaches a threshold above 1, so nothing teaches; supervised learning has nothing to say."""
    monkeypatch.setattr(module, "LEAST_STEPS", 2)
    data, display = write_dataset(tmp_path / "data"), Quiet()
    fit(load_recipe("phantom", [*TINY, "train.steps=4", "method.threshold=1.01"]), data, tmp_path / "run", display)
    (text,) = [text for text in display.warnings if "background alone" in text]
    assert "since step 2 " in text
    fit(load_recipe("phantom", [*TINY, "train.steps=4", "method.name=supervised"]), data, tmp_path / "other", display)
    assert sum("background alone" in text for text in display.warnings) == 1
