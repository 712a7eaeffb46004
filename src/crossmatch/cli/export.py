"""The command `export`. Heavy imports stand inside, as in `app`."""

from pathlib import Path
from typing import Annotated

import typer

from crossmatch.errors import UserError, quoted


def export(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="the folder of one run, or one packed model")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="a new folder")],
    format: Annotated[
        str, typer.Option(help="onnx (with infer.py), torch (a program of torch.export) or bundle (MONAI)")
    ] = "onnx",
    checkpoint: Annotated[str, typer.Option(help="last, best or a file")] = "last",
    licence: Annotated[
        str, typer.Option(help="licence of the weights, for the model card: an SPDX name such as CC-BY-4.0")
    ] = "not stated",
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="a summary.json outside of RUN whose scores the model card shows; may be repeated"),
    ] = None,
) -> None:
    """Export a run's network with its pre- and postprocessing, for use without crossmatch."""
    from crossmatch.export.export_run import export_run
    from crossmatch.runs.display import Terminal, say
    from crossmatch.runs.zipped import is_packed

    if len(runs) > 1 or (out / "run.json").is_file():
        names = " ".join(map(quoted, runs + [out] * (out / "run.json").is_file()))
        raise UserError(
            f"An export holds one network, and {names} are several runs: export one of them, with OUT a new folder. "
            "`crossmatch predict` averages several."
        )
    (run,), console = runs, Terminal()
    folder = export_run(
        run,
        out,
        format,
        checkpoint=checkpoint,
        licence=licence,
        evaluations=evaluation or [],
        warn=lambda text: say(console, "Warning:", text),
    )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    run_it = {
        "bundle": f"see {quoted(folder / 'docs' / 'README.md')}",
    }.get(format, f"python {quoted(folder / 'infer.py')} SCANS MASKS")
    console.print(f"{folder}: {size:.1f} MB. Next: {run_it}", soft_wrap=True, highlight=False)
    if format != "bundle" and not (folder / "estimate.py").is_file():
        packed = is_packed(run)
        fit = f"crossmatch predict {'RUN' if packed else quoted(run)} SCANS MASKS --quality"
        then = "in the run that was packed; then pack and export it again" if packed else "; then export again"
        told = f"It does not estimate quality, as it has no fit: `{fit}` makes one{' ' * packed}{then}."
        console.print(told, soft_wrap=True, highlight=False)
