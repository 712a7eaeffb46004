"""The results of a benchmark in its folder: results.md, .csv, .json, .png and .svg; and its table in the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from crossmatch.atomic import write_json, write_text
from crossmatch.benchmark.figure import write_figure
from crossmatch.benchmark.notes import notes
from crossmatch.benchmark.records import to_csv, to_json
from crossmatch.benchmark.results import Result, aggregate
from crossmatch.benchmark.tables import lines, markdown_table, terminal_table
from crossmatch.errors import UserError


def write_results(
    out: Path, results: Sequence[Result], missing: Sequence[str], console: Console | None, about: dict[str, Any]
) -> None:
    """Write what the finished cells say into the folder of the benchmark, and show the table.

    Args:
        out: the folder; each file in it is replaced whole or not at all.
        results: the finished cells.
        missing: a text for each cell that failed or has not been run.
        console: where the table is shown; None: nowhere.
        about: what was run: recipe (its name), recipe_settings, commands.

    Raises:
        UserError: no finished cell, an evaluation that does not know its run, or a folder that cannot be written to.
    """
    if not results:
        unfinished = f": {'; '.join(missing)}" if missing else ""
        raise UserError(f"No cell of the benchmark in {out} is finished{unfinished}. Run it again; results come then.")
    rows = aggregate(results)
    table = lines(rows)
    said = notes(table, missing)
    title = f"{about['recipe']} on {', '.join(dict.fromkeys(row.dataset for row in rows))}"
    write_json(out / "results.json", to_json(table, said, missing, about))
    write_text(out / "results.csv", to_csv(table))
    bullets = "".join(f"- {sentence}\n" for sentence in said)
    picture = "![Dice of each method against the number of labels](results.png)"
    write_text(out / "results.md", f"# {title}\n\n{markdown_table(table)}\n{bullets}\n{picture}\n")
    write_figure(rows, out / "results.png")
    write_figure(rows, out / "results.svg")
    if console is not None:
        console.print(terminal_table(table, title, console))
        for sentence in said:
            console.print(f"- {escape(sentence)}", highlight=False)
