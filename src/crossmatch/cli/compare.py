"""Commands about methods: list them, and compare them in a benchmark."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossmatch.cli.ending import STOPPED
from crossmatch.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from crossmatch.benchmark.cells import Cell


def methods() -> None:
    """List the methods, with the paper each comes from."""
    from rich.table import Table

    from crossmatch.methods import METHODS
    from crossmatch.runs.display import Terminal

    table = Table("method", "what it does", "paper")
    for name, method in METHODS.items():
        table.add_row(name, method.about, method.paper)
    Terminal().print(table)


def benchmark(
    recipe: Annotated[str, typer.Argument(help="a recipe's name (see `crossmatch recipes`) or a .toml file")],
    methods: Annotated[str, typer.Option(help="names, separated by commas; see `crossmatch methods`")],
    out: Annotated[Path, typer.Option(help="the benchmark's folder; the same command again continues it")],
    data: Annotated[
        str | None,
        typer.Option(help="a dataset's folder; {seed} stands for the seed. Phantom recipes make their own without it"),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, help="without a test set: number of folds of a cross-validation over labelled cases, by patient"
        ),
    ] = None,
    labelled: Annotated[
        str | None, typer.Option(help="numbers of labels, separated by commas; default: the recipe's")
    ] = None,
    seeds: Annotated[str, typer.Option(help="seeds, separated by commas")] = "0,1,2",
    grid: Annotated[
        list[str] | None, typer.Option("--grid", help="section.key=v1,v2: adds cells for each value; may be repeated")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="change a setting of every cell: section.key=value")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="number of cells that run at a time")] = 1,
    checkpoint: Annotated[str, typer.Option(help="the checkpoint to test: last, or best by validation")] = "last",
    known: Annotated[
        list[Path] | None,
        typer.Option(
            "--known",
            help="results.json of another benchmark, whose equal cells are taken and not run; may be repeated",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto or cuda: distributes cells over all GPUs; or cpu, cuda:1")] = "auto",
    launcher: Annotated[str, typer.Option(help="local, or slurm: a job array through submitit")] = "local",
    slurm: Annotated[
        list[str] | None, typer.Option("--slurm", help="an option of the job array: timeout_min=60, gpus_per_node=1")
    ] = None,
) -> None:
    """Compare methods: a run for every method, number of labels and seed. Each run reads the test cases once."""
    from crossmatch.benchmark.benchmark import run_benchmark
    from crossmatch.benchmark.cells import parse_grid, plan_cells
    from crossmatch.recipes.load import load_recipe, parse_change
    from crossmatch.runs.display import Terminal

    _refuse_others("--launcher", launcher, ("local", "slurm"))
    _refuse_others("--checkpoint", checkpoint, ("last", "best"))
    if slurm and launcher != "slurm":
        raise UserError("--slurm sets options of a job array: add --launcher slurm.")
    console, changes = Terminal(), set_ or []
    base = load_recipe(recipe, changes)
    numbers = [base.data.labelled] if labelled is None else _names(labelled)
    place = _dataset(recipe, data, out) if folds is None else _folds(data, folds, numbers, out, known or [])
    cells = plan_cells(
        recipe,
        place,
        methods=_names(methods),
        labelled=numbers,
        seeds=[_seed(text) for text in _names(seeds)],
        grid=[parse_grid(text) for text in grid or []],
        changes=changes,
        folds=folds,
    )
    if data is None:
        _draw_phantoms(recipe, cells, console)
    options = {keys[0]: value for keys, value in map(parse_change, slurm or [])}
    choice: dict[str, object] = {
        "methods": methods,
        "labelled": labelled,
        "seeds": seeds,
        "grid": grid or [],
        "set": changes,
    }
    if folds is not None:
        choice["folds"] = folds
    try:
        complete = run_benchmark(
            recipe,
            cells,
            out,
            console,
            jobs=jobs,
            device=device,
            checkpoint=checkpoint,
            slurm=options if launcher == "slurm" else None,
            known=known or [],
            about={
                "recipe": Path(recipe).stem,
                "recipe_settings": base.settings(),
                "recipe_remarks": list(base.departures),
                "choice": {**choice, "checkpoint": checkpoint, "jobs": jobs},
            },
        )
    except KeyboardInterrupt:
        console.print("Stopped; the same command continues from here.")
        sys.exit(STOPPED)
    if not complete:
        console.print("Some cells are missing, see above; the same command tries them again.")
        sys.exit(1)


def _dataset(recipe: str, data: str | None, out: Path) -> str:
    """The dataset that is named; for a phantom's recipe without one, a phantom for each seed."""
    from crossmatch.phantom.phantom import PHANTOMS

    if data is None and recipe not in PHANTOMS:
        raise UserError(f"Name the dataset for the recipe {recipe} with --data.")
    return str(out / "data" / "seed{seed}") if data is None else data


def _folds(data: str | None, count: int, labelled: list[str], out: Path, known: list[Path]) -> str:
    """The datasets of a cross-validation, with ``{fold}`` for the number."""
    from crossmatch.benchmark.folds import make_folds

    if data is None or "{seed}" in data:
        raise UserError("--folds divides one dataset without test cases: name its folder with --data.")
    if known:
        raise UserError("--known takes whole cells and --folds makes parts of them: leave out one of the two.")
    return make_folds(Path(data), count, labelled, out / "data")


def _draw_phantoms(recipe: str, cells: Sequence["Cell"], console: "Console") -> None:
    """Make the phantoms of the cells that do not exist yet."""
    from crossmatch.phantom.phantom import PHANTOMS, make_phantom

    for cell in cells:
        if not cell.data.exists():
            console.print(f"Drawing a phantom: {cell.data}", soft_wrap=True, highlight=False)
            make_phantom(cell.data, PHANTOMS[recipe], seed=cell.seed)


def _refuse_others(option: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise UserError(f"{option} is {' or '.join(allowed)}; got {given!r}.")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--seeds takes whole numbers from 0, with commas; got {text!r}.")
    return int(text)
