"""The command line: parse, call, print. Heavy imports stand inside the commands, so that `--help` answers at once."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from crossmatch.cli.compare import benchmark, methods
from crossmatch.cli.data import check, importer, phantom
from crossmatch.cli.ending import STOPPED, one_paragraph
from crossmatch.errors import UserError
from crossmatch.training.ranks import find_place, start

app = typer.Typer(
    help="Semi-supervised medical image segmentation: train from a handful of labelled scans and many unlabelled ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(check)
app.command()(phantom)
app.command()(methods)
app.command()(benchmark)
app.add_typer(importer, name="import")

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1")]


def main() -> None:
    """Entry point; see `ending` for exit codes."""
    with one_paragraph():
        app()


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="a recipe's name (see `crossmatch recipes`) or a .toml file")],
    data: Annotated[Path, typer.Option(help="a dataset's folder, see docs/datasets.md")],
    out: Annotated[Path, typer.Option(help="the run's folder: a new one, or with --resume an existing run")],
    seed: Annotated[int | None, typer.Option(help="instead of the recipe's")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="change a setting: section.key=value")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in --out, same settings")] = False,
    checked: Annotated[
        bool,
        typer.Option("--checked", help="refuse data that `check` has not read: no test case is opened"),
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
    """Train a network. After Ctrl-C the same command with --resume goes on."""
    from crossmatch.recipes.load import load_recipe
    from crossmatch.runs.devices import choose_device
    from crossmatch.runs.display import Terminal, TrainingDisplay
    from crossmatch.training.fit import fit
    from crossmatch.training.team import check_place

    place = find_place(devices)
    with place.one_message():
        changes = [*(set_ or []), f"seed={seed}"] if seed is not None else set_ or []
        chosen = load_recipe(recipe, changes)
        check_place(chosen, choose_device(device), place)
    if not place.started:
        sys.exit(start(place.count))
    console = Terminal(quiet=place.rank > 0)
    what = f"{chosen.dims}D {chosen.network.name}, {chosen.method.name}"
    size = " x ".join(map(str, chosen.data.size))
    form = "patches of" if chosen.data.sampling == "patch" else "images resized to"
    console.print(f"{recipe}: {what}, {form} {size}, {chosen.train.steps} steps", soft_wrap=True, highlight=False)
    with TrainingDisplay(console, chosen.method.name) as display:
        done = fit(
            chosen,
            data,
            out,
            display,
            device=device,
            place=place,
            resume=resume,
            checked=checked,
            compiled=compiled,
            graphs=graphs,
        )
    if done < chosen.train.steps:
        console.print(f"Stopped at step {done} of {chosen.train.steps}; go on by adding --resume.")
        sys.exit(STOPPED)
    console.print(f"Done: {out}. Next: crossmatch predict {out} IMAGES {out}/predictions", soft_wrap=True)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="a run's folder")],
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="an image file or a folder of them")],
    out: Annotated[Path, typer.Argument(help="folder for the masks")],
    checkpoint: Annotated[str, typer.Option(help="last, best or a file")] = "last",
    flips: Annotated[bool, typer.Option("--flips", help="average over mirror images")] = False,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="write them beside the masks")] = False,
    stride: Annotated[
        str | None,
        typer.Option(help="of sliding windows, not the recipe's: 18,18,4, as published, or even: half a patch or less"),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="slices or windows at a time; fewer need less memory")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="of the masks: nii.gz, nrrd or png; default: that of each scan, where it can be")
    ] = None,
    device: Device = "auto",
) -> None:
    """Segment scans with a trained run; masks have the scans' size and geometry."""
    from crossmatch.inference.predict import Options
    from crossmatch.inference.predict import predict as predict_files
    from crossmatch.runs.display import Terminal, progress_bar, say

    console = Terminal()
    with progress_bar(console, "Predicting") as progress:
        masks = predict_files(
            run,
            source,
            out,
            Options(
                checkpoint, device, flips, probabilities, None if stride is None else _stride(stride), batch, format
            ),
            progress=progress,
            warn=lambda text: say(console, "Warning:", text),
        )
    console.print(f"{len(masks)} mask{'s' * (len(masks) != 1)} in {out}", soft_wrap=True)


@app.command()
def evaluate(
    pred: Annotated[Path, typer.Argument(help="a folder of predicted masks, or one mask")],
    ref: Annotated[Path, typer.Argument(help="the folder of reference masks, or one mask")],
    out: Annotated[Path | None, typer.Option(help="folder for cases.csv and summary.json; default: PRED")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="evaluate even if some predictions are missing")] = False,
) -> None:
    """Compare predictions with references: Dice, Jaccard, HD95, ASD, ASSD for each case and class."""
    from crossmatch.runs.display import Terminal, progress_bar, say
    from crossmatch.scoring.evaluate import evaluate as evaluate_files

    console = Terminal()
    target = out or (pred if pred.is_dir() else pred.parent)
    with progress_bar(console, "Evaluating") as progress:
        result = evaluate_files(pred, ref, target, partial=partial, progress=progress)
    console.print(result.table())
    for note in result.notes():
        say(console, "Note:", note)
    console.print(f"Each case: {target / 'cases.csv'}; all numbers: {target / 'summary.json'}", soft_wrap=True)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="a run's folder")],
    out: Annotated[Path | None, typer.Option(help="the page; default: RUN/report.html")] = None,
) -> None:
    """Write one self-contained HTML page: settings, curves, scores, best, median and worst cases."""
    from crossmatch.reports import write_report
    from crossmatch.runs.display import Terminal

    Terminal().print(f"Report: {write_report(run, out=out)}", soft_wrap=True)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="print this one as TOML, to begin your own with")] = None,
) -> None:
    """List the recipes that come with the package, or print one."""
    from rich.table import Table

    from crossmatch.recipes.files import recipe_names
    from crossmatch.recipes.load import load_recipe, recipe_text
    from crossmatch.runs.display import Terminal

    if name is not None:
        print(recipe_text(name), end="")
        return
    table = Table("recipe", "method", "steps", "what it is")
    for name in recipe_names():
        recipe = load_recipe(name)
        table.add_row(name, recipe.method.name, str(recipe.train.steps), recipe.about)
    Terminal().print(table)


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="a new folder for data, runs, table and report")],
    seed: Annotated[int, typer.Option(min=0, help="of the phantom and of training")] = 0,
    recipe: Annotated[str, typer.Option(help="phantom: slices of hearts; phantom3d: left atria")] = "phantom",
) -> None:
    """Try everything on a phantom: train supervised and CrossMatch with equal steps, compare on held-out cases."""
    from crossmatch.cli.demo import run_demo
    from crossmatch.runs.display import Terminal

    run_demo(out, seed, Terminal(), recipe)


def _stride(text: str) -> tuple[int, ...] | Literal["even"]:
    """``18,18,4`` or ``even``, as `predict.predict` takes it."""
    if text == "even":
        return "even"
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UserError(f"--stride takes one whole number an axis, such as 18,18,4, or even; got {text!r}.") from None
