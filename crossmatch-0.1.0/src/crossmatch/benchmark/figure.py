"""The figure of a benchmark: Dice against the number of labels; with one number of labels, Dice by method.

The same rows give the same bytes: no dates, no random names, and none of the user's matplotlib settings.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from crossmatch.atomic import written_aside
from crossmatch.benchmark.results import Row, label_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito, Color Universal Design (2008), without yellow, which is too faint for lines on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", "--", ":", "-.")  # each goes with all colours before the next one
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "h", ">", "*")  # coprime with the colours: 77 pairs
METADATA = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}
DPI = 150
NARROWEST = 4.0  # an axis shows at least so many points of Dice, so that small differences look small
PADDING = 0.05  # of the axis


def write_figure(rows: Sequence[Row], path: Path) -> None:
    """Write the figure, whole or not at all, as PNG or SVG by the ending of `path`.

    Raises:
        UserError: the folder cannot be written to.
    """
    from matplotlib import rc_context, style  # here: only this needs it

    with style.context("default"), rc_context({"svg.hashsalt": "crossmatch", "font.size": 9}):
        figure = draw(rows)
        with written_aside(path) as aside:
            figure.savefig(aside, format=path.suffix[1:], dpi=DPI, bbox_inches="tight", metadata=METADATA[path.suffix])


def draw(rows: Sequence[Row]) -> "Figure":
    """Lines over the numbers of labels; dots if there is only one number."""
    from matplotlib.figure import Figure

    labels = sorted({row.labelled for row in rows}, key=label_order)
    names = sorted({row.name for row in rows})
    styles = {name: _style(place) for place, name in enumerate(names)}
    if len(labels) == 1:
        figure = Figure(figsize=(6, 1 + 0.3 * len(rows)))
        _dots(figure.subplots(), rows, styles)
    else:
        figure = Figure(figsize=(6, max(4.5, 0.3 * len(names))))
        _curves(figure.subplots(), rows, labels, styles)
    return figure


def _style(place: int) -> dict[str, Any]:
    """Colour, marker and dashes of a method; colour or marker alone tells methods apart."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place // len(COLOURS) % len(DASHES)],
    }


def _curves(axes: "Axes", rows: Sequence[Row], labels: Sequence[str], styles: dict[str, dict[str, Any]]) -> None:
    """A line for each method with a band of ± one standard deviation; the legend follows the lines' right ends."""
    series = {name: {row.labelled: row.dice for row in rows if row.name == name} for name in styles}
    for name, found in series.items():
        x = [place for place, labelled in enumerate(labels) if labelled in found]
        mean = [100 * found[labels[place]].mean for place in x]
        sd = [0.0 if math.isnan(found[labels[place]].sd) else 100 * found[labels[place]].sd for place in x]
        axes.plot(x, mean, markersize=5, linewidth=1.4, **styles[name])
        low, high = ([m + sign * s for m, s in zip(mean, sd, strict=True)] for sign in (-1, 1))
        low, high = ([min(max(value, 0), 100) for value in side] for side in (low, high))
        axes.fill_between(x, low, high, color=styles[name]["color"], alpha=0.12, linewidth=0)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-PADDING * len(labels), len(labels) - 1 + PADDING * len(labels))
    axes.set_xlabel("number of labels (as named in the recipe; equal distances, not to scale)")
    axes.set_ylabel("test Dice (%); band: ± sd over seeds")
    _finish(axes, rows, "y")

    def right_end(name: str) -> tuple[int, float]:
        place = max(labels.index(labelled) for labelled in series[name])
        return place, series[name][labels[place]].mean

    handles = dict(zip(styles, axes.get_lines(), strict=True))
    order = sorted(styles, key=right_end, reverse=True)
    axes.legend(
        [handles[name] for name in order],
        [f"{name}{_runs([row for row in rows if row.name == name], rows)}" for name in order],
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        handlelength=3.5,
        title="best at the right end first",
        alignment="left",
    )


def _dots(axes: "Axes", rows: Sequence[Row], styles: dict[str, dict[str, Any]]) -> None:
    """A row for each method, the best on top: mean ± one standard deviation, and a small ring for each seed."""
    ordered = sorted(rows, key=lambda row: row.dice.mean)
    for place, row in enumerate(ordered):
        colour = styles[row.name]["color"]
        seeds = [100 * result.evaluation.statistics()["dice"].mean for result in row.results]
        sd = 0.0 if math.isnan(row.dice.sd) else 100 * row.dice.sd
        axes.errorbar(100 * row.dice.mean, place, xerr=sd, fmt="o", color=colour, markersize=6, capsize=3)
        if len(seeds) > 1:
            rings = {"markersize": 4, "markerfacecolor": "white", "markeredgecolor": colour}
            axes.plot(seeds, [place - 0.25] * len(seeds), "o", linestyle="", **rings)
    axes.set_yticks(range(len(ordered)), [f"{row.name}{_runs([row], rows)}" for row in ordered])
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    low, high = axes.get_xlim()
    widen = max(0.0, NARROWEST - (high - low)) / 2
    axes.set_xlim(max(low - widen, -1), min(high + widen, 101))  # no Dice is outside of 0 and 100, a bar of ± sd may be
    axes.set_xlabel("test Dice (%): mean ± sd over seeds; rings: single seeds")
    _finish(axes, rows, "x")


def _runs(own: Sequence[Row], every: Sequence[Row]) -> str:
    """A remark in the legend: a method has single runs only, or fewer seeds than other methods."""
    if all(len(row.results) == 1 for row in own):
        return " (single run)" if len(own) == 1 else " (single runs)"
    most = {row.labelled: max(len(r.results) for r in every if r.labelled == row.labelled) for row in own}
    return " (fewer seeds)" if any(len(row.results) < most[row.labelled] for row in own) else ""


def _finish(axes: "Axes", rows: Sequence[Row], grid: Literal["x", "y"]) -> None:
    labels = sorted({row.labelled for row in rows}, key=label_order)
    only = f", {labels[0]} labelled" if len(labels) == 1 else ""
    axes.set_title(", ".join(sorted({row.dataset for row in rows})) + only, fontsize=10)
    axes.grid(axis=grid, color="0.9")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
