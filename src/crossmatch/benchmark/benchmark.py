"""`crossmatch benchmark`: plan the cells, run what is missing, put the results beside one another."""

import fcntl
import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from crossmatch.benchmark.cells import Cell
from crossmatch.benchmark.launch import run_here, run_on_cluster
from crossmatch.benchmark.report import write_results
from crossmatch.benchmark.run_cell import is_finished, refuse_other_settings, result_of, run_cell
from crossmatch.data.check import load_fingerprint
from crossmatch.data.dataset import open_dataset
from crossmatch.data.phantom import make_phantom
from crossmatch.demo import PHANTOMS
from crossmatch.errors import UserError
from crossmatch.scores import listed


def data_of(recipe: str, data: str | None, out: Path) -> str:
    """Where cells find their dataset: as given, or for a phantom's recipe a phantom for each seed.

    Raises:
        UserError: no dataset is named, and the recipe is not a phantom's.
    """
    if data is None and recipe not in PHANTOMS:
        raise UserError(f"Name the dataset for the recipe {recipe} with --data.")
    return str(out / "data" / "seed{seed}") if data is None else data


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
    about: dict[str, Any] | None = None,
) -> bool:
    """Run the cells that are not finished, and write the results of all that are.

    Args:
        recipe: as on the command line; cells: see `plan_cells`; out: the benchmark's folder.
        jobs: cells at a time.
        device: as `crossmatch train` takes it; ``auto`` and ``cuda`` share out all CUDA devices.
        checkpoint: whose test masks count: ``last``, or ``best`` by validation.
        slurm: options of a SLURM job array; None: run here.
        about: what the results' JSON says of the command.

    Returns:
        Whether every cell is finished.

    Raises:
        UserError: what would fail for every cell, before the first one runs.
        KeyboardInterrupt: Ctrl-C; results so far are written, the same command goes on.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _only_one(out) as lock:
        _prepare(recipe, cells, out, console)
        for cell in cells:
            refuse_other_settings(cell, out, checkpoint)
        wanting = [cell for cell in cells if not is_finished(out / cell.folder)]
        console.print(f"{len(cells)} cells, {len(cells) - len(wanting)} of them finished; {jobs} at a time")
        failures: dict[Path, str] = {}
        counted = len(cells) - len(wanting)

        def done(cell: Cell, failure: str | None) -> None:
            nonlocal counted
            counted += 1
            if failure is not None:
                failures[cell.folder] = failure
                console.print(f"[red]Failed:[/] {cell}: ", end="")
                console.print(failure, soft_wrap=True, markup=False)
                return
            found = result_of(cell, out)
            dice = found.evaluation.statistics()["dice"].mean
            console.print(f"{counted}/{len(cells)}  {cell}: Dice {100 * dice:.1f}, {found.seconds / 60:.1f} min")

        work = functools.partial(_work, recipe=_whole(recipe), out=out.resolve(), checkpoint=checkpoint)
        try:
            if slurm is not None:
                run_on_cluster(wanting, functools.partial(work, device=device), done, jobs, out / "slurm", slurm)
            else:
                threads = int(os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // jobs))
                run_here(wanting, functools.partial(work, threads=threads), done, jobs, _devices(device), lock)
        finally:
            missing = [
                f"{cell}: {failures.get(cell.folder, 'not finished')}"
                for cell in cells
                if not is_finished(out / cell.folder)
            ]
            results = [result_of(cell, out) for cell in cells if is_finished(out / cell.folder)]
            if results:
                write_results(out, results, missing, console, {"recipe": recipe, **(about or {})})
    return not missing


def _work(cell: Cell, **arguments: Any) -> None:
    run_cell(arguments.pop("recipe"), cell, arguments.pop("out"), **arguments)


def _prepare(recipe: str, cells: Sequence[Cell], out: Path, console: Console) -> None:
    """Datasets drawn where they are ours, scanned once, and their test cases where a cell will look for them."""
    for cell in cells:
        if not cell.data.exists() and cell.data.parent == out / "data":
            console.print(f"Drawing a phantom: {cell.data}", soft_wrap=True)
            make_phantom(cell.data, PHANTOMS[recipe], seed=cell.seed)
    for root in sorted({cell.data for cell in cells}):
        test = open_dataset(root, splits=["test"])
        astray = [case.id for case in test.cases if case.images[0].parent.name != "imagesTs" or case.label is None]
        if astray or not test.cases:
            raise UserError(
                f"A benchmark reads test cases from {root}/imagesTs and their labels from labelsTs"
                + (f"; not there: {listed(astray)}." if astray else ", and there are none.")
            )
        for labelled in {cell.labelled for cell in cells if cell.data == root}:
            open_dataset(root, splits=["train"]).labelled(labelled)
        console.print(f"Checking {root}", soft_wrap=True, highlight=False)
        load_fingerprint(root)  # looks at every voxel where that was not done yet; trainings may not open test cases


def _whole(recipe: str) -> str:
    """A recipe's file by its full name: cells run in another folder."""
    return str(Path(recipe).resolve()) if recipe.endswith(".toml") else recipe


def _devices(device: str) -> list[str]:
    count = torch.cuda.device_count()
    return [f"cuda:{n}" for n in range(count)] if device in ("auto", "cuda") and count > 1 else [device]


@contextmanager
def _only_one(out: Path) -> Iterator[int]:
    """Keep a second benchmark out of the folder. Gives a file descriptor: the lock lasts while any process has it."""
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"Another benchmark is running in {out}: wait for it, or choose another --out.") from None
        yield file.fileno()
