"""Every method goes on bit for bit: 6 steps are 3, a stop, a resumed run and 3 more, teachers included."""

from pathlib import Path

import pytest
import torch
from tiny_methods import trained_teacher

from crossmatch.methods import METHODS
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, n_val=0)


@pytest.mark.parametrize("name", METHODS)
def test_a_stop_changes_nothing(name: str, data: Path, tmp_path: Path) -> None:
    settings = [*TINY, "train.steps=6", "train.log_every=1", f"method.name={name}"]
    if name == "distillation":
        settings.append(f"method.teacher={trained_teacher(data)}")
    chosen = load_recipe("phantom", settings)
    assert fit(chosen, data, tmp_path / "whole", Quiet()) == 6
    assert fit(chosen, data, tmp_path / "parts", Quiet(interrupt_at=3)) == 3
    assert fit(chosen, data, tmp_path / "parts", Quiet(), resume=True) == 6
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert read_metrics(tmp_path / "whole/metrics.jsonl") == read_metrics(tmp_path / "parts/metrics.jsonl")
