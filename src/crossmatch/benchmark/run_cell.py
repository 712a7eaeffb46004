"""Runs one cell in processes of its own: train, predict the test cases once, evaluate.

The commands are the ordinary ones. They run in the benchmark's folder and name the run relative to it, so that the
folder can be moved. Their output goes to seed<n>.log beside the cell's folder.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from crossmatch.atomic import read_json
from crossmatch.benchmark.cells import Cell
from crossmatch.benchmark.results import Result
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError, listed
from crossmatch.runs.differences import changes
from crossmatch.runs.run import open_run
from crossmatch.scoring.scores import load_evaluation
from crossmatch.scoring.stored import Prediction
from crossmatch.system.process import apart, ask_to_stop

TEST = "test"  # folder of a run: masks of the test cases and their evaluation


class CellFailed(Exception):
    """A command of a cell failed: which one, how, and its last output, which may name paths of this machine."""

    def __init__(self, reason: str, words: str = "") -> None:
        super().__init__(reason, words)
        self.reason, self.words = reason, words


class Processes:
    """The running child processes. `stop` ends all of them, and no further one starts after it.

    Args:
        inherited: file descriptors that children keep open.
    """

    def __init__(self, *inherited: int) -> None:
        self._inherited = inherited
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def run(self, words: list[str], log: Path, cwd: Path, environment: Mapping[str, str]) -> int:
        """Run a command to its end, its output appended to `log`; the exit code."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            file.write(f"$ crossmatch {' '.join(words)}\n".encode())
            file.flush()
            with self._lock:
                if self.stopped:
                    return -signal.SIGTERM
                child = subprocess.Popen(
                    [sys.executable, "-P", "-m", "crossmatch", *words],
                    stdout=file,
                    stderr=file,
                    cwd=cwd,
                    env={**os.environ, **environment},
                    **apart(self._inherited),  # signals come from here: a second Ctrl-C would not wait for the step
                )
                self._running.add(child)
        code = child.wait()
        with self._lock:
            self._running.discard(child)
        return code

    def stop(self) -> None:
        """Ask every child to save what it has done, and to end."""
        with self._lock:
            self.stopped = True
            for child in self._running:
                ask_to_stop(child)


def commands(recipe: str, cell: Cell, device: str, checkpoint: str, resume: bool) -> list[list[str]]:
    """The command lines of a cell, without the program's name."""
    run, data = str(cell.folder), cell.data.resolve()
    train = ["train", recipe, "--data", str(data), "--out", run, "--device", device, "--checked"]
    train += [word for change in cell.changes for word in ("--set", change)]
    return [
        train + ["--resume"] * resume,
        [
            *("predict", run, str(data / "imagesTs"), f"{run}/{TEST}", "--checkpoint", checkpoint, "--device", device),
            *("--precision", cell.recipe.train.precision),  # that of the training, which notes tell
        ],
        ["evaluate", f"{run}/{TEST}", str(data / "labelsTs")],
    ]


def run_cell(
    cell: Cell,
    *,
    recipe: str,
    out: Path,
    checkpoint: str,
    device: str,
    threads: int | None = None,
    processes: Processes | None = None,
) -> None:
    """Run the commands that a cell still needs; nothing if it is finished.

    Args:
        recipe: as on the command line; out: the benchmark's folder.
        checkpoint, device: as `crossmatch predict` and `crossmatch train` take them.
        threads: CPU threads a process; None: PyTorch's choice, or what OMP_NUM_THREADS says.
        processes: through which the child processes can be stopped.

    Raises:
        CellFailed: a command ended with an error, or was stopped.
    """
    if is_finished(out / cell.folder):
        return
    if cell.teacher is not None and not is_finished(out / cell.teacher):
        raise CellFailed(f"its teacher {cell.teacher} did not finish")
    log = cell.folder.with_name(f"{cell.folder.name}.log")  # beside the run: its folder must be new or a run's
    resume = (out / cell.folder / "checkpoints").exists()
    environment = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    processes = processes or Processes()
    for words in commands(recipe, cell, device, checkpoint, resume):
        code = processes.run(words, out / log, out, environment)
        if code != 0:
            how = f"ended with code {code}" if code > 0 else f"was killed (signal {-code}; 9: often memory ran out)"
            raise CellFailed(f"`crossmatch {words[0]}` {how}, see {log}", _last_words(out / log) if code > 0 else "")


def is_finished(folder: Path) -> bool:
    """Whether the evaluation of a run's test cases was written completely."""
    return all((folder / TEST / name).is_file() for name in ("summary.json", "cases.csv"))


def refuse_another(cell: Cell, out: Path, checkpoint: str, fingerprint: str) -> None:
    """Raise UserError if the cell's folder holds a run of other settings, data or code, or masks of another checkpoint.

    So it does if that run was begun with other weights, or extended.
    """
    folder = out / cell.folder
    if not (folder / "run.json").is_file():
        return
    run = open_run(folder)
    version, ours = run.record["code"].get("method_version"), cell.recipe.method_class.version
    theirs = {"data.fingerprint": run.data.get("fingerprint"), "labelled cases": sorted(run.data["labelled"])}
    now = {"data.fingerprint": fingerprint, "labelled cases": cell.labelled_cases()}
    differing = changes(
        {**run.recipe.settings(), **theirs, "version of the method": version},
        {**cell.recipe.settings(), **now, "version of the method": ours},
    )
    if differing:
        raise UserError(
            f"{folder} was made with other settings, data or code: {listed(differing, '; ')}. Repeat the command that "
            "made it, or choose another --out."
        )
    if {"begun_from", "extended"} & run.record.keys():
        raise UserError(
            f"{folder} holds a run that began with other weights or went on to more steps than it was to have, so it "
            "is no cell of a benchmark: choose another --out."
        )
    made = folder / TEST / "prediction.json"
    way_out = "remove its folder, and run the benchmark again"
    used = read_json(made, Prediction, way_out).get("checkpoint") if made.is_file() else checkpoint
    if used != checkpoint:
        raise UserError(
            f"The test cases of {folder} were predicted with its {used} checkpoint, and are read once: leave "
            "--checkpoint as it was, or choose another --out."
        )


def result_of(cell: Cell, out: Path) -> Result:
    """The result of a finished cell.

    Raises:
        UserError: its scores are not those of all test cases, of its last step, or of masks as they were predicted.
    """
    patients = {case.id: case.patient for case in open_dataset(cell.data, splits=["test"]).cases}
    evaluation = load_evaluation(out / cell.folder / TEST)
    result = Result(cell.method, cell.labelled, cell.seed, cell.grid, evaluation, patients)
    if evaluation.edited:
        raise UserError(
            f"{out / cell.folder / TEST} holds scores of masks that are not as predict wrote them: "
            f"{listed(evaluation.edited)}. Remove that folder, and run the benchmark again."
        )
    steps = cell.recipe.train.steps
    if {row.case for row in evaluation.rows} != patients.keys() or (
        (result.checkpoint == "last" and result.step != steps) or evaluation.largest_component
    ):
        raise UserError(
            f"{out / cell.folder / TEST} does not hold the scores of all test cases after {steps} steps: remove that "
            "folder, and run the benchmark again."
        )
    return result


def _last_words(log: Path) -> str:
    """The last error message in a log, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    starts = [n for n, line in enumerate(lines) if line.startswith("Error: ")]
    return " ".join(lines[starts[-1] :] if starts else lines[-1:])
