"""The table of a benchmark as text, for the terminal and in Markdown. `records.py` writes the raw numbers.

A row stands for a method, a number of labels and a point of the grid; overlap is in percent, ± over seeds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from crossmatch.benchmark.lines import Line, sources
from crossmatch.benchmark.published import Published
from crossmatch.benchmark.results import OverSeeds
from crossmatch.benchmark.significance import Comparison
from crossmatch.errors import visible

PLUS_MINUS = " ±"
VALIDATION_LIST = "†"  # beside a published figure of validation cases
# left out in a narrow terminal, first one first
DISPENSABLE = ("Memory", "Parameters", "By others", "Val", "Training", "First", "ASD", "Jaccard")


@dataclass(frozen=True)
class Column:
    """A column; it is left out if every cell is empty."""

    title: str
    unit: str
    cell: Callable[[Line], str]
    text: bool = False  # words, not numbers: aligned left, and wrapped in a narrow terminal


def columns(table: Sequence[Line]) -> list[Column]:
    """The columns that are not empty for these lines."""
    unit, cited = table[0].row.unit, sources(table)
    keys = list(dict.fromkeys(key for line in table for key, _ in line.row.grid))
    every = [
        Column("Labels", "", lambda line: line.row.labelled, text=True),
        Column("Method", "", lambda line: line.row.method, text=True),
        *(Column(key, "", _setting(key), text=True) for key in keys),
        Column("Seeds", "", lambda line: _seeds(line, table)),
        Column(
            "Val", "%", lambda line: "" if math.isnan(line.row.validation.mean) else _spread(line.row.validation, 100)
        ),
        Column("Dice", "%", lambda line: _spread(line.row.dice, 100)),
        Column("Jaccard", "%", lambda line: _spread(line.row.jaccard, 100)),
        Column("Threshold Jaccard", "%", _threshold_jaccard),
        Column("HD95", unit, lambda line: _spread(line.row.hd95)),
        Column("ASD", unit, lambda line: _spread(line.row.asd)),
        Column("NaN", "cases", lambda line: str(line.row.undefined or "")),
        Column(
            "Parameters", "M", lambda line: "" if line.row.parameters is None else f"{line.row.parameters / 1e6:.2f}"
        ),
        Column("Training", "", lambda line: duration(line.row.seconds)),
        Column("Memory", "GB", _memory),
        Column("p", "Holm", lambda line: _p(line.comparison)),
        Column("First", "P", lambda line: _first(line.comparison)),
        Column("Published", "Dice %", lambda line: _published(line.published.own, cited)),
        Column("By others", "Dice %", lambda line: _published(line.published.others, cited)),
    ]
    return [column for column in every if any(column.cell(line) for line in table)]


def terminal_table(table: Sequence[Line], title: str, console: Console) -> Table:
    """For a terminal: standard deviations below their means, a rule between numbers of labels.

    In a narrow terminal whole columns are left out and named below the table. The validation Dice stays if there is a
    grid, because points of a grid are chosen by it.
    """
    kept = {"Val"} if any(line.row.grid for line in table) else set[str]()
    shown, left_out = columns(table), list[str]()
    drawn = _draw(table, shown, title)
    wide = console.options.update(max_width=1000)
    for name in DISPENSABLE:
        if Measurement.get(console, wide, drawn).maximum <= console.width:
            break
        if name not in kept and any(column.title == name for column in shown):
            shown = [column for column in shown if column.title != name]
            left_out.append(name)
            drawn = _draw(table, shown, title)
    if left_out:
        drawn.caption = f"Left out, the terminal is too narrow: {', '.join(left_out)}; see results.md."
    return drawn


def _draw(table: Sequence[Line], shown: Sequence[Column], title: str) -> Table:
    drawn = Table(title=Text(visible(title)), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in shown:
        heading = f"{column.title}\n{column.unit}".strip().replace(".", ".\n")  # settings have dotted names
        drawn.add_column(
            Text(visible(heading)),
            justify="left" if column.text else "right",
            overflow="fold",
            no_wrap=not column.text,
        )
    for line, after in zip(table, [*table[1:], None], strict=True):
        cells = (Text(visible(column.cell(line)).replace(PLUS_MINUS, "\n" + PLUS_MINUS.strip())) for column in shown)
        ends = after is not None and after.row.labelled != line.row.labelled
        drawn.add_row(*cells, style="bold" if line.comparison.best else None, end_section=ends)
    return drawn


def markdown_table(table: Sequence[Line]) -> str:
    """The table in Markdown; the best Dice of each number of labels is bold."""
    shown = columns(table)
    heads = [f"{column.title} ({column.unit})" if column.unit else column.title for column in shown]
    rows = [heads, ["---"] * len(shown)]
    for line in table:
        cells = [column.cell(line) for column in shown]
        if line.comparison.best:
            place = heads.index("Dice (%)")
            cells[place] = f"**{cells[place]}**"
        rows.append(cells)
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n" for cells in rows)


def duration(seconds: float) -> str:
    """A time for people: in seconds below 90 s, in minutes below 90 min, else in hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _setting(key: str) -> Callable[[Line], str]:
    return lambda line: dict(line.row.grid).get(key, "")


def _seeds(line: Line, table: Sequence[Line]) -> str:
    """The number of runs of a row; "2 of 3" if rows of the same number of labels have runs that this one lacks."""
    own = len(line.row.results)
    alike = (other.row for other in table if other.row.labelled == line.row.labelled)
    every = len({result.conditions for row in alike for result in row.results})
    return str(own) if own == every else f"{own} of {every}"


def _spread(found: OverSeeds, scale: float = 1) -> str:
    if math.isnan(found.mean):
        return "NaN"
    sd = "" if math.isnan(found.sd) else f"{PLUS_MINUS}{found.sd * scale:.2f}"
    return f"{found.mean * scale:.2f}{sd}"


def _threshold_jaccard(line: Line) -> str:
    found = line.row.threshold_jaccard
    return "" if math.isnan(found.mean) else _spread(found, 100)


def _memory(line: Line) -> str:
    peak = line.row.peak_memory_bytes
    return "" if peak is None else f"{peak / 1e9:.1f}"


def _published(known: Published | None, cited: Sequence[str]) -> str:
    if known is None:
        return ""
    last = "" if known.last is None else f" (last {known.last:.1f})"
    return f"{known.dice:.2f}{VALIDATION_LIST * known.validation_list}{last} [{cited.index(known.source) + 1}]"


def _first(comparison: Comparison) -> str:
    if comparison.first is None:
        return ""
    return "<0.01" if 0 < comparison.first < 0.005 else f"{comparison.first:.2f}"


def _p(comparison: Comparison) -> str:
    """Empty for a single row, and for rows that share no run."""
    if comparison.best:
        return "best"
    if comparison.p_holm is None:
        return ""
    return "<0.001" if comparison.p_holm < 0.001 else f"{comparison.p_holm:.3f}"
