"""One cell from nothing to its scores, in processes of its own: train, predict the test cases once, evaluate.

The commands are the ordinary ones. They run inside the benchmark's folder and name the run relative to it, so that
the folder can be moved. What they say goes to log.txt in the cell's folder.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from crossmatch.benchmark.cells import Cell
from crossmatch.benchmark.results import Result
from crossmatch.data.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.run import open_run
from crossmatch.scores import load_evaluation

TEST = "test"  # folder of a run: masks of the test cases and their evaluation


class CellFailed(Exception):
    """A command of a cell ended with an error; the text says which, and its last words."""


class Processes:
    """The running children, so that one stop reaches all of them; after it, no further one starts.

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
                    [sys.executable, "-m", "crossmatch", *words],
                    stdout=file,
                    stderr=file,
                    cwd=cwd,
                    env={**os.environ, **environment},
                    pass_fds=self._inherited,
                    start_new_session=True,  # Ctrl-C comes from us, once: a second one would not wait for the step
                )
                self._running.add(child)
        code = child.wait()
        with self._lock:
            self._running.discard(child)
        return code

    def stop(self) -> None:
        """Ask every child to keep what it has done and end."""
        with self._lock:
            self.stopped = True
            for child in self._running:
                child.terminate()


def commands(recipe: str, cell: Cell, device: str, checkpoint: str, resume: bool) -> list[list[str]]:
    """The command lines of a cell, without the program's name."""
    run, data = str(cell.folder), cell.data.resolve()
    train = ["train", recipe, "--data", str(data), "--out", run, "--device", device]
    train += [word for change in cell.changes for word in ("--set", change)]
    return [
        train + ["--resume"] * resume,
        ["predict", run, str(data / "imagesTs"), f"{run}/{TEST}", "--checkpoint", checkpoint, "--device", device],
        ["evaluate", f"{run}/{TEST}", str(data / "labelsTs")],
    ]


def run_cell(
    recipe: str,
    cell: Cell,
    out: Path,
    *,
    device: str,
    checkpoint: str,
    threads: int | None = None,
    processes: Processes | None = None,
) -> None:
    """Do what a cell still lacks; nothing where it is finished.

    Args:
        recipe: as on the command line; out: the benchmark's folder.
        device, checkpoint: as `crossmatch train` and `crossmatch predict` take them.
        threads: CPU threads a process; None: PyTorch's choice.
        processes: where the children can be stopped.

    Raises:
        CellFailed: a command ended with an error, or was stopped.
    """
    if is_finished(out / cell.folder):
        return
    if cell.teacher is not None and not is_finished(out / cell.teacher):
        raise CellFailed(f"its teacher {cell.teacher} did not finish")
    log = out / cell.folder.parent / f"{cell.folder.name}.log"  # beside the run: its folder must be new or a run's
    resume = (out / cell.folder / "checkpoints" / "last.safetensors").is_file()
    environment = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    processes = processes or Processes()
    for words in commands(recipe, cell, device, checkpoint, resume):
        code = processes.run(words, log, out, environment)
        if code != 0:
            raise CellFailed(f"`crossmatch {words[0]}` ended with code {code}: {_last_words(log)}; all of it: {log}")


def is_finished(folder: Path) -> bool:
    """Whether a run's test cases were evaluated."""
    return (folder / TEST / "summary.json").is_file()


def refuse_other_settings(cell: Cell, out: Path, checkpoint: str) -> None:
    """Raise UserError where the cell's folder holds a run of other settings, or scores of another checkpoint."""
    folder = out / cell.folder
    if not (folder / "run.json").is_file():
        return
    old, new = open_run(folder).recipe.settings(), cell.recipe.settings()
    if old != new:
        changed = [f"{key} was {old[key]}, now {new[key]}" for key in new if old[key] != new[key]]
        raise UserError(
            f"{folder} was made with other settings: {'; '.join(changed)}. Repeat the command it was made with, or "
            "choose another --out."
        )
    if not is_finished(folder):
        return
    used = (load_evaluation(folder / TEST).prediction or {}).get("checkpoint")
    if used != checkpoint:
        raise UserError(
            f"{folder} was evaluated with its {used} checkpoint, and test cases are read once: leave --checkpoint as "
            "it was, or choose another --out."
        )


def result_of(cell: Cell, out: Path) -> Result:
    """What a finished cell found."""
    patients = {case.id: case.patient for case in open_dataset(cell.data, splits=["test"]).cases}
    evaluation = load_evaluation(out / cell.folder / TEST)
    return Result(cell.method, cell.labelled, cell.seed, cell.grid, evaluation, patients)


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
