"""The commands of pages: `report`, of a run or of several beside each other, and `review`, to work with."""

from pathlib import Path
from typing import Annotated

import typer

from crossmatch.errors import UserError

COMPARISON = "comparison.html"


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="a run's folder, or several to compare")],
    out: Annotated[
        Path | None,
        typer.Option(help=f"the page; default: RUN/report.html, for several runs {COMPARISON} here"),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="masks of one run, with or without references; default: those in RUN/*")
    ] = None,
    viewer: Annotated[
        bool, typer.Option("--viewer", help="put a viewer of three planes and 3D with a few small cases into the page")
    ] = False,
) -> None:
    """Write one self-contained HTML page: scores, pictures, curves, settings. With several runs: a comparison."""
    from crossmatch.reports import write_comparison, write_report
    from crossmatch.runs.display import Terminal

    if len(runs) > 1:
        if predictions is not None or viewer:
            raise UserError("--predictions and --viewer are for the page of one run: name one, or leave them out.")
        page = write_comparison(runs, Path(COMPARISON) if out is None else out)
    else:
        page = write_report(runs[0], predictions=predictions, out=out, viewer=viewer)
    size = page.stat().st_size / 1e6
    Terminal().print(f"Report: {page} ({size:.1f} MB)", soft_wrap=True, highlight=False)


def review(
    run: Annotated[Path, typer.Argument(help="a run's folder")],
    data: Annotated[Path | None, typer.Option(help="the run's dataset, if it was moved")] = None,
    masks: Annotated[
        list[Path] | None, typer.Option(help="another folder of the run's predictions; those in RUN are found anyway")
    ] = None,
    scans: Annotated[
        list[Path] | None, typer.Option(help="a folder of new scans, or one that links in the dataset point to")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="port of the page; 0: a free one")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="only print the address")] = False,
) -> None:
    """Look at predictions in the browser, the worst first; correct them, accept them as labels, and train again."""
    from crossmatch.review import review as serve
    from crossmatch.runs.display import Terminal

    console = Terminal()
    serve(
        run,
        data=data,
        masks=masks or [],
        scans=scans or [],
        port=port,
        browser=not no_browser,
        say=lambda text: console.print(text, soft_wrap=True, highlight=False),
    )
