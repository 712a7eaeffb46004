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
FAMILIES = {"code": "released code", "released": "ours, released grouping", "lean": "ours, lean"}
SETTINGS = {"s64": "64 x 64", "s128": "128 x 128", "la": "LA"}
MEASURES = {
    "leaves": "step of leaving",
    "area": "area under the term",
    "validation": "validation Dice",
    "validation_recalibrated": "validation Dice, statistics re-estimated",
}
OF_SETTING = {"la": list(MEASURES)[1:]}  # with one class of foreground there is no plateau
PLATEAU = 0.7  # below it a run on ACDC has left its plateau (`BELOW` of speed/trajectory.py)


def read_runs(root: Path, setting: str) -> dict[str, list[Found]]:
    """Family -> its runs, of the families that were run."""
    files = {name: root / "docs/results/trajectory" / f"{setting}_{family}.json" for family, name in FAMILIES.items()}
    return {name: json.loads(path.read_text())["runs"] for name, path in files.items() if path.is_file()}


def value(run: Found, measure: str) -> float:
    """A measure of a run, by which it is ranked; a run that never leaves comes after its last step."""
    found = run[measure]["mean"] if measure.startswith("validation") else run[measure]
    return run["steps"] + 1 if found is None else float(found)


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
    last = runs[0]["steps"]
    texts = [
        f"over {last}" if measure == "leaves" and one > last else format(scale * one, form)
        for one in (middle, values[0], values[-1])
    ]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"


def families_table(root: Path, setting: str) -> list[str]:
    """What each family of a setting shows."""
    measures = OF_SETTING.get(setting, list(MEASURES))
    names = [MEASURES[measure] for measure in measures]
    if "leaves" in measures:
        names[0] = f"left | {names[0]}"
    lines = [f"| trained with | runs | {' | '.join(names)} |"]
    lines.append("| --- " * lines[0].count(" | ") + "| --- |")
    for name, runs in read_runs(root, setting).items():
        cells = [name, str(len(runs)), *(shown(runs, measure) for measure in measures)]
        if "leaves" in measures:
            cells.insert(2, str(sum(run["leaves"] is not None for run in runs)))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def tests_table(root: Path, setting: str) -> list[str]:
    """Exact p of each pair of families of a setting."""
    measures = OF_SETTING.get(setting, list(MEASURES))
    lines = [f"| compared | {' | '.join(MEASURES[measure] for measure in measures)} |"]
    lines.append("| --- " * (1 + len(measures)) + "|")
    for (one, first), (other, second) in itertools.combinations(read_runs(root, setting).items(), 2):
        values = [[[value(run, measure) for run in runs] for runs in (first, second)] for measure in measures]
        lines.append(f"| {' | '.join([f'{one}; {other}', *(f'{rank_sum(*pair):.3f}' for pair in values)])} |")
    return lines


def seeds_table(root: Path) -> list[str]:
    """Every run."""
    lines = ["| setting | trained with | seed | leaves | area | Dice | re-estimated |", "| --- " * 7 + "|"]
    for setting, said in SETTINGS.items():
        for name, runs in read_runs(root, setting).items():
            for run in runs:
                left = "never" if run["leaves"] is None else run["leaves"]
                left = "-" if setting in OF_SETTING else left
                dice = [f"{100 * value(run, measure):.1f}" for measure in ("validation", "validation_recalibrated")]
                cells = [said, name, run["seed"], left, f"{run['area']:.3f}", *dice]
                lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def panels(root: Path) -> tuple[dict[str, list[Found]], dict[str, float]]:
    """What the figure shows: title -> runs, and title -> the value below which a run has left its plateau."""
    families = {
        (setting, f"{said}: {name}"): runs
        for setting, said in SETTINGS.items()
        for name, runs in read_runs(root, setting).items()
    }
    below = {title: PLATEAU for setting, title in families if setting not in OF_SETTING}
    return {title: runs for (_, title), runs in families.items()}, below
