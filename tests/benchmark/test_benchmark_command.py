"""`crossmatch benchmark` as its users meet it: processes, results, what is not repeated, Ctrl-C, mistakes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command import call
from refusal import refuse
from tiny import write_dataset
from untrained import SMALL

SETTINGS = [part for change in SMALL if not change.startswith("data.labelled") for part in ("--set", change)]
SETTINGS += ["--set", "train.steps=2", "--set", "train.batch.labelled=2", "--set", "train.batch.unlabelled=2"]


def _arguments(data: Path, out: Path, *more: object, methods: str = "supervised,mean_teacher") -> list[object]:
    return ["benchmark", "phantom", "--data", data, "--out", out, "--methods", methods, *SETTINGS, *more]


def _changed(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (out / "cells").rglob("*") if path.is_file()}


def test_cells_are_run_once_failures_are_told_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_dataset(tmp_path / "data", n_train=2, n_test=2), tmp_path / "out"
    # with 2 of 2 cases labelled there is nothing unlabelled for a mean teacher
    arguments = _arguments(data, out, "--labelled", "1,2", "--seeds", "0", "--jobs", "2")
    code, said, _ = call(capsys, *arguments)
    assert code == 1
    assert "4 cells, 0 of them finished; 2 at a time" in said
    assert "Failed: mean_teacher, 2 labels, seed 0" in said
    assert "needs unlabelled" in said.replace("\n", " ")
    results = json.loads((out / "results.json").read_text())
    assert results["recipe"] == "phantom"
    rows = (out / "results.csv").read_text().splitlines()
    assert len(rows) == 4  # a header and three finished cells
    assert {name for name in ("results.md", "results.png", "results.svg") if (out / name).is_file()} == {
        "results.md",
        "results.png",
        "results.svg",
    }
    kept = json.loads((out / "cells/mean_teacher/1_labels/seed0/test/summary.json").read_text())
    training = kept["prediction"]["training"]
    assert training["parameters"] > 0
    assert training["peak_memory_bytes"] > 2**20
    assert kept["prediction"]["checkpoint"] == "last"

    before = _changed(out)
    code, said, _ = call(capsys, *arguments)
    assert code == 1
    assert "4 cells, 3 of them finished" in said
    after = _changed(out)
    assert {name for name in after if after[name] != before.get(name)} == {
        str(out / "cells/mean_teacher/2_labels/seed0.log")  # it was tried again
    }


def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    settings = ["--set", "train.steps=3000", "--set", "train.log_every=5", "--labelled", "1", "--seeds", "0"]
    words = [str(word) for word in _arguments(data, tmp_path / "out", *settings, methods="supervised")]
    run = tmp_path / "out/cells/supervised/1_labels/seed0"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "crossmatch", *words]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 90
    while not ((run / "metrics.jsonl").is_file() and (run / "metrics.jsonl").read_text()):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    second = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert second.returncode == 2
    assert "Another benchmark is running" in second.stderr
    child.send_signal(signal.SIGINT)
    said, wrong = child.communicate(timeout=60)
    assert child.returncode == 130, wrong
    assert "Traceback" not in wrong
    assert "Stopped; the same command goes on from here." in said
    assert (run / "checkpoints/last.safetensors").is_file()
    log = run.with_name("seed0.log").read_text()
    assert "Stopped at step" in log
    assert not log.splitlines()[0].endswith("--resume")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--methods", "supervised,nonsense"], "no method 'nonsense'; there are supervised"),
        (["--seeds", "0,one"], "--seeds takes whole numbers"),
        (["--labelled", "9"], "There is no label list"),
        (["--grid", "method.eta"], "--grid takes section.key=value,value"),
        (["--launcher", "cloud"], "--launcher is local or slurm"),
        (["--checkpoint", "first"], "--checkpoint is last or best"),
        (["--slurm", "timeout_min=3"], "add --launcher slurm"),
        (["--set", "train.steps=0"], "train.steps"),
        (["--data", "nowhere"], "does not exist"),
    ],
)
def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], told: str) -> None:
    data = write_dataset(tmp_path / "data")
    assert told in refuse(capsys, tmp_path / "data", *_arguments(data, tmp_path / "out", *more))
    assert not (tmp_path / "out/cells").exists()


def test_a_recipe_that_is_no_phantoms_needs_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["benchmark", "acdc_3", "--methods", "supervised", "--out", tmp_path / "out"]
    assert "Name the dataset for the recipe acdc_3 with --data" in refuse(capsys, tmp_path, *words)


def test_test_cases_without_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_dataset(tmp_path / "data", n_test=2)
    (data / "labelsTs/case_005.nii.gz").unlink()
    said = refuse(capsys, tmp_path / "data", *_arguments(data, tmp_path / "out", "--labelled", "1"))
    assert "labels from labelsTs; not there: case_005" in said


def test_methods_are_listed_with_their_papers(capsys: pytest.CaptureFixture[str]) -> None:
    from crossmatch.methods import METHODS

    code, said, _ = call(capsys, "methods")
    assert code == 0
    for name, (method, _) in METHODS.items():
        assert name in said
        assert method.about
        assert method.paper
    assert "Zhao et al., IEEE JBHI 2024" in said
