"""`crossmatch benchmark`: run the planned cells that are missing, and write the results of all."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from crossmatch.benchmark.cells import CELLS, Cell
from crossmatch.benchmark.columns import duration
from crossmatch.benchmark.folds import pooled
from crossmatch.benchmark.jobs import run_here, run_on_cluster
from crossmatch.benchmark.known import match, read_known
from crossmatch.benchmark.prepare import fingerprints, idle
from crossmatch.benchmark.report import write_record, write_results
from crossmatch.benchmark.results import Result
from crossmatch.benchmark.run_cell import CellFailed, Processes, is_finished, refuse_another, result_of, run_cell
from crossmatch.errors import UserError
from crossmatch.runs.devices import choose_device
from crossmatch.runs.lock import only_writer
from crossmatch.system.process import cores


def run_benchmark(
    recipe: str,
    cells: Sequence[Cell],
    out: Path,
    console: Console,
    *,
    jobs: int = 1,
    device: str = "auto",
    checkpoint: str = "last",
    slurm: dict[str, Any] | None = None,
    known: Sequence[Path] = (),
    about: dict[str, Any],
) -> bool:
    """Run the cells that are neither finished nor known, and write the results of all that are.

    results.json is written after each cell, the rest at the end.

    Args:
        recipe: as on the command line.
        cells: see `plan_cells`.
        out: the benchmark's folder.
        console: where progress and the table are shown.
        jobs: how many cells run at a time.
        device: as for `crossmatch train`; ``auto`` and ``cuda`` distribute the cells over all CUDA devices.
        checkpoint: the checkpoint that is tested: ``last``, or ``best`` by validation.
        slurm: options of a SLURM job array; None: run on this machine.
        known: files with cells that were measured elsewhere, see `match`.
        about: what the results say of the command, see `write_results`.

    Returns:
        Whether every cell is finished.

    Raises:
        UserError: a mistake that concerns every cell, before the first one runs.
        KeyboardInterrupt: Ctrl-C; results so far are written, and the same command goes on from there.
    """
    candidates = read_known(known)
    with only_writer(out) as lock:
        if slurm is None:
            choose_device(device)
        digests = fingerprints(cells, checkpoint, console)
        unfit = idle(cells)
        cells = [cell for cell in cells if cell not in unfit]
        if not cells:
            raise UserError("Every training case is labelled, and these methods need unlabelled ones: see --labelled.")
        elsewhere = match(cells, candidates, checkpoint, digests)
        mine = [cell for cell in cells if cell.folder not in elsewhere.results]
        for cell in mine:
            refuse_another(cell, out, checkpoint, digests[cell.data])
        wanting = [cell for cell in mine if not is_finished(out / cell.folder)]
        counted = len(cells) - len(wanting)
        taken = f", {len(elsewhere.results)} known" if known else ""
        console.print(f"{len(cells)} cells, {len(mine) - len(wanting)} of them finished{taken}; {jobs} at a time")
        for remark in elsewhere.remarks:
            console.print(remark, soft_wrap=True, markup=False, highlight=False)
        failures: dict[Path, str] = {}

        def so_far() -> tuple[list[Result], list[str]]:
            """Results of the cells that are finished or known, and a line for each other one."""
            there = [cell for cell in cells if cell.folder in elsewhere.results or is_finished(out / cell.folder)]
            missing = [f"{c}: {failures.get(c.folder, 'not finished')}" for c in cells if c not in there]
            results = [elsewhere.results.get(cell.folder) or result_of(cell, out) for cell in there]
            if cells[0].fold is None:
                return results, missing
            results, waiting = pooled(there, results, cells)
            return results, [*missing, *waiting]

        def done(cell: Cell, failure: CellFailed | None) -> None:
            nonlocal counted
            counted += 1
            if failure is not None:
                failures[cell.folder] = failure.reason
                text = f"failed: {failure.reason}. {failure.words}"
            else:
                found = result_of(cell, out)
                dice = found.evaluation.statistics()["dice"].mean
                text = f"Dice {100 * dice:.1f}, {duration(found.seconds)}"
            console.print(f"{counted}/{len(cells)}  {cell}: {text}", soft_wrap=True, markup=False, highlight=False)
            results, missing = so_far()
            if results:
                write_record(out, results, missing, about)

        whole = str(Path(recipe).resolve()) if recipe.endswith(".toml") else recipe  # cells run in another folder
        work = functools.partial(run_cell, recipe=whole, out=out.resolve(), checkpoint=checkpoint)
        stopped: KeyboardInterrupt | None = None
        try:
            if slurm is not None:
                run_on_cluster(wanting, functools.partial(work, device=device), done, jobs, out / "slurm", slurm)
            else:
                threads = None if "OMP_NUM_THREADS" in os.environ else max(1, cores() // jobs)
                work = functools.partial(work, threads=threads)
                run_here(wanting, work, done, jobs, _devices(device), Processes(lock))
        except KeyboardInterrupt as stop:
            stopped = stop
        results, missing = so_far()
        if results:
            left_out = [f"{c}: needs unlabelled cases, and every one is labelled" for c in unfit]
            write_results(out, results, [*missing, *left_out, *elsewhere.remarks, *_others(cells, out)], console, about)
        if stopped is not None:
            raise stopped
        return not missing


def _others(cells: Sequence[Cell], out: Path) -> list[str]:
    """A remark if the folder holds finished cells that the command did not name."""
    known = {out / cell.folder for cell in cells}
    runs = {path.parent for path in (out / CELLS).rglob("run.json")}
    count = sum(is_finished(run) for run in runs - known)
    return [f"{count} finished cells in this folder that this command did not name are left out"] if count else []


def _devices(device: str) -> list[str]:
    count = torch.cuda.device_count()
    return [f"cuda:{n}" for n in range(count)] if device in ("auto", "cuda") and count > 1 else [device]
