"""Who runs cells when: lanes and devices, teachers first, failures told, a stop that reaches everything."""

import functools
import os
import threading
import time
from pathlib import Path

import pytest

import crossmatch
from crossmatch.benchmark.cells import Cell, plan_cells
from crossmatch.benchmark.jobs import run_here, run_on_cluster, waves
from crossmatch.benchmark.run_cell import CellFailed, Processes
from crossmatch.errors import UserError


def _cells(methods: tuple[str, ...] = ("supervised", "crossmatch"), seeds: int = 3) -> list[Cell]:
    return plan_cells("phantom", "data", methods=methods, labelled=["2"], seeds=range(seeds))


class Told:
    """What was said of each cell."""

    def __init__(self) -> None:
        self.said: dict[str, tuple[str, str] | None] = {}

    def __call__(self, cell: Cell, failure: CellFailed | None) -> None:
        self.said[str(cell)] = None if failure is None else (failure.reason, failure.words)


def test_cells_with_a_teacher_come_last():
    cells = _cells(("distillation", "supervised"), seeds=2)
    first, second = waves(cells)
    assert [cell.method for cell in first] == ["supervised", "supervised"]
    assert [cell.method for cell in second] == ["distillation", "distillation"]
    assert waves([]) == []
    assert len(waves(_cells())) == 1


def test_lanes_share_out_the_devices_and_are_never_more_than_asked_for():
    lock, running, most, used = threading.Lock(), 0, 0, []

    def work(cell: Cell, *, device: str, processes: object) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            used.append(device)
        time.sleep(0.02)
        with lock:
            running -= 1

    told = Told()
    run_here(_cells(), work, told, jobs=3, devices=["cuda:0", "cuda:1", "cuda:2"], processes=Processes())
    assert most == 3
    assert set(used) == {"cuda:0", "cuda:1", "cuda:2"}
    assert len(told.said) == 6
    assert set(told.said.values()) == {None}


def test_a_failed_cell_is_told_and_the_rest_goes_on():
    def work(cell: Cell, **_: object) -> None:
        if cell.method == "supervised":
            raise CellFailed("out of luck", "at all") if cell.seed else ValueError("a defect")

    told = Told()
    run_here(_cells(), work, told, jobs=1, devices=["cpu"], processes=Processes())
    assert told.said["supervised, 2 labels, seed 0"] == ("ValueError", "a defect")
    assert told.said["supervised, 2 labels, seed 1"] == ("out of luck", "at all")
    assert [told.said[f"crossmatch, 2 labels, seed {seed}"] for seed in range(3)] == [None] * 3


def test_after_a_stop_nothing_new_starts():
    begun = []

    def work(cell: Cell, **_: object) -> None:
        begun.append(cell)
        time.sleep(0.02)
        if len(begun) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_here(_cells(seeds=20), work, Told(), jobs=1, devices=["cpu"], processes=Processes())
    assert len(begun) < 10


class Closed(Told):
    """Somebody who no longer listens."""

    def __call__(self, cell: Cell, failure: CellFailed | None) -> None:
        raise BrokenPipeError


def test_an_error_in_telling_stops_the_rest_too():
    begun, processes = [], Processes()

    def work(cell: Cell, **_: object) -> None:
        begun.append(cell)
        time.sleep(0.02)

    with pytest.raises(BrokenPipeError):
        run_here(_cells(seeds=20), work, Closed(), jobs=1, devices=["cpu"], processes=processes)
    assert len(begun) < 10
    assert processes.stopped


def test_no_cluster_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"submitit could not start the jobs .*a machine of the cluster"):
        run_on_cluster(_cells(), _write, Told(), 1, tmp_path, {}, cluster="slurm")


@pytest.fixture
def _found_by_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of submitit find the functions of this file, and the package that is tested."""
    for folder in (Path(crossmatch.__file__).parents[1], Path(__file__).parent):
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


def _sleep(cell: Cell, folder: str) -> None:
    Path(folder, "begun").touch()
    time.sleep(60)
    Path(folder, "ended").touch()


@pytest.mark.usefixtures("_found_by_jobs")
def test_jobs_are_cancelled_when_the_wait_for_them_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    submitit = pytest.importorskip("submitit")
    jobs = []

    def interrupted(job: object) -> None:
        jobs.append(job)
        raise KeyboardInterrupt

    monkeypatch.setattr(submitit.local.local.LocalJob, "result", interrupted)
    work = functools.partial(_sleep, folder=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        run_on_cluster(_cells(("supervised",), seeds=1), work, Told(), 1, tmp_path / "jobs", {}, cluster="local")
    (job,) = jobs
    deadline = time.monotonic() + 30
    while not job.done() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert job.done()
    assert not (tmp_path / "ended").exists()


def _write(cell: Cell, folder: str) -> None:
    """Work of a cell in another process: leaves a file, or fails."""
    if cell.seed == 1:
        raise CellFailed("out of luck")
    Path(folder, f"{cell.method}{cell.seed}").write_text(str(cell.recipe.seed))


@pytest.mark.usefixtures("_found_by_jobs")
def test_a_job_array_through_submitit(tmp_path: Path):
    pytest.importorskip("submitit")
    told = Told()
    work = functools.partial(_write, folder=str(tmp_path))
    run_on_cluster(
        _cells(("supervised",), seeds=2), work, told, 2, tmp_path / "jobs", {"timeout_min": 1}, cluster="local"
    )
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["supervised0"]
    assert told.said["supervised, 2 labels, seed 0"] is None
    assert "out of luck" in str(told.said["supervised, 2 labels, seed 1"])


def test_options_that_submitit_does_not_know(tmp_path: Path):
    pytest.importorskip("submitit")
    with pytest.raises(UserError, match=r"submitit could not start the jobs .*moon"):
        run_on_cluster(_cells(), _write, Told(), 1, tmp_path, {"moon": 1}, cluster="local")
