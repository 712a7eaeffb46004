"""Writes the results of a benchmark: results.md, .csv, .json, .png and .svg in its folder; shows the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from crossmatch.atomic import write_json, write_text
from crossmatch.benchmark.columns import markdown_table, terminal_table
from crossmatch.benchmark.figure import write_figure
from crossmatch.benchmark.lines import Line, lines
from crossmatch.benchmark.notes import notes
from crossmatch.benchmark.records import to_csv, to_json
from crossmatch.benchmark.results import Result, aggregate
from crossmatch.errors import SHOWN, visible

PICTURE = "![Test Dice of each method](results.png)"


def write_results(
    out: Path, results: Sequence[Result], missing: Sequence[str], console: Console, about: dict[str, Any]
) -> None:
    """Write the results of the finished cells into the folder of the benchmark, and show the table.

    Args:
        out: the folder; each file in it is replaced whole or not at all.
        results: the finished cells, at least one.
        missing: a line for each cell that failed or was not run, and for whatever else is left out.
        console: where the table is shown.
        about: what was run, kept in results.json: recipe (its name), recipe_settings and recipe_remarks (the base
            recipe's), choice (what the command named: methods, labelled, seeds, grid, set, checkpoint, jobs). No paths.

    Raises:
        UserError: an evaluation that does not know its run, or a folder that cannot be written to.
    """
    rows = aggregate(results)
    table = write_record(out, results, missing, about)
    said = notes(table)
    title = f"Recipe {about['recipe']} on {', '.join(dict.fromkeys(row.dataset for row in rows))}"
    left_out = f"Not in the table ({len(missing)})"
    write_text(out / "results.csv", to_csv(table))
    made = _made(results, about)
    remarks = (
        f"\nWhat the recipe says of itself:\n\n{_bullets(about['recipe_remarks'])}" if about["recipe_remarks"] else ""
    )
    text = f"# {title}\n\n{made}\n\n{markdown_table(table)}\n{PICTURE}\n\n{_bullets(said)}{remarks}"
    write_text(out / "results.md", text + (f"\n{left_out}:\n\n{_bullets(missing)}" if missing else ""))
    write_figure(rows, out / "results.png")
    write_figure(rows, out / "results.svg")
    console.print(terminal_table(table, title, console))
    shown = _bullets(said)
    if missing:
        rest = [f"{len(missing) - SHOWN} more: see results.md"] if len(missing) > SHOWN else []
        shown += f"{left_out}:\n{_bullets([*missing[:SHOWN], *rest])}"
    console.print(Text(visible(shown)), end="", highlight=False)


def write_record(out: Path, results: Sequence[Result], missing: Sequence[str], about: dict[str, Any]) -> list[Line]:
    """Write results.json alone, after each cell; the lines of its table. Arguments as of `write_results`."""
    table = lines(aggregate(results))
    write_json(out / "results.json", to_json(table, notes(table), missing, about))
    return table


def _made(results: Sequence[Result], about: dict[str, Any]) -> str:
    """One line about the runs: steps, changes of the recipe, commits."""
    steps = sorted({result.step for result in results})
    commits = sorted({str(result.training.get("code", {}).get("commit")) for result in results})
    choice = about["choice"]
    changed = [f"`--{option} {text}`" for option in ("set", "grid") for text in choice.get(option, [])]
    text = (
        f"{' or '.join(map(str, steps))} steps; recipe {'changed by ' + ', '.join(changed) if changed else 'as it is'}"
    )
    return f"{text}; commit {', '.join(commits)}."


def _bullets(sentences: Sequence[str]) -> str:
    return "".join(f"- {sentence}\n" for sentence in sentences)
