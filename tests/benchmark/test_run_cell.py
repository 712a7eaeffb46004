"""The commands of a cell, what is not done twice, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from crossmatch.benchmark.cells import Cell, plan_cells
from crossmatch.benchmark.run_cell import (
    CellFailed,
    Processes,
    commands,
    is_finished,
    refuse_another,
    result_of,
    run_cell,
)
from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.inference.predict import predict
from crossmatch.scoring.evaluate import evaluate
from tiny import write_dataset
from untrained import SMALL, untrained_run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


def _cell(data: Path, method: str = "supervised", changes: tuple[str, ...] = ()) -> Cell:
    small = [change for change in SMALL if not change.startswith("data.labelled")]
    methods = ["supervised", "distillation"] if method == "distillation" else [method]
    cells = plan_cells("phantom", str(data), methods=methods, labelled=["1"], seeds=[0], changes=[*small, *changes])
    return cells[-1]


class Recorded(Processes):
    """Notes commands instead of running them; the one named `failing` ends with an error."""

    def __init__(self, failing: str = "") -> None:
        super().__init__()
        self.failing, self.seen, self.environments = failing, [], []

    def run(self, words, log, cwd, environment):
        self.seen.append(words)
        self.environments.append(dict(environment))
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("a line\nError: no luck today.\n\n")
        return 2 if words[0] == self.failing else 0


def _run(cell: Cell, out: Path, processes: Processes) -> None:
    run_cell(cell, recipe="phantom", out=out, device="cpu", checkpoint="last", threads=3, processes=processes)


def test_train_predict_and_evaluate_as_a_user_would(data: Path, tmp_path: Path):
    cell = _cell(data)
    train, predict_, evaluate_ = commands("phantom", cell, "cuda:1", "best", resume=False)
    run = "cells/supervised/1_labels/seed0"
    assert train[:8] == ["train", "phantom", "--data", str(data), "--out", run, "--device", "cuda:1"]
    assert train[8] == "--checked"
    assert train[9:13] == ["--set", "method.name=supervised", "--set", 'data.labelled="1"']
    expected = ["predict", run, f"{data}/imagesTs", f"{run}/test", "--checkpoint", "best", "--device", "cuda:1"]
    assert predict_ == [*expected, "--precision", "float32"]
    assert evaluate_ == ["evaluate", f"{run}/test", f"{data}/labelsTs"]
    assert commands("phantom", cell, "cpu", "last", resume=True)[0][-1] == "--resume"


def test_the_commands_run_in_turn_with_the_threads_asked_for(data: Path, tmp_path: Path):
    processes = Recorded()
    _run(_cell(data), tmp_path / "out", processes)
    assert [words[0] for words in processes.seen] == ["train", "predict", "evaluate"]
    assert processes.environments == [{"OMP_NUM_THREADS": "3"}] * 3
    assert "--resume" not in processes.seen[0]


def test_a_failure_is_told_with_its_last_words_and_nothing_follows_it(data: Path, tmp_path: Path):
    processes = Recorded(failing="predict")
    with pytest.raises(CellFailed) as failure:
        _run(_cell(data), tmp_path / "out", processes)
    log = "cells/supervised/1_labels/seed0.log"
    assert failure.value.reason == f"`crossmatch predict` ended with code 2, see {log}"
    assert failure.value.words == "Error: no luck today."
    assert [words[0] for words in processes.seen] == ["train", "predict"]


def test_a_run_with_a_checkpoint_is_resumed(data: Path, tmp_path: Path):
    cell, processes = _cell(data), Recorded()
    untrained_run(tmp_path / "out" / cell.folder, data)
    _run(cell, tmp_path / "out", processes)
    assert processes.seen[0][-1] == "--resume"


def test_a_finished_cell_is_left_alone(data: Path, tmp_path: Path):
    cell, processes = _cell(data), Recorded()
    folder = _finish(cell, tmp_path / "out", data)
    assert is_finished(folder)
    _run(cell, tmp_path / "out", processes)
    assert processes.seen == []


def test_without_its_teacher_a_cell_fails(data: Path, tmp_path: Path):
    processes = Recorded()
    with pytest.raises(CellFailed, match="its teacher cells/supervised/1_labels/seed0 did not finish"):
        _run(_cell(data, "distillation"), tmp_path / "out", processes)
    assert processes.seen == []


def test_nothing_starts_after_a_stop(data: Path, tmp_path: Path):
    processes = Processes()
    processes.stop()
    with pytest.raises(CellFailed, match=r"was killed \(signal 15"):
        _run(_cell(data), tmp_path / "out", processes)
    assert not (tmp_path / "out/cells/supervised/1_labels/seed0").exists()


def _refuse(cell: Cell, out: Path, checkpoint: str = "last") -> None:
    refuse_another(cell, out, checkpoint, load_fingerprint(open_dataset(cell.data)).digest)


def _finish(cell: Cell, out: Path, data: Path, *changes: str) -> Path:
    folder = out / cell.folder
    untrained_run(folder, data, "method.name=supervised", "data.labelled=1", "seed=0", *changes)
    predict(folder, data / "imagesTs", folder / "test")
    evaluate(folder / "test", data / "labelsTs", folder / "test")
    return folder


def test_a_cell_of_other_settings_is_refused(data: Path, tmp_path: Path):
    _finish(_cell(data), tmp_path, data)
    _refuse(_cell(data), tmp_path)
    with pytest.raises(
        UserError, match=r"made with other settings, data or code: train.steps was 3, now 77.*choose another --out"
    ):
        _refuse(_cell(data, changes=("train.steps=77",)), tmp_path)
    record = tmp_path / _cell(data).folder / "run.json"
    changed = json.loads(record.read_text())
    changed["code"]["method_version"] = 9
    record.write_text(json.dumps(changed))
    with pytest.raises(UserError, match="version of the method was 9, now 1"):
        _refuse(_cell(data), tmp_path)


@pytest.mark.parametrize(
    "further", [{"begun_from": "other"}, {"extended": [{"before": 1, "steps": 3, "schedule": "again"}]}]
)
def test_a_run_with_another_past_is_refused(data: Path, tmp_path: Path, further: dict[str, object]):
    """Its recipe is the cell's, and its weights are not those of such a training."""
    record = untrained_run(tmp_path / _cell(data).folder, data, "method.name=supervised").folder / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | further))
    with pytest.raises(UserError, match="began with other weights or went on to more steps"):
        _refuse(_cell(data), tmp_path)


def test_test_cases_are_not_read_again_for_another_checkpoint(data: Path, tmp_path: Path):
    _finish(_cell(data), tmp_path, data)
    with pytest.raises(UserError, match="predicted with its last checkpoint, and are read once"):
        _refuse(_cell(data), tmp_path, "best")


def test_masks_that_were_not_scored_yet_are_of_one_checkpoint_too(data: Path, tmp_path: Path):
    folder = _finish(_cell(data), tmp_path, data)
    (folder / "test" / "summary.json").unlink()
    with pytest.raises(UserError, match="predicted with its last checkpoint, and are read once"):
        _refuse(_cell(data), tmp_path, "best")


def test_a_cell_of_other_data_is_refused(data: Path, tmp_path: Path):
    _finish(_cell(data), tmp_path, data)
    other = write_dataset(tmp_path / "other", seed=1)
    with pytest.raises(
        UserError, match=r"other settings, data or code: data\.fingerprint was '\w+', now '\w+'\. Repeat"
    ):
        _refuse(_cell(other), tmp_path)


def test_a_cell_that_learned_from_other_labels_is_refused(data: Path, tmp_path: Path):
    """The list was changed since; no image or label was."""
    _finish(_cell(data), tmp_path, data)
    (data / "splits" / "train_1_label.txt").write_text("case_002\n")
    with pytest.raises(UserError, match=r"labelled cases was \['case_001'\], now \['case_002'\]\. Repeat"):
        _refuse(_cell(data), tmp_path)


def test_remarks_of_a_recipe_are_no_settings(data: Path, tmp_path: Path):
    cell = _cell(data)
    _finish(cell, tmp_path, data)
    _refuse(replace(cell, recipe=cell.recipe.model_copy(update={"about": "said better", "departures": ()})), tmp_path)


def test_a_finished_cell_has_all_its_files(data: Path, tmp_path: Path):
    folder = _finish(_cell(data), tmp_path, data)
    (folder / "test" / "cases.csv").unlink()  # written after the summary
    assert not is_finished(folder)


def test_scores_of_other_cases_or_steps_are_no_result(data: Path, tmp_path: Path):
    cell = _cell(data)
    folder = _finish(cell, tmp_path, data)
    assert result_of(cell, tmp_path).patients == {"case_005": "case_005"}
    with pytest.raises(UserError, match="does not hold the scores of all test cases after 5 steps"):
        result_of(_cell(data, changes=("train.steps=5",)), tmp_path)
    summary = folder / "test" / "summary.json"
    summary.write_text(summary.read_text().replace('"case_005"', '"case_006"'))
    with pytest.raises(UserError, match="cases that are no test cases of its dataset: case_006"):
        result_of(cell, tmp_path)


def test_scores_of_masks_changed_by_hand_are_no_result(data: Path, tmp_path: Path):
    cell = _cell(data)
    test = _finish(cell, tmp_path, data) / "test"
    (test / "case_005.nii.gz").write_bytes((data / "labelsTs" / "case_005.nii.gz").read_bytes())
    evaluate(test, data / "labelsTs", test)
    with pytest.raises(UserError, match=r"not as predict wrote them: case_005\. Remove that folder"):
        result_of(cell, tmp_path)


def test_a_run_killed_before_its_first_checkpoint_is_resumed(data: Path, tmp_path: Path):
    cell, processes = _cell(data), Recorded()
    untrained_run(tmp_path / "out" / cell.folder, data)
    (tmp_path / "out" / cell.folder / "checkpoints" / "last.safetensors").unlink()
    _run(cell, tmp_path / "out", processes)
    assert processes.seen[0][-1] == "--resume"
