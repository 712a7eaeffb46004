"""The command `train`: a new run, one that goes on, one that begins with the weights of another."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from crossmatch.cli.ending import STOPPED
from crossmatch.cli.planning import Device, Minutes, shown_plan
from crossmatch.errors import UserError, quoted
from crossmatch.training.ranks import Place, find_place, start

if TYPE_CHECKING:
    from rich.console import Console

    from crossmatch.recipes.schema import Recipe

AUTO = "auto"  # in the place of a recipe's name: planned from the data


def train(
    out: Annotated[Path, typer.Option(help="the run's folder: a new one, or with --resume an existing run")],
    recipe: Annotated[
        str | None,
        typer.Argument(help="auto, a recipe's name (see `crossmatch recipes`) or a .toml file", show_default=False),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="a dataset's folder, see docs/datasets.md")] = None,
    minutes: Minutes = None,
    seed: Annotated[int | None, typer.Option(help="instead of the recipe's")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="change a setting: section.key=value")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in --out")] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="in all; with --resume a finished run goes on to so many")
    ] = None,
    begin_from: Annotated[
        Path | None, typer.Option("--from", help="begin a new run with the weights of this one")
    ] = None,
    checked: Annotated[
        bool, typer.Option("--checked", help="refuse data that `check` has not read: no test case is opened")
    ] = False,
    device: Device = "auto",
    devices: Annotated[
        int | None, typer.Option(min=1, help="train on so many devices, which share the batch; see docs/parallel.md")
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="compile the step, a minute or more; faster on GPUs, slower on CPUs"),
    ] = False,
    graphs: Annotated[bool, typer.Option("--graphs", help="replay the step as a CUDA graph, on one GPU")] = False,
) -> None:
    """Train a network. After Ctrl-C, --resume with --out goes on."""
    from crossmatch.runs.devices import choose_device
    from crossmatch.runs.display import Terminal, TrainingDisplay
    from crossmatch.training.fit import fit
    from crossmatch.training.team import check_place

    place = find_place(devices)
    console = Terminal(quiet=place.rank > 0)
    with place.one_message():
        changes = [*(set_ or [])] + ([] if seed is None else [f"seed={seed}"])
        if minutes is not None and (recipe != AUTO or resume):
            raise UserError(f"--minutes is for `crossmatch train {AUTO}`, which chooses the size: leave it out.")
        if resume:
            wanted = _going_on(out, recipe, data, changes, steps, begin_from)
        else:
            changes += [] if steps is None else [f"train.steps={steps}"]
            wanted = _new(console, place, out, recipe, data, changes, minutes, begin_from, device)
        check_place(wanted.recipe, choose_device(device), place)
    if not place.started:
        sys.exit(start(place.count))
    chosen, last = wanted.recipe, wanted.extend_to or wanted.recipe.train.steps
    what = f"{chosen.dims}D {chosen.network.name}, {chosen.method.name}"
    size = " x ".join(map(str, chosen.data.size))
    form = "patches of" if chosen.data.sampling == "patch" else "images resized to"
    console.print(f"{wanted.name}: {what}, {form} {size}, {last} steps", soft_wrap=True, highlight=False)
    with TrainingDisplay(console, chosen.method.name) as display:
        done = fit(
            chosen,
            wanted.data,
            out,
            display,
            device=device,
            place=place,
            resume=resume,
            extend_to=wanted.extend_to,
            begin_from=begin_from,
            checked=checked,
            compiled=compiled or "--compile" in wanted.flags,
            graphs=graphs or "--graphs" in wanted.flags,
        )
    if done < last:
        command = f"crossmatch train --resume --out {quoted(out)}"
        console.print(f"Stopped at step {done} of {last}; go on with {command}", soft_wrap=True)
        sys.exit(STOPPED)
    command = f"crossmatch predict {quoted(out)} IMAGES {quoted(out / 'predictions')}"
    console.print(f"Done: {out}. Next: {command}", soft_wrap=True)


class Wanted(NamedTuple):
    """What is to be trained."""

    name: str  # of the recipe, for the first line
    recipe: "Recipe"
    data: Path
    extend_to: int | None = None  # steps
    flags: tuple[str, ...] = ()  # that the run was started with


def _going_on(
    out: Path,
    recipe: str | None,
    data: Path | None,
    changes: list[str],
    steps: int | None,
    begin_from: Path | None,
) -> Wanted:
    """What a run was started with. Recipe, data and changes that are given are compared with it later."""
    from crossmatch.recipes.load import load_recipe
    from crossmatch.runs.run import open_run

    if begin_from is not None:
        raise UserError("--from begins a new run, and --resume goes on with one: give one of the two.")
    if not out.exists():
        raise UserError(f"There is no run {out} to resume: leave --resume out to start it.")
    run = open_run(out)
    if run.is_packed:
        raise UserError(f"{out} is a packed model: begin a new run with its weights, by --from.")
    place = Path(run.data["root"]) if data is None else data
    if not place.is_dir() and data is None:
        raise UserError(f"The data of the run {out} lay in {place}, and do not any more: say where with --data.")
    given = load_recipe(run.recipe if recipe in (None, AUTO) else str(recipe), changes)
    extend_to = None if steps in (None, run.recipe.train.steps) else steps
    return Wanted(str(out), given, place, extend_to, tuple(run.record["device"].get("flags", [])))


def _new(
    console: "Console",
    place: Place,
    out: Path,
    recipe: str | None,
    data: Path | None,
    changes: list[str],
    minutes: float | None,
    begin_from: Path | None,
    device: str,
) -> Wanted:
    """A recipe by name or planned; with `begin_from` recipe and data of that run where none are given."""
    from crossmatch.recipes.load import load_recipe
    from crossmatch.runs.run import open_run

    other = None if begin_from is None else open_run(begin_from)
    if data is None:
        if other is None or other.is_packed:
            raise UserError("Name the dataset's folder with --data (a run that goes on with --resume knows its own).")
        data = Path(other.data["root"])
    if recipe is None:
        if other is None:
            raise UserError(f"Name a recipe: {AUTO}, one of `crossmatch recipes`, or a .toml file.")
        return Wanted(str(begin_from), load_recipe(other.recipe, changes), data)
    if recipe == AUTO:
        return Wanted(AUTO, _planned(console, place, out, data, changes, minutes, device), data)
    return Wanted(recipe, load_recipe(recipe, changes), data)


def _planned(
    console: "Console", place: Place, out: Path, data: Path, changes: list[str], minutes: float | None, device: str
) -> "Recipe":
    """The recipe of a plan, which is kept in the run's folder."""
    from crossmatch.atomic import write_text
    from crossmatch.runs.run import PLANNED, check_new

    if place.count > 1:
        raise UserError(
            f"`train {AUTO}` measures one device: write the recipe with `crossmatch plan {quoted(data)}`, and train it "
            f"on {place.count} devices by its file's name."
        )
    check_new(out)
    found = shown_plan(console, data, minutes, changes, device)
    write_text(out / PLANNED, found.toml())
    return found.proposal.recipe
