"""Curves of what a run logged, as inline SVG: one small panel for each group of terms.

Colours are the classes k0, k1, ... of style.css, so that the page can be light or dark.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from crossmatch.runs.logbook import LoggedLine

WIDTH, HEIGHT = 340, 190  # of a panel, in SVG units; a wide one covers two and the gap
GAP = 20
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 8, 24  # margins around the axes
POINTS = 300  # more are averaged in groups of neighbours
COLOURS = 7  # in style.css

TITLES = {
    "total": "Total loss",
    "sup": "Supervised loss, L_sup",
    "ip": "Image perturbation, L_ip",
    "tkd": "Teacher distillation, L_tkd",
    "dkd": "Decoder distillation, L_dkd",
    "confident": "Confident share of voxels",
    "learning_rate": "Learning rate",
}
UNIT_RANGE = ("confident",)  # drawn from 0 to 1, in percent


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
        key = name if name in TITLES else name.partition("_")[0].rstrip("0123456789") or name
        groups.setdefault(key, []).append(curve)
    unknown = list(TITLES).index(UNIT_RANGE[0]) - 0.5  # terms of other methods: after the losses known here
    order = sorted(groups, key=lambda key: list(TITLES).index(key) if key in TITLES else unknown)
    return [_training_panel(key, groups[key]) for key in order]


def validation_panel(curves: dict[str, Series]) -> str:
    """Dice in percent over steps: every class, and their mean in bold with its highest point marked."""
    mean = Series("mean", curves["mean"].points, bold=True)
    classes = [curve for name, curve in curves.items() if name != "mean"]
    return panel("Validation Dice, %", [*classes, mean], percent=True, wide=True, mark=mean.best)


def _training_panel(key: str, members: list[Series]) -> str:
    whole = [Series(s.name, s.points, bold=True) for s in members if s.name == key and len(members) > 1]
    parts = [s for s in members if s.name != key or len(members) == 1]
    percent = key in UNIT_RANGE
    return panel(TITLES.get(key, key) + (", %" if percent else ""), [*parts, *whole], percent=percent)


def panel(
    title: str,
    curves: Sequence[Series],
    *,
    percent: bool = False,
    wide: bool = False,
    mark: tuple[int, float] | None = None,
) -> str:
    """A figure with axes, curves and a legend that gives each curve's last value.

    Args:
        title: what is drawn, with its unit.
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
    svgs = []
    for width, kind in ((2 * WIDTH + GAP, "across"), (WIDTH, "phone")) if wide else ((WIDTH, ""),):
        if not finite:
            body = f'<text class="none" x="{width / 2}" y="{HEIGHT / 2}">no finite value</text>'
        else:
            low, high = (0.0, 100.0) if percent else (min(0.0, *finite), max(finite))
            high = ticks(low, high)[-1] if high > low else low + 1  # a round number at or above the highest value
            axes = Axes(width, max(steps), low, high)
            body = axes.svg() + "".join(axes.path(s, colours[s.name]) for s in drawn)
            if mark is not None:
                body += axes.dot(mark[0], mark[1] * scale, f"highest: {mark[1] * scale:.1f} at step {mark[0]}")
        view = f'class="{kind}" viewBox="0 0 {width} {HEIGHT}"'
        svgs.append(f'<svg {view} role="img" aria-label="{escape(title)}">{body}</svg>')
    legend = "".join(
        f'<span class="key {colours[s.name]}"><i></i>{escape(s.name)} <b>{number(s.last)}</b></span>' for s in drawn
    )
    return (
        f'<figure class="panel{" wide" if wide else ""}"><figcaption>{escape(title)}</figcaption>'
        f'{"".join(svgs)}<div class="legend">{legend}</div></figure>'
    )


@dataclass(frozen=True)
class Axes:
    """Steps from 0 to `last` across, values from `low` to `high` upwards, in a panel of `width`."""

    width: int
    last: int
    low: float
    high: float

    def x(self, step: float) -> float:
        """Pixels from the left."""
        return LEFT + (self.width - LEFT - RIGHT) * step / max(self.last, 1)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        span = self.high - self.low
        share = (
            (self.high - value) / span if 0 < span < math.inf else 0.5
        )  # values that differ by nothing a float holds
        return TOP + (HEIGHT - TOP - BOTTOM) * share

    def svg(self) -> str:
        """Grid lines and numbers."""
        right, bottom = self.width - RIGHT, HEIGHT - BOTTOM
        parts = []
        for value in ticks(self.low, self.high):
            y = f"{self.y(value):.1f}"
            parts.append(f'<path class="grid" d="M{LEFT} {y}H{right}"/>')
            parts.append(f'<text class="y" x="{LEFT - 6}" y="{y}">{number(value)}</text>')
        for step in ticks(0, max(self.last, 1), 6 if self.width > WIDTH else 4, inside=True):
            anchor = ' style="text-anchor:end"' if self.x(step) > right - 8 else ""
            parts.append(f'<text class="x" x="{self.x(step):.1f}" y="{bottom + 16}"{anchor}>{step:,.0f}</text>')
        return "".join(parts) + f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>'

    def path(self, curve: Series, colour: str) -> str:
        """The curve; undefined values are gaps, a value alone between gaps is a dot."""
        pieces, dots, run = [], [], []
        for step, value in [*curve.points, (0, math.nan)]:
            if math.isfinite(value):
                run.append(f"{self.x(step):.1f} {self.y(value):.1f}")
            elif run:
                pieces.append("M" + "L".join(run)) if len(run) > 1 else dots.append(f"M{run[0]}h0")
                run = []
        title = f"<title>{escape(curve.name)}</title>"
        lines = f'<path class="line {colour}" d="{"".join(pieces)}">{title}</path>' if pieces else ""
        return lines + (f'<path class="dots {colour}" d="{"".join(dots)}">{title}</path>' if dots else "")

    def dot(self, step: int, value: float, title: str) -> str:
        """A mark on a curve."""
        place = f'cx="{self.x(step):.1f}" cy="{self.y(value):.1f}" r="3.5"'
        return f'<circle class="mark" {place}><title>{title}</title></circle>'


def thin(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `POINTS` points: neighbours averaged in groups, undefined values left out of the averages."""
    size = -(-len(points) // POINTS)
    if size <= 1:
        return list(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], _mean([value for _, value in group])) for group in groups]


def ticks(low: float, high: float, count: int = 4, inside: bool = False) -> list[float]:
    """About `count` round numbers from `low` to the first at or above `high`, or the last at or below it (`inside`)."""
    span = max(high - low, 1e-12)
    magnitude = 10.0 ** math.floor(math.log10(span / count))
    step = next(f * magnitude for f in (1, 2, 2.5, 5, 10) if f * magnitude * count >= span * (1 - 1e-9))
    last = math.floor(high / step + 1e-9) if inside else math.ceil(high / step - 1e-9)
    return [n * step for n in range(math.ceil(low / step - 1e-9), last + 1)]


def number(value: float) -> str:
    """A number short enough for an axis or a legend."""
    if not math.isfinite(value):
        return "–"
    digits = 3 if abs(value) < 100 else 4
    return f"{value:,.0f}" if value == round(value) else f"{value:.{digits}g}".replace("e-0", "e-")


def _colours(curves: Sequence[Series]) -> dict[str, str]:
    """Curve -> class of its colour."""
    plain = [s.name for s in curves if not s.bold]
    alone = len(curves) == 1
    return {s.name: "bold" if s.bold or alone else f"k{plain.index(s.name) % COLOURS}" for s in curves}


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
