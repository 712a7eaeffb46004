"""Axes of small drawings: where a value lies, round numbers for ticks, numbers short enough to read."""

import math
from dataclasses import dataclass
from html import escape

HEIGHT = 190  # of a panel, in SVG units
RIGHT, TOP, BOTTOM = 14, 10, 24  # margins around the axes
LEAST_LEFT, DIGIT = 30, 6.3  # the margin for short numbers; the width of a character of 11 pixels


@dataclass(frozen=True)
class Axes:
    """Steps from 0 to `last` across, values from `low` to `high` upwards, in a panel of `width` SVG units."""

    width: int
    last: int
    low: float
    high: float

    @property
    def left(self) -> float:
        """The margin that the numbers need."""
        return max(LEAST_LEFT, 10 + DIGIT * max(len(number(value)) for value in ticks(self.low, self.high)))

    def x(self, step: float) -> float:
        """Pixels from the left."""
        return self.left + (self.width - self.left - RIGHT) * step / max(self.last, 1)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        span = self.high - self.low
        share = (self.high - value) / span if 0 < span < math.inf else 0.5  # what no float tells apart lies half-way
        return TOP + (HEIGHT - TOP - BOTTOM) * share

    def svg(self) -> str:
        """Grid lines and numbers."""
        left, right, bottom = f"{self.left:.1f}", self.width - RIGHT, HEIGHT - BOTTOM
        parts = []
        for value in ticks(self.low, self.high):
            y = f"{self.y(value):.1f}"
            parts.append(f'<path class="grid" d="M{left} {y}H{right}"/>')
            parts.append(f'<text class="y" x="{self.left - 6:.1f}" y="{y}">{number(value)}</text>')
        for step in ticks(0, max(self.last, 1), 6 if self.width > 2 * HEIGHT else 4, inside=True):
            half = DIGIT * len(f"{step:,.0f}") / 2
            x = min(self.x(step), self.width - half)  # the last number stays inside
            parts.append(f'<text class="x" x="{x:.1f}" y="{bottom + 16}">{step:,.0f}</text>')
        return "".join(parts) + f'<path class="axis" d="M{left} {bottom}H{right}"/>'

    def path(self, name: str, points: list[tuple[int, float]], colour: str) -> str:
        """A curve of (step, value); undefined values are gaps, a value alone between gaps is a dot."""
        pieces, dots, run = [], [], []
        for step, value in [*points, (0, math.nan)]:
            if math.isfinite(value):
                run.append(f"{self.x(step):.1f} {self.y(value):.1f}")
            elif run:
                pieces.append("M" + "L".join(run)) if len(run) > 1 else dots.append(f"M{run[0]}h0")
                run = []
        title = f"<title>{escape(name)}</title>"
        lines = f'<path class="line {colour}" d="{"".join(pieces)}">{title}</path>' if pieces else ""
        return lines + (f'<path class="dots {colour}" d="{"".join(dots)}">{title}</path>' if dots else "")

    def dot(self, step: int, value: float, title: str) -> str:
        """A mark on a curve."""
        place = f'cx="{self.x(step):.1f}" cy="{self.y(value):.1f}" r="3.5"'
        return f'<circle class="mark" {place}><title>{title}</title></circle>'


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
