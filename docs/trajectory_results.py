"""The tables of docs/results/trajectory.md, from the JSON of `speed/trajectory.py`.

Families of runs of one setting are compared by the exact two-sided rank-sum test: the share of all ways to divide the
runs into two families of these sizes whose sum of ranks lies as far from its mean as the one that was seen.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import rankdata

Found = dict[str, Any]
FAMILIES = {"s64_code": "released code", "s64_released": "ours, released grouping", "s64_lean": "ours, lean"}
NEVER = 401  # for ranks: later than the last step
MEASURES = {
    "leaves": "step of leaving",
    "area": "area under the term",
    "validation": "validation Dice",
    "validation_recalibrated": "validation Dice, statistics re-estimated",
}


def read_runs(root: Path) -> dict[str, list[Found]]:
    """Family -> its runs, of the families that were run."""
    files = {name: root / "docs/results/trajectory" / f"{name}.json" for name in FAMILIES}
    return {name: json.loads(path.read_text())["runs"] for name, path in files.items() if path.is_file()}


def value(run: Found, measure: str) -> float:
    """A measure of a run, by which it is ranked."""
    found = run[measure]["mean"] if measure.startswith("validation") else run[measure]
    return NEVER if found is None else float(found)


def rank_sum(first: Sequence[float], second: Sequence[float]) -> float:
    """The exact two-sided p of the rank-sum test; equal values share their ranks.

    >>> rank_sum([1, 2, 3], [4, 5, 6])
    0.1
    """
    ranks = rankdata([*first, *second])
    mean = ranks.sum() * len(first) / len(ranks)
    seen = abs(ranks[: len(first)].sum() - mean) - 1e-9
    sums = [abs(sum(part) - mean) >= seen for part in itertools.combinations(ranks.tolist(), len(first))]
    return sum(sums) / len(sums)


def shown(runs: Sequence[Found], measure: str) -> str:
    """Median, smallest and largest."""
    values = sorted(value(run, measure) for run in runs)
    middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
    scale, form = (100, ".1f") if measure.startswith("validation") else (1, ".0f" if measure == "leaves" else ".3f")
    texts = [
        f"over {NEVER - 1}" if measure == "leaves" and one > NEVER - 1 else format(scale * one, form)
        for one in (middle, values[0], values[-1])
    ]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"


def families_table(root: Path) -> list[str]:
    """What each family shows."""
    names = [name for measure, name in MEASURES.items() if measure != "leaves"]
    lines = [f"| family | runs | left by step {NEVER - 1} | step of leaving | {' | '.join(names)} |"]
    lines.append("| --- " * (4 + len(names)) + "|")
    for name, runs in read_runs(root).items():
        left = sum(run["leaves"] is not None for run in runs)
        cells = [FAMILIES[name], str(len(runs)), str(left), *(shown(runs, measure) for measure in MEASURES)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def tests_table(root: Path) -> list[str]:
    """Exact p of each pair of families."""
    lines = [f"| families | {' | '.join(MEASURES.values())} |", "| --- " * (1 + len(MEASURES)) + "|"]
    for (one, first), (other, second) in itertools.combinations(read_runs(root).items(), 2):
        values = [[[value(run, measure) for run in runs] for runs in (first, second)] for measure in MEASURES]
        cells = [f"{FAMILIES[one]}; {FAMILIES[other]}", *(f"{rank_sum(*pair):.3f}" for pair in values)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def seeds_table(root: Path) -> list[str]:
    """Every run."""
    lines = ["| family | seed | leaves | area | Dice | re-estimated |", "| --- " * 6 + "|"]
    for name, runs in read_runs(root).items():
        for run in runs:
            left = "never" if run["leaves"] is None else run["leaves"]
            dice = [f"{100 * value(run, measure):.1f}" for measure in ("validation", "validation_recalibrated")]
            lines.append(f"| {FAMILIES[name]} | {run['seed']} | {left} | {run['area']:.3f} | {' | '.join(dice)} |")
    return lines
