"""Curves of what runs logged: a small panel for each group of terms, with a sentence about what it is.

A panel is an inline SVG that needs no script. Beside it lie its numbers as JSON, from which curves.js draws it again so
that it can be zoomed and read. Colours are the classes k0, k1, ... of style.css, so that the page can be light or dark.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from crossmatch.reports.document import json_block
from crossmatch.reports.scales import HEIGHT, Axes, number, ticks
from crossmatch.reports.terms import SHARES, VALIDATION, Term, group_of, place_of, term
from crossmatch.runs.logbook import LoggedLine

WIDTH = 340  # of a panel, in SVG units; a wide one covers two and the gap
GAP = 20
POINTS = 300  # of a static curve; more are averaged in groups of neighbours
ZOOMED_POINTS = 2000  # of a curve that can be zoomed
COLOURS = 7  # in style.css


@dataclass(frozen=True)
class Series:
    """One curve: (step, value) in order; NaN where undefined."""

    name: str
    points: Sequence[tuple[int, float]]
    bold: bool = False

    @property
    def last(self) -> float:
        """The last finite value, NaN if there is none."""
        return next((value for _, value in reversed(self.points) if math.isfinite(value)), math.nan)

    @property
    def best(self) -> tuple[int, float] | None:
        """The first point with the highest finite value."""
        return max((p for p in self.points if math.isfinite(p[1])), key=lambda p: p[1], default=None)


def series(lines: Iterable[LoggedLine], group: Literal["train", "validation"]) -> dict[str, Series]:
    """The curves of ``train`` or ``validation`` from the lines of metrics.jsonl; null is NaN."""
    points: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for name, value in line.get(group, {}).items():
            points.setdefault(name, []).append((line["step"], math.nan if value is None else float(value)))
    return {name: Series(name, found) for name, found in points.items()}


def training_panels(curves: dict[str, Series]) -> list[str]:
    """A panel for each group of terms: parts such as tkd_ww stand with tkd, ip1 with ip2."""
    groups: dict[str, list[Series]] = {}
    for name, curve in curves.items():
        groups.setdefault(group_of(name), []).append(curve)
    return [_training_panel(group, groups[group]) for group in sorted(groups, key=place_of)]


def validation_panel(curves: dict[str, Series]) -> str:
    """Dice in percent over steps: every class, and their mean in bold with its highest point marked."""
    mean = Series("mean", curves["mean"].points, bold=True)
    classes = [curve for name, curve in curves.items() if name != "mean"]
    return panel(VALIDATION, [*classes, mean], percent=True, wide=True, mark=mean.best)


def runs_panels(runs: dict[str, list[LoggedLine]]) -> list[str]:
    """Curves of several runs over each other: mean validation Dice, then each group of terms that two of them logged.

    Parts of a group are left out where the whole is there: many curves of many runs could not be told apart.

    Args:
        runs: the name of each -> its lines of metrics.jsonl.
    """
    means = [
        Series(name, found["mean"].points)
        for name, lines in runs.items()
        if "mean" in (found := series(lines, "validation"))
    ]
    panels = [panel(VALIDATION, means, percent=True, wide=True)] if means else []
    groups: dict[str, dict[str, list[Series]]] = {}
    for name, lines in runs.items():
        for curve in series(lines, "train").values():
            groups.setdefault(group_of(curve.name), {}).setdefault(name, []).append(curve)
    shared = [group for group in sorted(groups, key=place_of) if len(groups[group]) > 1]
    return panels + [
        _panel_of_group(group, [_one_curve(*found, group) for found in groups[group].items()]) for group in shared
    ]


def _one_curve(run: str, members: list[Series], group: str) -> Series:
    """The whole of a group, or the mean of its parts, under the run's name."""
    whole = next((curve for curve in members if curve.name == group), None)
    if whole is not None:
        return Series(run, whole.points)
    columns = zip(
        *(curve.points for curve in members), strict=False
    )  # a run that was stopped has all of a line or none
    return Series(run, [(column[0][0], _mean([value for _, value in column])) for column in columns])


def _training_panel(group: str, members: list[Series]) -> str:
    whole = [Series(s.name, s.points, bold=True) for s in members if s.name == group and len(members) > 1]
    parts = [s for s in members if s.name != group or len(members) == 1]
    return _panel_of_group(group, [*parts, *whole])


def _panel_of_group(group: str, curves: Sequence[Series]) -> str:
    percent = group in SHARES
    title, sentence = term(group)
    return panel(Term(title + (", %" if percent else ""), sentence), curves, percent=percent)


def panel(
    about: Term,
    curves: Sequence[Series],
    *,
    percent: bool = False,
    wide: bool = False,
    mark: tuple[int, float] | None = None,
) -> str:
    """A figure with axes, curves and a legend that gives each curve's last value.

    Args:
        about: what is drawn, with its unit, and a sentence about it.
        curves: drawn in order; a bold or single one in the text's colour, the others in k0, k1, ...
        percent: values are shares; the axis goes from 0 to 100 percent.
        wide: over two columns; on a phone, which has one, a second drawing is shown that is as wide as the others.
        mark: a point (step, value) to mark.
    """
    scale = 100 if percent else 1
    drawn = [Series(s.name, [(x, y * scale) for x, y in thin(s.points)], s.bold) for s in curves]
    steps = [x for s in curves for x, _ in s.points]
    finite = [y for s in drawn for _, y in s.points if math.isfinite(y)]
    colours = _colours(drawn)
    low, high = (0.0, 100.0) if percent or not finite else (min(0.0, *finite), max(finite))
    high = ticks(low, high)[-1] if high > low else low + 1  # a round number at or above the highest value
    svgs = []
    for width, kind in ((2 * WIDTH + GAP, "across"), (WIDTH, "phone")) if wide else ((WIDTH, ""),):
        if not finite:
            body = f'<text class="none" x="{width / 2}" y="{HEIGHT / 2}">no finite value</text>'
        else:
            axes = Axes(width, max(steps), low, high)
            body = axes.svg() + "".join(axes.path(s.name, list(s.points), colours[s.name]) for s in drawn)
            if mark is not None:
                body += axes.dot(mark[0], mark[1] * scale, f"highest: {mark[1] * scale:.1f} at step {mark[0]}")
        view = f'class="{kind}" viewBox="0 0 {width} {HEIGHT}"'
        svgs.append(f'<svg {view} role="img" aria-label="{escape(about.title)}">{body}</svg>')
    legend = "".join(
        f'<span class="key {colours[s.name]}"><i></i>{escape(s.name)} <b>{number(s.last)}</b></span>' for s in drawn
    )
    marked = None if mark is None else [mark[0], _rounded(mark[1] * scale)]
    numbers = _numbers(curves, colours, scale, {"range": [low, high], "mark": marked}) if finite else ""
    return (
        f'<figure class="panel{" wide" if wide else ""}"><figcaption>{escape(about.title)}</figcaption>'
        f'<p class="says">{escape(about.sentence)}</p><div class="drawing">{"".join(svgs)}</div>'
        f'<div class="legend">{legend}</div>{numbers}</figure>'
    )


def _numbers(curves: Sequence[Series], colours: dict[str, str], scale: float, more: dict[str, Any]) -> str:
    """What curves.js draws: steps, and each curve's values at them; null where undefined, "" where it has no step."""
    thinned = {s.name: dict(thin(s.points, ZOOMED_POINTS)) for s in curves}
    steps = sorted({step for found in thinned.values() for step in found})
    drawn = [
        {
            "name": s.name,
            "colour": colours[s.name],
            "bold": s.bold or len(curves) == 1,
            "values": [_rounded(thinned[s.name][step] * scale) if step in thinned[s.name] else "" for step in steps],
        }
        for s in curves
    ]
    return json_block("numbers", {"steps": steps, "curves": drawn, **more})


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def thin(points: Sequence[tuple[int, float]], most: int = POINTS) -> list[tuple[int, float]]:
    """At most `most` points: neighbours averaged in groups, undefined values left out of the averages."""
    size = -(-len(points) // most)
    if size <= 1:
        return list(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], _mean([value for _, value in group])) for group in groups]


def _colours(curves: Sequence[Series]) -> dict[str, str]:
    """Curve -> class of its colour."""
    plain = [s.name for s in curves if not s.bold]
    alone = len(curves) == 1
    return {s.name: "bold" if s.bold or alone else f"k{plain.index(s.name) % COLOURS}" for s in curves}


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
