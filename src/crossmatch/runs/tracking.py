"""A run in MLflow, beside its own log: settings, scalars and the report. By default in a folder beside the run.

RUN/mlflow.json names the run of MLflow, so that a resumed run goes on with it. No network is used unless the
environment variable MLFLOW_TRACKING_URI names a server; MLflow's reports about its own use are switched off.
"""

import math
import os
import re
import time
import warnings
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch.atomic import read_json, write_json
from crossmatch.errors import UserError
from crossmatch.runs.differences import flat
from crossmatch.runs.run import Run

RECORD, FOLDER, EXPERIMENT = "mlflow.json", "mlruns", "crossmatch"
_LONGEST = 6000  # characters of a setting that MLflow keeps
_UNFIT = re.compile(r"[^\w\-./ ]")  # in names of scalars


class Tracked(TypedDict):
    """Where a run is tracked."""

    run_id: str  # in MLflow
    uri: str | None  # of a server or another place; None: the folder beside the run


def is_tracked(folder: Path) -> bool:
    """Whether a run goes to MLflow."""
    return (folder / RECORD).is_file()


def check_tracking(folder: Path, wanted: bool) -> None:
    """Raise UserError where a run is or shall be tracked, and MLflow is not installed: told before hours of work."""
    if wanted or is_tracked(folder):
        _client(None, folder)


def begin_tracking(run: Run) -> None:
    """Make a run of MLflow with the settings, unless this one has its own.

    Raises:
        UserError: MLflow is not installed, or its place cannot be used.
    """
    if is_tracked(run.folder):
        return
    uri, client = os.environ.get("MLFLOW_TRACKING_URI"), None
    try:
        client = _client(uri, run.folder)
        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT)
        record, method = run.record, run.recipe.method.name
        tags = {
            "dataset": run.data["name"], "fingerprint": run.data["fingerprint"], "method": method,
            "device": record["device"]["name"], "commit": str(record["code"]["commit"]),
        }  # fmt: skip
        made = client.create_run(experiment, run_name=run.folder.resolve().name, tags=tags).info.run_id
        for key, value in flat(run.recipe.settings()).items():
            client.log_param(made, key, str(value)[:_LONGEST])
    except UserError:
        raise
    except Exception as error:  # of the network, the disk or MLflow's own
        raise UserError(f"MLflow cannot be used at {uri or 'its folder'} ({error}): leave out --track.") from error
    write_json(run.folder / RECORD, Tracked(run_id=made, uri=uri))


class Tracker:
    """Sends the scalars of a run to MLflow. A failure is said once and stops nothing: the run's own log has them."""

    def __init__(self, folder: Path) -> None:
        self._client, self._id = _opened(folder)
        self._last: dict[str, int] = {}  # by scalar: the last step that MLflow knows, as after a resume
        self._failed = False
        self._try(lambda: self._client.update_run(self._id, status="RUNNING"))

    def write(self, step: int, group: str, values: dict[str, float]) -> None:
        """Add the scalars of a step that are defined and not known yet."""
        self._try(lambda: self._send(step, {f"{group}/{key}": value for key, value in values.items()}))

    def close(self) -> None:
        """Say that the training has ended; a resumed one goes on."""
        self._try(lambda: self._client.set_terminated(self._id))

    def _send(self, step: int, values: dict[str, float]) -> None:
        from mlflow.entities import Metric

        metrics, now = [], int(1000 * time.time())
        for name, value in ((_UNFIT.sub("_", name), value) for name, value in values.items()):
            if name not in self._last:
                self._last[name] = max((m.step for m in self._client.get_metric_history(self._id, name)), default=0)
            if step > self._last[name] and not math.isnan(value):
                metrics.append(Metric(name, value, now, step))
                self._last[name] = step
        if metrics:
            self._client.log_batch(self._id, metrics=metrics)

    def _try(self, work: Any) -> None:
        if self._failed:
            return
        try:
            work()
        except Exception as error:  # of the network, the disk or MLflow's own
            self._failed = True
            warnings.warn(f"MLflow gets no more scalars of this run ({error}); its own log goes on", stacklevel=3)


def log_report(folder: Path, page: Path) -> None:
    """Put the report of a tracked run beside its scalars; a failure is only said."""
    try:
        client, made = _opened(folder)
        client.log_artifact(made, str(page))
    except Exception as error:
        warnings.warn(f"MLflow did not take the report ({error})", stacklevel=2)


def _opened(folder: Path) -> tuple[Any, str]:
    """A client, and the id of a tracked run."""
    record = read_json(folder / RECORD, Tracked, "remove it, and the run is tracked no more")
    return _client(record["uri"], folder), record["run_id"]


def _client(uri: str | None, folder: Path) -> Any:
    """MLflow's client for a place; None: the folder beside the run's."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # it prefers databases, which its slim package lacks
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise UserError(
            "Tracking by MLflow needs a package: pip install 'crossmatch[mlflow]'. Without it, leave out --track; of "
            f"a run that is tracked, remove {RECORD}."
        ) from None
    return MlflowClient(tracking_uri=uri or (folder.resolve().parent / FOLDER).as_uri())
