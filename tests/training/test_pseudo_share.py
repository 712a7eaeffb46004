"""The warnings that pseudo-labels hold background alone, or far too much foreground: when they come, and in a run."""

from pathlib import Path

import pytest
import torch

import crossmatch
from crossmatch.batches import store as store_module
from crossmatch.batches.store import Store
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.training import fit as train_module
from crossmatch.training import pseudo_share as module
from crossmatch.training.fit import fit
from crossmatch.training.pseudo_share import Overgrowth, Plateau, foreground_share
from tiny import write_dataset
from train_tiny import TINY, Quiet


def told(plateau: Plateau | Overgrowth, shares: dict[int, float]) -> dict[int, str]:
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


def test_labels_are_counted_part_by_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "CHUNK", 3)  # the last part has two
    labels = torch.tensor([0, 0, 0, 1, 2, 2, 255, 3], dtype=torch.uint8)
    counts = Store(torch.zeros(0), labels, *[torch.zeros(0)] * 10).label_counts
    assert counts[[0, 1, 2, 3, 4, 255]].tolist() == [3, 1, 2, 1, 0, 1]
    assert counts.sum() == len(labels)


def test_growth_is_told_once_after_a_hundred_steps_on_end():
    """Labels have 10 %: 31 % is too much, 30 % is not, and a reading in between starts the time anew."""
    many = {step: 0.31 for step in range(20, 400, 20)}
    said = told(Overgrowth(0.1), many)
    assert list(said) == [120]
    assert "since step 20" in said[120]
    assert "31 % instead of 10 %" in said[120]
    assert list(told(Overgrowth(0.1), many | {100: 0.3})) == [220]
    assert told(Overgrowth(0.1), {step: 0.3 for step in range(20, 400, 20)}) == {}
    assert [Overgrowth(0.1)(step, {"total": 1.0}) for step in (10, 500)] == [None, None]


def test_a_run_tells_of_growth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The network is sure of a class all over: its head is."""
    monkeypatch.setattr(module, "LEAST_STEPS", 2)
    monkeypatch.setattr(train_module, "foreground_share", lambda store: 0.1)
    data, display = write_dataset(tmp_path / "data"), Quiet()
    begin = crossmatch.networks.UNet.__init__

    def sure(network, *args, **more):
        begin(network, *args, **more)
        with torch.no_grad():
            network.head.bias[1] += 100.0

    monkeypatch.setattr(crossmatch.networks.UNet, "__init__", sure)
    fit(load_recipe("phantom", [*TINY, "train.steps=6"]), data, tmp_path / "run", display)
    assert sum("100 % instead of 10 %" in text for text in display.warnings) == 1


def test_a_run_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No voxel reaches a threshold above 1, so nothing teaches; supervised learning has nothing to say."""
    monkeypatch.setattr(module, "LEAST_STEPS", 2)
    data, display = write_dataset(tmp_path / "data"), Quiet()
    fit(load_recipe("phantom", [*TINY, "train.steps=4", "method.threshold=1.01"]), data, tmp_path / "run", display)
    (text,) = [text for text in display.warnings if "only of background" in text]
    assert "since step 2 " in text
    fit(load_recipe("phantom", [*TINY, "train.steps=4", "method.name=supervised"]), data, tmp_path / "other", display)
    assert sum("only of background" in text for text in display.warnings) == 1


def image_terms(data: Path, out: Path, *changes: str) -> dict[int, float]:
    """Step -> `ip1`, the mean of ten steps, of a short training with the phantom's recipe on small slices."""
    small = ["data.size=[32,32]", "network.dropout=[0,0,0]", "train.steps=70", "train.log_every=10"]
    rare = ["train.validate_every=1000", "train.checkpoint_every=1000", "train.precision=float32"]
    fit(load_recipe("phantom", [*small, *rare, *changes]), data, out, Quiet())
    return {line["step"]: line["train"]["ip1"] for line in read_metrics(out / "metrics.jsonl") if "train" in line}


@pytest.mark.slow
def test_our_recipe_soon_finds_foreground_and_the_released_constants_do_not(tmp_path: Path):
    """With background alone, `ip1` is 3/4: the other three of four classes have no overlap."""
    data = tmp_path / "data"
    crossmatch.phantom.make_phantom(data, train=6, val=1, test=1)
    crossmatch.check(data, progress=False)
    left = [image_terms(data, tmp_path / f"{seed}", f"seed={seed}")[70] < 0.7 for seed in range(5)]
    assert sum(left) >= 4
    released = ["method.threshold=0.95", "method.warm_up=0", "method.weak_rate=0.25", "method.strong_rate=0.75"]
    late = image_terms(data, tmp_path / "released", *released)
    assert min(late[step] for step in (50, 60, 70)) > 0.7
