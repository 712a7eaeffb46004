"""The figures of the pages of results, from the JSON beside them: see make_results.py.

The same JSON gives the same bytes.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

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
    _logarithmic(axes, (0.02, 0.05, 0.1, 0.2, 0.5, 1))
    axes.margins(x=0.16)
    points = {row["method"]: (seconds[row["method"]], 100 * row["dice"]["mean"]) for row in rows}
    colours = {row["method"]: OTHER if row["test"]["best"] else GREY for row in rows} | {"crossmatch": OURS}
    for method, (x, y) in points.items():
        axes.scatter([x], [y], color=colours[method], s=22)
    axes.set_xlabel("CPU seconds of a step, one thread")
    axes.set_ylabel("mean test Dice in percent")
    axes.grid(linewidth=0.4)
    figure.draw_without_rendering()  # the layout decides where the points lie
    taken = [Bbox.from_bounds(*(axes.transData.transform(point) - 4), 8, 8) for point in points.values()]
    for method, point in points.items():
        taken.append(_name(axes, method, point, colours[method], taken))
    _write(figure, path)


def minutes(curves: Sequence[Found], path: Path) -> None:
    """Validation Dice of each method over the minutes of its training: thin lines are seeds, thick ones their means."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    _logarithmic(axes, (0.5, 1, 2, 5, 10, 20, 50, 100))
    last = {run["method"]: run["validation"][-1]["dice"] for run in curves}
    for k, method in enumerate(sorted(last, key=lambda name: -last[name])):
        colour = COLOURS[k % len(COLOURS)]
        runs = [run["validation"] for run in curves if run["method"] == method]
        for run in runs:
            axes.plot(*_minutes_and_dice(run), color=colour, linewidth=0.6, alpha=0.5)
        shared = [
            {key: statistics.mean(point[key] for point in points) for key in ("minutes", "dice")}
            for points in zip(*runs, strict=True)
        ]
        axes.plot(*_minutes_and_dice(shared), color=colour, linewidth=1.8, label=method)
    axes.set_xlabel("minutes of training, one thread beside other programs")
    axes.set_ylabel("validation Dice in percent")
    axes.grid(linewidth=0.4)
    axes.legend(frameon=False, fontsize=8)
    _write(figure, path)


def labels(found: dict[str, dict[int, list[float]]], path: Path) -> None:
    """Dice of each method over the number of labelled cases: dots are seeds, lines their means."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    numbers = sorted({number for dice in found.values() for number in dice})
    _logarithmic(axes, numbers)
    for colour, (method, dice) in zip(COLOURS, found.items(), strict=False):
        for number, seeds in dice.items():
            axes.scatter([number] * len(seeds), [100 * value for value in seeds], s=9, color=colour, linewidths=0)
        means = [(number, 100 * statistics.mean(seeds)) for number, seeds in sorted(dice.items())]
        axes.plot(*zip(*means, strict=True), color=colour, linewidth=1.8, label=method.replace("`", ""))
    axes.set_xlabel("labelled patients")
    axes.set_ylabel("mean test Dice in percent")
    axes.grid(linewidth=0.4)
    axes.legend(frameon=False, fontsize=8)
    _write(figure, path)


def _minutes_and_dice(points: Sequence[Found]) -> tuple[list[float], list[float]]:
    return [point["minutes"] for point in points], [100 * point["dice"] for point in points]


def _logarithmic(axes: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers."""
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _name(axes: Axes, name: str, point: tuple[float, float], colour: str, taken: Sequence[Bbox]) -> Bbox:
    """Write a name beside its point, at the first place that covers nothing `taken`; returns its box in pixels."""
    for shift, side in (
        ((4, 3), "left"),
        ((4, -9), "left"),
        ((-4, 3), "right"),
        ((-4, -9), "right"),
        ((4, 12), "left"),
    ):
        text = axes.annotate(name, point, xytext=shift, textcoords="offset points", fontsize=7, color=colour, ha=side)
        box = text.get_window_extent()
        if not any(box.overlaps(other) for other in taken):
            return box
        text.remove()
    return _name(axes, name, point, colour, ())


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
