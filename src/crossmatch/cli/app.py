"""The command line: parse, call, print. Heavy imports stand inside the commands, so that `--help` answers at once."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from crossmatch import __version__
from crossmatch.cli.command import Command, Group
from crossmatch.cli.compare import benchmark, methods
from crossmatch.cli.data import check, importer, phantom
from crossmatch.cli.ending import STOPPED, one_paragraph
from crossmatch.cli.export import export
from crossmatch.cli.looking import rank, show_quality
from crossmatch.cli.pages import report, review
from crossmatch.cli.planning import Device, plan
from crossmatch.cli.train import train
from crossmatch.errors import UserError, quoted

app = typer.Typer(
    help="Semi-supervised medical image segmentation: train from a handful of labelled scans and many unlabelled ones.",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command(cls=Command)(check)
app.command(cls=Command)(plan)
app.command(cls=Command)(train)
app.command(cls=Command)(report)
app.command(cls=Command)(review)
app.command(cls=Command)(phantom)
app.command(cls=Command)(methods)
app.command(cls=Command)(benchmark)
app.command(cls=Command)(rank)
app.command(cls=Command)(export)
app.add_typer(importer, name="import")


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"crossmatch {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="print the version and end", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """What stands before the name of a command."""


def main() -> None:
    """Entry point; see `ending` for exit codes."""
    try:
        with one_paragraph():
            app()
    except KeyboardInterrupt:  # a further signal, just as the first was ending the command
        os._exit(STOPPED)


@app.command(cls=Command)
def predict(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="a run's folder, or several, whose probabilities are averaged")
    ],
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="an image file or a folder of them")],
    out: Annotated[Path, typer.Argument(help="folder for the masks")],
    checkpoint: Annotated[str, typer.Option(help="last, best or a file")] = "last",
    flips: Annotated[bool, typer.Option("--flips", help="average over mirror images")] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="write the probabilities beside the masks")
    ] = False,
    quality: Annotated[
        bool, typer.Option("--quality", help="estimate the Dice of each mask: quality.csv and quality.json beside them")
    ] = False,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="like --quality, and a map of each mask's uncertainty; takes longer")
    ] = False,
    stride: Annotated[
        str | None,
        typer.Option(
            help="stride of sliding windows in voxels, such as 18,18,4, or even: evenly spaced; default: the recipe's"
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="number of slices or windows at a time; fewer need less memory")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="format of the masks: nii.gz, nrrd, mha, png or dicom-seg; default: that of each scan, if possible"
        ),
    ] = None,
    code: Annotated[
        list[str] | None, typer.Option(help="code of a label in a DICOM segmentation: liver=SCT:10200004:Liver")
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        Literal["float32", "bf16", "auto"],
        typer.Option(help="precision of the network; auto: bf16 if the hardware computes in it, which is faster"),
    ] = "float32",
) -> None:
    """Segment scans with a trained run, or with several: RUN INPUT OUT. Masks have the scans' size and geometry."""
    from crossmatch.inference.predict import Options
    from crossmatch.inference.predict import predict as predict_files
    from crossmatch.runs.display import Terminal, progress_bar, say

    console = Terminal()
    with progress_bar(console, "Predicting") as progress:
        masks = predict_files(
            runs,
            source,
            out,
            Options(
                checkpoint,
                device,
                flips,
                probabilities,
                None if stride is None else _stride(stride),
                batch,
                format,
                code or (),
                quality,
                uncertainty,
                precision,
            ),
            progress=progress,
            warn=lambda text: say(console, "Warning:", text),
        )
    console.print(f"{len(masks)} mask{'s' * (len(masks) != 1)} in {out}", soft_wrap=True)
    if quality or uncertainty:
        show_quality(console, out)


@app.command(cls=Command)
def evaluate(
    pred: Annotated[Path, typer.Argument(help="a folder of predicted masks, or one mask")],
    ref: Annotated[Path, typer.Argument(help="the folder of reference masks, or one mask")],
    out: Annotated[Path | None, typer.Option(help="folder for cases.csv and summary.json; default: PRED")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="evaluate even if some predictions are missing")] = False,
    largest_component: Annotated[
        bool,
        typer.Option(
            "--largest-component",
            help="score only the largest component of each predicted class, as many published figures do",
        ),
    ] = False,
) -> None:
    """Compare predictions with references: Dice, Jaccard, HD95, ASD, ASSD for each case and class."""
    from crossmatch.runs.display import Terminal, progress_bar, say
    from crossmatch.scoring.evaluate import evaluate as evaluate_files

    console = Terminal()
    target = out or (pred if pred.is_dir() else pred.parent)
    with progress_bar(console, "Evaluating") as progress:
        result = evaluate_files(
            pred,
            ref,
            target,
            partial=partial,
            largest_component=largest_component,
            progress=progress,
            warn=lambda text: say(console, "Warning:", text),
        )
    console.print(result.table())
    for note in result.notes():
        say(console, "Note:", note)
    console.print(f"Each case: {target / 'cases.csv'}; all numbers: {target / 'summary.json'}", soft_wrap=True)


@app.command(cls=Command)
def pack(
    run: Annotated[Path, typer.Argument(help="a run's folder")],
    out: Annotated[Path, typer.Argument(help="the file, such as model.zip")],
    checkpoint: Annotated[Literal["last", "best"], typer.Option(help="the checkpoint to pack")] = "last",
) -> None:
    """Write a run as one file to pass on: weights, recipe and facts, without data or names of cases and folders."""
    from crossmatch.inference.familiar import doubtful
    from crossmatch.inference.fitted_files import changed_since_fit
    from crossmatch.runs.display import Terminal, say
    from crossmatch.runs.pack import pack as pack_run
    from crossmatch.runs.run import open_run

    console = Terminal()
    if told := doubtful(open_run(run), checkpoint):
        say(console, "Warning:", told)
    made = pack_run(run, out, checkpoint, is_old=changed_since_fit, warn=lambda text: say(console, "Warning:", text))
    size, following = f"{made.stat().st_size / 1e6:.1f} MB", f"crossmatch predict {quoted(made)} IMAGES MASKS"
    console.print(f"{made}, {size}. Next: {following}", soft_wrap=True, highlight=False)


@app.command(cls=Command)
def recipes(
    name: Annotated[str | None, typer.Argument(help="print this recipe as TOML, as a start for your own")] = None,
) -> None:
    """List the recipes that come with the package, or print one."""
    from rich.table import Table

    from crossmatch.cli.listing import listed_recipes
    from crossmatch.runs.display import Terminal

    if name is not None:
        from crossmatch.recipes.load import recipe_text

        print(recipe_text(name), end="")
        return
    table = Table("recipe", "method", "steps", "what it is")
    for recipe in listed_recipes():
        table.add_row(recipe.name, recipe.method, str(recipe.steps), recipe.about)
    Terminal().print(table)


@app.command(cls=Command)
def demo(
    out: Annotated[Path, typer.Argument(help="a new folder for data, runs, table and report")],
    seed: Annotated[int, typer.Option(min=0, help="seed of the phantom and of training")] = 0,
    recipe: Annotated[str, typer.Option(help="phantom: slices of hearts; phantom3d: left atria")] = "phantom",
) -> None:
    """Try everything on a phantom: train supervised and CrossMatch for equal steps, and compare on held-out cases."""
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
