"""`crossmatch benchmark` as its users meet it: processes, results, what is not repeated, Ctrl-C, mistakes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from command import call
from crossmatch.runs.checkpoint import load_checkpoint
from crossmatch.runs.logbook import read_metrics
from refusal import refuse
from tiny import write_dataset
from untrained import SMALL

SETTINGS = [part for change in SMALL if not change.startswith("data.labelled") for part in ("--set", change)]
SETTINGS += ["--set", "train.steps=2", "--set", "train.batch.labelled=2", "--set", "train.batch.unlabelled=2"]


def _arguments(data: Path, out: Path, *more: object, methods: str = "supervised,mean_teacher") -> list[object]:
    return ["benchmark", "phantom", "--data", data, "--out", out, "--methods", methods, *SETTINGS, *more]


def _changed(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (out / "cells").rglob("*") if path.is_file()}


class Finished(NamedTuple):
    """A benchmark that ran once."""

    data: Path
    out: Path
    said: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Three of four cells are finished, one learns with an endless weight.

    With 2 of 2 cases labelled there is nothing unlabelled for a mean teacher: it has no cell there.
    """
    folder = tmp_path_factory.mktemp("benchmark")
    data, out = write_dataset(folder / "data", n_train=2, n_test=2), folder / "out"
    grid = "methods.mean_teacher.unlabelled_weight=0.1,1e300"
    child = _start(_arguments(data, out, "--labelled", "1,2", "--seeds", "0", "--jobs", "2", "--grid", grid))
    said, wrong = child.communicate(timeout=180)
    assert child.returncode == 1, wrong
    return Finished(data, out, " ".join(said.split()))


def test_failures_are_told_and_the_rest_goes_on(finished: Finished) -> None:
    data, out, said = finished
    assert "4 cells, 0 of them finished; 2 at a time" in said
    grid = "methods.mean_teacher.unlabelled_weight"
    assert f"mean_teacher, 1 labels, {grid}=1e300, seed 0: failed: `crossmatch train` ended with code 2" in said
    assert "The loss is not finite" in said
    assert f"mean_teacher, 2 labels, {grid}=0.1, seed 0: needs unlabelled cases, and every one is labelled" in said
    results = (out / "results.json").read_text()
    assert json.loads(results)["recipe"] == "phantom"
    assert json.loads(results)["methods"][f"mean_teacher, {grid}=0.1"]["decay"] == 0.99
    assert "2 steps; recipe changed by `--set data.size=[16, 16]`" in (out / "results.md").read_text()
    assert "Threshold 0.5 and a warm-up" in (out / "results.md").read_text()  # a remark of the recipe
    assert len((out / "results.csv").read_text().splitlines()) == 4  # a header and three finished cells
    assert all((out / f"results.{ending}").is_file() for ending in ("md", "png", "svg"))
    for place in (str(out.parent), str(data)):
        assert place not in results
        assert place not in (out / "results.md").read_text()
    kept = json.loads((out / f"cells/mean_teacher/1_labels/{grid}=0.1/seed0/test/summary.json").read_text())[
        "prediction"
    ]
    assert kept["checkpoint"] == "last"
    assert kept["training"]["parameters"] > 0
    assert kept["training"]["seconds"] > 0
    assert 0 <= kept["training"]["validation_dice"] <= 1
    assert 2**20 < kept["training"]["peak_memory_bytes"] < 2**33


def test_finished_cells_are_not_run_again(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    data, out, _ = finished
    before = _changed(out)
    code, said, _ = call(capsys, *_arguments(data, out, "--labelled", "1", "--seeds", "0", methods="supervised"))
    assert code == 0
    assert "1 cells, 1 of them finished" in said
    assert "2 finished cells in this folder" in " ".join(said.split())
    assert _changed(out) == before


def test_cells_known_from_elsewhere_are_not_run(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two cells of another folder make a table; nothing is trained, and its JSON can be taken again."""
    out, cells = tmp_path / "out", sorted(finished.out.glob("cells/*/*_labels/**/summary.json"))
    words = ["--labelled", "1,2", "--seeds", "0", *(word for cell in cells for word in ("--known", cell))]
    code, said, wrong = call(capsys, *_arguments(finished.data, out, *words, methods="supervised"))
    assert code == 0, (said, wrong)
    assert "2 cells, 0 of them finished, 2 known; 1 at a time" in said
    assert "1 known cells that this command did not name are left out" in said
    assert not (out / "cells").exists()
    made = json.loads((out / "results.json").read_text())
    theirs = [json.loads(cell.read_text()) for cell in cells if "supervised" in str(cell)]
    assert [cell["evaluation"]["cases"] for cell in made["cells"]] == [each["cases"] for each in theirs]
    again = _arguments(finished.data, tmp_path / "again", "--labelled", "1,2", "--seeds", "0", methods="supervised")
    code, said, wrong = call(capsys, *again, "--known", out / "results.json")
    assert (code, "2 known" in said) == (0, True), (said, wrong)
    assert json.loads((tmp_path / "again/results.json").read_text())["cells"] == made["cells"]
    told = refuse(capsys, tmp_path, *again, "--known", finished.data / "dataset.json")
    assert "--known takes the results.json of a benchmark" in told


def test_other_data_in_the_same_folder_is_refused(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_dataset(tmp_path / "other", n_train=2, n_test=2, seed=1)
    words = _arguments(other, finished.out, "--labelled", "1", "--seeds", "0", methods="supervised")
    code, said, wrong = call(capsys, *words)
    assert code == 2, said
    assert "data.fingerprint was" in wrong


def test_validations_best_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Costs are those of the whole run, whose best checkpoint came first."""
    data, out = write_dataset(tmp_path / "data"), tmp_path / "out"
    more = ["--labelled", "1", "--seeds", "0", "--checkpoint", "best", "--set", "train.validate_every=1"]
    code, said, wrong = call(capsys, *_arguments(data, out, *more, methods="supervised"))
    assert code == 0, (said, wrong)
    run = out / "cells/supervised/1_labels/seed0"
    kept = json.loads((run / "test/summary.json").read_text())["prediction"]
    last = load_checkpoint(run / "checkpoints/last.safetensors").facts
    assert kept["checkpoint"] == "best"
    assert kept["training"]["seconds"] == round(last["seconds"], 3) > 0
    assert kept["training"]["validation_dice"] == last["best"]


def _start(words: list[object]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "crossmatch", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while not (path.is_file() and path.read_text()):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    settings = ["--set", "train.steps=100", "--set", "train.log_every=2", "--labelled", "1", "--seeds", "0"]
    words = _arguments(data, tmp_path / "out", *settings, methods="supervised")
    run = tmp_path / "out/cells/supervised/1_labels/seed0"
    child = _start(words)
    _wait_for(run / "metrics.jsonl", child)
    child.send_signal(signal.SIGINT)
    said, wrong = child.communicate(timeout=200)
    assert child.returncode == 130, wrong
    assert "Traceback" not in wrong
    assert "Stopped; the same command continues from here." in said
    stopped_at = load_checkpoint(run / "checkpoints/last.safetensors").facts["step"]
    assert 0 < stopped_at < 100
    again = _start(words)
    said, wrong = again.communicate(timeout=300)
    assert again.returncode == 0, wrong
    log = run.with_name("seed0.log").read_text()
    assert f"Stopped at step {stopped_at} of 100" in log
    assert log.count("$ crossmatch train") == 2
    assert log.count("$ crossmatch predict") == 1
    steps = [line["step"] for line in read_metrics(run / "metrics.jsonl") if "train" in line]
    assert steps == sorted(set(steps))
    assert steps[-1] == 100


def test_what_a_killed_benchmark_started_keeps_the_folder(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    settings = ["--set", "train.steps=100000", "--set", "train.log_every=5", "--labelled", "1", "--seeds", "0"]
    words = _arguments(data, tmp_path / "out", *settings, methods="supervised")
    run = tmp_path / "out/cells/supervised/1_labels/seed0"
    child = _start(words)
    _wait_for(run / "metrics.jsonl", child)
    training = int(subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True).stdout)
    child.kill()
    child.communicate()
    try:
        second = _start(words)
        assert second.wait(60) == 2
        said = " ".join(second.communicate()[1].split())
        assert f"{tmp_path}/out is being written to by another process (process {child.pid} on" in said
        assert "or one that it started" in said
    finally:
        os.kill(training, signal.SIGKILL)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--methods", "supervised,nonsense"], "no method 'nonsense'; there are supervised"),
        (["--seeds", "0,one"], "--seeds takes whole numbers"),
        (["--labelled", "9"], "There is no label list"),
        (["--labelled", ""], "--labelled is empty"),
        (["--grid", "method.eta"], "--grid takes section.key=value,value"),
        (["--launcher", "cloud"], "--launcher is local or slurm"),
        (["--checkpoint", "first"], "--checkpoint is last or best"),
        (["--slurm", "timeout_min=3"], "add --launcher slurm"),
        (["--set", "train.steps=0"], "train.steps"),
        (["--data", "nowhere"], "does not exist"),
        (["--device", "gpu", "--labelled", "1"], "no device 'gpu'"),
        (["--grid", "train.momentum=0.9,0.90"], "the same run"),
        (["--grid", "method.eta=0,1"], "Cells of supervised: In recipe phantom: unknown key method.eta"),
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
    assert "labels from labelsTs; not there, or not in the test list: case_005" in said


def test_images_that_are_no_test_cases_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_dataset(tmp_path / "data", n_test=2)
    (data / "splits/test.txt").write_text("case_005\n")
    said = refuse(capsys, tmp_path / "data", *_arguments(data, tmp_path / "out", "--labelled", "1"))
    assert "not in the test list: case_006" in said


def test_best_without_validation_cases_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_dataset(tmp_path / "data", n_val=0)
    words = _arguments(data, tmp_path / "out", "--labelled", "1", "--checkpoint", "best")
    assert "no run has a best checkpoint" in refuse(capsys, tmp_path / "data", *words)


def test_methods_are_listed_with_their_papers(capsys: pytest.CaptureFixture[str]) -> None:
    from crossmatch.methods import METHODS

    code, said, _ = call(capsys, "methods")
    assert code == 0
    for name, method in METHODS.items():
        assert name in said
        assert method.about
        assert method.paper
    assert "Zhao et al., IEEE JBHI 2024" in said


def test_methods_without_unlabelled_cases_are_refused_where_there_is_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data")
    words = _arguments(data, tmp_path / "out", "--labelled", "all", methods="mean_teacher")
    assert "Every training case is labelled" in refuse(capsys, tmp_path / "data", *words)
