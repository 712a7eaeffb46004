"""A run in MLflow: the same scalars once, also after a resume; nothing over the network; failures stop nothing."""

import json
import math
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from crossmatch.errors import UserError
from crossmatch.recipes.load import load_recipe
from crossmatch.reports import write_report
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.tracking import RECORD, Tracker, begin_tracking, log_report
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet
from untrained import untrained_run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("tracked") / "data", unlabelled=1)


@pytest.fixture(autouse=True)
def _local(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is named, and a connection is an error."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.tracking import MlflowClient

    return MlflowClient


def test_a_resumed_run_goes_on_in_mlflow_with_each_scalar_once(data: Path, tmp_path: Path, mlflow: Any) -> None:
    out, recipe = tmp_path / "run", load_recipe("phantom", TINY)
    assert fit(recipe, data, out, Quiet(interrupt_at=5), device="cpu", track=True) == 5
    first = json.loads((out / RECORD).read_text())
    assert fit(recipe, data, out, Quiet(), device="cpu", resume=True) == 10
    assert json.loads((out / RECORD).read_text()) == first
    write_report(out)
    client = mlflow(tracking_uri=(tmp_path / "mlruns").as_uri())
    (experiment,) = [each for each in client.search_experiments() if each.name == "crossmatch"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id == first["run_id"]
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params["train.steps"] == "10"
    assert found.data.params["network.width"] == "4"
    assert found.data.tags["dataset"] == "tiny"
    ours: dict[str, list[tuple[int, float]]] = {}
    for line in read_metrics(out / "metrics.jsonl"):
        for group in ("train", "validation"):
            for key, value in line.get(group, {}).items():
                if value is not None:
                    ours.setdefault(f"{group}/{key}", []).append((line["step"], value))
    assert {"train/total", "train/learning_rate", "validation/mean"} <= ours.keys()
    assert found.data.metrics.keys() == ours.keys()
    for name, values in ours.items():
        history = client.get_metric_history(first["run_id"], name)
        assert sorted((each.step, each.value) for each in history) == sorted(values)
    assert [each.path for each in client.list_artifacts(first["run_id"])] == ["report.html"]
    assert (out / "tensorboard").is_dir()


def test_names_and_values_that_mlflow_does_not_take(data: Path, tmp_path: Path, mlflow: Any) -> None:
    run = untrained_run(tmp_path / "run", data)
    begin_tracking(run)
    begin_tracking(run)  # once is enough
    tracker = Tracker(run.folder)
    tracker.write(2, "validation", {"left (ventricle)": 0.5, "empty": math.nan})
    tracker.write(2, "validation", {"left (ventricle)": 0.9})  # of a step that is known
    tracker.close()
    client = mlflow(tracking_uri=(tmp_path / "mlruns").as_uri())
    found = client.get_run(json.loads((run.folder / RECORD).read_text())["run_id"])
    assert found.data.metrics == {"validation/left _ventricle_": 0.5}


def test_a_place_that_fails_is_told_once_and_stops_nothing(
    data: Path, tmp_path: Path, mlflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = untrained_run(tmp_path / "run", data)
    begin_tracking(run)
    tracker = Tracker(run.folder)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mlflow, "log_batch", full)
    monkeypatch.setattr(mlflow, "log_artifact", full)
    with pytest.warns(UserWarning, match="MLflow gets no more scalars of this run.*No space left"):
        tracker.write(2, "train", {"total": 0.5})
    tracker.write(4, "train", {"total": 0.5})
    tracker.close()
    with pytest.warns(UserWarning, match="MLflow did not take the report.*No space left"):
        log_report(run.folder, tmp_path / "report.html")


def test_without_the_package_nothing_is_begun(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    told = r"pip install 'crossmatch\[mlflow\]'.*leave out --track"
    with pytest.raises(UserError, match=told):
        fit(load_recipe("phantom", TINY), data, tmp_path / "run", Quiet(), device="cpu", track=True)
    assert not (tmp_path / "run").exists()
    run = untrained_run(tmp_path / "other", data)
    (run.folder / RECORD).write_text('{"run_id": "0", "uri": null}')
    with pytest.raises(UserError, match=told):
        fit(run.recipe, data, run.folder, Quiet(), device="cpu", resume=True)


def test_a_server_that_cannot_be_reached_is_told(
    data: Path, tmp_path: Path, mlflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://host")
    with pytest.raises(UserError, match=r"MLflow cannot be used at nowhere://host.*leave out --track"):
        begin_tracking(untrained_run(tmp_path / "run", data))
    assert not (tmp_path / "run" / RECORD).exists()
