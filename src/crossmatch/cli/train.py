"""The command `train`: a new run, one that goes on, one that begins with the weights of another."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from crossmatch.cli.ending import STOPPED
from crossmatch.cli.planning import Device, Minutes, shown_plan
from crossmatch.errors import UserError, quoted
from crossmatch.training.ranks import Place, find_place, start

if TYPE_CHECKING:
    from rich.console import Console

    from crossmatch.recipes.schema import Recipe


def train(
    out: Annotated[Path, typer.Option(help="the run's folder: a new one, or with --resume an existing run")],
    recipe: Annotated[
        str | None,
        typer.Argument(help="auto, a recipe's name (see `crossmatch recipes`) or a .toml file", show_default=False),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="a dataset's folder, see docs/datasets.md")] = None,
    minutes: Minutes = None,
    seed: Annotated[int | None, typer.Option(help="seed of the run; default: the recipe's")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="change a setting: section.key=value")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue the run in --out")] = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="total number of steps; with --resume, a finished run is continued up to this number"),
    ] = None,
    begin_from: Annotated[
        Path | None, typer.Option("--from", help="begin a new run with the weights of this one")
    ] = None,
    checked: Annotated[
        bool, typer.Option("--checked", help="refuse data that `check` has not read: no test case is opened")
    ] = False,
    device: Device = "auto",
    devices: Annotated[
        int | None, typer.Option(min=1, help="number of devices that share the batch; see docs/parallel.md")
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="compile the step, a minute or more; faster on GPUs, slower on CPUs"),
    ] = False,
    graphs: Annotated[bool, typer.Option("--graphs", help="replay the step as a CUDA graph, on one GPU")] = False,
    track: Annotated[
        Literal["mlflow"] | None,
        typer.Option(help="send settings, scalars and report to MLflow too: into mlruns beside --out"),
    ] = None,
) -> None:
    """Train a network. After Ctrl-C, continue with --resume and --out."""
    from crossmatch.reports import write_report
    from crossmatch.runs.devices import choose_device
    from crossmatch.runs.display import Terminal, TrainingDisplay
    from crossmatch.runs.run import check_new
    from crossmatch.runs.tracking import is_tracked
    from crossmatch.training.fit import fit
    from crossmatch.training.team import check_place
    from crossmatch.training.wanted import AUTO, going_on, new_run

    place = find_place(devices)
    console = Terminal(quiet=place.rank > 0)
    with place.one_message():
        changes = [*(set_ or [])] + ([] if seed is None else [f"seed={seed}"])
        if minutes is not None and (recipe != AUTO or resume):
            raise UserError(f"--minutes is for `crossmatch train {AUTO}`, which chooses the size: leave it out.")
        if resume:
            wanted = going_on(out, recipe, data, changes, steps, begin_from)
        else:
            check_new(out)
            changes += [] if steps is None else [f"train.steps={steps}"]
            wanted = new_run(
                recipe,
                data,
                changes,
                begin_from,
                lambda folder: _planned(console, place, out, folder, changes, minutes, device),
            )
        check_place(wanted.recipe, choose_device(device), place)
    if not place.started:
        sys.exit(start(place.count))
    chosen, last = wanted.recipe, wanted.extend_to or wanted.recipe.train.steps
    what = f"{chosen.dims}D {chosen.network.name}, {chosen.method.name}"
    size = " x ".join(map(str, chosen.data.size))
    form = "patches of" if chosen.data.sampling == "patch" else "images resized to"
    text = f"{wanted.name}: {what}, {form} {size}, {last} steps"
    if chosen.early_steps:
        early = " x ".join(map(str, chosen.data.early_size))
        text += f" (the first {chosen.early_steps}: {early}, about {chosen.growth:.2g} times as fast)"
    console.print(text, soft_wrap=True, highlight=False)
    with TrainingDisplay(console, chosen.method.name, chosen.work) as display:
        for note in wanted.notes:
            display.warn(note)
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
            track=track is not None,
        )
    if place.rank == 0 and is_tracked(out):
        write_report(out)
    if done < last:
        command = f"crossmatch train --resume --out {quoted(out)}"
        console.print(f"Stopped at step {done} of {last}; go on with {command}", soft_wrap=True)
        sys.exit(STOPPED)
    command = f"crossmatch predict {quoted(out)} IMAGES {quoted(out / 'predictions')}"
    console.print(f"Done: {out}. Next: {command}", soft_wrap=True)


def _planned(
    console: "Console", place: Place, out: Path, data: Path, changes: list[str], minutes: float | None, device: str
) -> "Recipe":
    """The recipe of a plan, which is kept in the run's folder."""
    from crossmatch.atomic import write_text
    from crossmatch.runs.run import PLANNED, check_new

    if place.count > 1:
        raise UserError(
            f"`train auto` measures one device: write the recipe with `crossmatch plan {quoted(data)}`, and train it "
            f"on {place.count} devices by its file's name."
        )
    found = shown_plan(console, data, minutes, changes, device)
    check_new(out)  # while a minute was measured, another process may have begun a run there
    write_text(out / PLANNED, found.toml())
    return found.proposal.recipe
