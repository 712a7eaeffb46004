"""The command `review`: a local page of a run's predictions."""

from pathlib import Path
from typing import Annotated

import typer


def review(
    run: Annotated[Path, typer.Argument(help="a run's folder")],
    data: Annotated[Path | None, typer.Option(help="the run's dataset, where it was moved")] = None,
    masks: Annotated[
        list[Path] | None, typer.Option(help="a further folder of its predictions; those in RUN are found")
    ] = None,
    scans: Annotated[
        list[Path] | None, typer.Option(help="a folder of new scans, or one that links of the dataset lead to")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="of the page; 0: a free one")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="print the address alone")] = False,
) -> None:
    """Look at predictions in the browser: the worst first; correct, accept as labels, and train on."""
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
