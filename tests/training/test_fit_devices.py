"""`--devices 2` and torchrun as their users start them: the same run either way, told once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from command import call
from crossmatch.runs.checkpoint import load_checkpoint
from crossmatch.runs.logbook import read_metrics
from tiny import write_dataset
from train_tiny import TINY, weights

CHANGES = [*TINY, "train.steps=3", "train.checkpoint_every=3", "method.name=bcp", "method.pretraining=0.4"]
TRAIN = ["train", "phantom", "--data", "data", *(word for change in CHANGES for word in ("--set", change))]
COMMAND = [sys.executable, "-m", "crossmatch"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "crossmatch"]


def process(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=150)


@pytest.mark.slow
def test_two_devices_by_the_command_itself_and_by_torchrun(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", n_train=3)
    for out, words in (("own", [*COMMAND, *TRAIN, "--devices", "2"]), ("torchrun", [*TORCHRUN, *TRAIN])):
        found = process(tmp_path, *words, "--out", out)
        assert found.returncode == 0, found.stderr
        assert found.stdout.count("step 3/3") == 1
        assert found.stdout.count(f"Done: {out}") == 1
        lines = read_metrics(tmp_path / out / "metrics.jsonl")
        assert [(line["step"], "train" in line) for line in lines] == [(2, True), (3, True), (3, False)]
    own, other = weights(tmp_path / "own"), weights(tmp_path / "torchrun")
    assert own.keys() == other.keys()
    assert all(torch.equal(own[key], other[key]) for key in own)
    best = [load_checkpoint(tmp_path / out / "checkpoints/best.safetensors").network for out in ("own", "torchrun")]
    assert all(torch.equal(best[0][key], best[1][key]) for key in best[0])


@pytest.mark.slow
def test_a_mistake_that_only_rank_0_meets_is_told_once(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", n_train=3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    found = process(tmp_path, *COMMAND, *TRAIN, "--out", "mine", "--devices", "2")
    assert found.returncode == 2
    assert found.stderr.count("Error:") == 1
    assert "mine exists and is not a run" in found.stderr
    assert "Traceback" not in found.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_batch_that_cannot_be_shared_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    code, out, err = call(capsys, *TRAIN, "--out", tmp_path / "run", "--devices", "4")
    assert (code, out) == (2, "")
    assert "train.batch.labelled is 2" in err
    assert "--set train.batch.labelled=4" in " ".join(err.split())
