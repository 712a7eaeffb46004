"""Output of the command line: which masks to trust, and which scans to label next."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossmatch.cli.planning import Device

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 5  # of the worst masks


def show_quality(console: "Console", folder: Path) -> None:
    """A table of the masks to look at first, and where the others stand."""
    from rich.table import Table

    from crossmatch.inference.quality_record import TABLE, read_quality

    found = read_quality(folder)
    if found is None:
        return
    table = Table("look first at", "estimated Dice", "between", "why", title="By estimated quality, worst first")
    for name in found.worst_first()[:SHOWN]:
        case = found.cases[name]
        dice, low, high = case["dice"], case["low"], case["high"]
        between = "" if low is None or high is None else f"{100 * low:.0f} and {100 * high:.0f} %"
        more = f" ({len(case['flags']) - 1} more)" if len(case["flags"]) > 1 else ""
        why = "".join(case["flags"][:1]) + more
        table.add_row(name, "unknown" if dice is None else f"{100 * dice:.0f} %", between, why)
    console.print(table)
    console.print(f"{found.calibration['told']} All masks: {folder / TABLE}", soft_wrap=True)


def rank(
    run: Annotated[Path, typer.Argument(help="a run's folder, or a packed model (then with DATA and --out)")],
    data: Annotated[
        Path | None, typer.Argument(help="a dataset or a folder of scans to choose from; default: the run's dataset")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="how many scans")] = 5,
    out: Annotated[Path | None, typer.Option(help="folder for rank.json and rank.csv; default: RUN")] = None,
    checkpoint: Annotated[str, typer.Option(help="last, best or a file")] = "last",
    device: Device = "auto",
) -> None:
    """Say which unlabelled scans to label next: those with the least trusted masks, and no two that are alike."""
    from rich.table import Table

    from crossmatch.inference.rank import rank as rank_scans
    from crossmatch.inference.ranking import RANKING_TABLE
    from crossmatch.runs.display import Terminal, progress_bar, say

    console = Terminal()
    with progress_bar(console, "Looking") as progress:
        found = rank_scans(
            run,
            data,
            count=count,
            out=out,
            checkpoint=checkpoint,
            device=device,
            progress=progress,
            warn=lambda text: say(console, "Warning:", text),
        )
    table = Table("label next", "patient", "why")
    for one in found:
        table.add_row(one.case, one.patient, " ".join([one.reason, *one.flags[:1]]))
    console.print(table)
    console.print(f"Written to {(out or run) / RANKING_TABLE}", soft_wrap=True)
