"""The figures of the pages of results, from the JSON beside them: see make_results.py.

The same JSON gives the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context, style
from matplotlib.figure import Figure

from crossmatch.benchmark.figure import COLOURS, DPI, METADATA

Found = dict[str, Any]
OURS, OTHER, GREY = COLOURS[1], COLOURS[0], "#8a8a8a"
PANELS = 3  # in a row


def strips(benchmark: Found, path: Path) -> None:
    """Dice of every test case of every method, a strip for each: methods by their mean, a shade for each seed."""
    cells = benchmark["cells"]
    means = {row["method"]: row["dice"]["mean"] for row in benchmark["rows"]}
    order = sorted(means, key=lambda method: means[method])
    seeds = sorted({int(cell["seed"]) for cell in cells})
    figure = Figure(figsize=(6.4, 1 + 0.27 * len(order)), layout="constrained")
    axes = figure.subplots()
    for cell in cells:
        place, seed = order.index(cell["method"]), seeds.index(int(cell["seed"]))
        dice = [100 * case["dice"] for case in cell["cases"]]
        shift = 0.22 * (seed - (len(seeds) - 1) / 2)
        axes.scatter(
            dice, [place + shift] * len(dice), s=7, color=COLOURS[seed % len(COLOURS)], alpha=0.55, linewidths=0
        )
    for place, method in enumerate(order):
        axes.plot([100 * means[method]] * 2, [place - 0.4, place + 0.4], color="black", linewidth=1.4)
    axes.set_yticks(range(len(order)), order)
    axes.set_xlabel("Dice of a test case in percent (colour: seed; bar: mean)")
    axes.grid(axis="x", linewidth=0.4)
    _write(figure, path)


def cost(rows: Sequence[Found], seconds: dict[str, float], path: Path) -> None:
    """Mean Dice of each method over the CPU seconds of its step, on a logarithmic axis."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        x, y = seconds[row["method"]], 100 * row["dice"]["mean"]
        colour = OURS if row["method"] == "crossmatch" else OTHER if row["test"]["best"] else GREY
        axes.scatter([x], [y], color=colour, s=22)
        axes.annotate(row["method"], (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7, color=colour)
    axes.set_xscale("log")
    ticks = (0.02, 0.05, 0.1, 0.2, 0.5, 1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.margins(x=0.16)
    axes.set_xlabel("CPU seconds of a step, one thread")
    axes.set_ylabel("mean test Dice in percent")
    axes.grid(linewidth=0.4)
    _write(figure, path)


def trajectories(families: dict[str, list[Found]], below: dict[str, float], path: Path) -> None:
    """The first image term of every run over steps, a panel for each family, three in a row.

    Args:
        families: the name of each family -> its runs.
        below: the name of a family -> what its runs fall below when they leave their plateau; drawn as a line.
        path: the picture.
    """
    rows = -(-len(families) // PANELS)
    figure = Figure(figsize=(7.6, 0.4 + 2.5 * rows), layout="constrained")
    panels = list(figure.subplots(rows, PANELS, sharey="row", squeeze=False).flat)
    for k, (axes, (name, runs)) in enumerate(zip(panels, families.items(), strict=False)):
        for run in runs:
            shown = range(10, 10 * len(run["ip1"]) + 1, 10)
            axes.plot(shown, run["ip1"], color=COLOURS[k % PANELS], linewidth=0.9, alpha=0.75)
        if name in below:
            axes.axhline(below[name], color=GREY, linewidth=0.7, linestyle=":")
        axes.set_title(f"{name}, {len(runs)} runs", fontsize=8)
        axes.set_xlabel("step")
        if k % PANELS == 0:
            axes.set_ylabel("first image term")
    for axes in panels[len(families) :]:
        axes.set_visible(False)
    _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    """Save without dates, in matplotlib's own style."""
    with style.context("default"), rc_context({"font.size": 9}):
        figure.savefig(path, dpi=DPI, metadata=METADATA[path.suffix])
