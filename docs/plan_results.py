"""The tables of docs/plan.md, from the JSON of `speed/stability.py`."""

import re
from collections.abc import Sequence
from pathlib import Path

from benchmark_results import Found, percent, read

PLAIN = " views.augment.labelled=false"
AUGMENTED = {
    "method.name=crossmatch" + PLAIN: "CrossMatch, without augmentation",
    "method.name=crossmatch": "CrossMatch, with it",
    "method.name=unimatch" + PLAIN: "UniMatch, without",
}
PLANNED = {"": "UniMatch", "method.name=crossmatch": "CrossMatch"}


def methods_table(root: Path) -> list[str]:
    """CrossMatch and UniMatch by today's plans."""
    return _table(root, PLANNED, earlier=False)


def augmented_table(root: Path) -> list[str]:
    """Plans with and without augmented labelled images, by the warm-up of their day."""
    return _table(root, AUGMENTED, earlier=True)


def _table(root: Path, columns: dict[str, str], *, earlier: bool) -> list[str]:
    """Short planned trainings: validation Dice after the last step, and the best before where that is far higher."""
    runs = [run for run in read(root, "plan/stability.json")["runs"] if run.get("earlier", False) == earlier]
    runs = [run for run in runs if run["level"] == "least"]
    lines = [f"| data | {' | '.join(columns.values())} |", "| --- " * (len(columns) + 1) + "|"]
    for kind in dict.fromkeys(_kind(run) for run in runs):
        shown = []
        for change in columns:
            found = [run for run in runs if (_kind(run), run["change"]) == (kind, change)]
            found.sort(key=lambda run: (run["scans"], run["seed"]))
            shown.append(", ".join(f"{_drawn(run)}: {_end(run['validation_dice'])}" for run in found))
        lines.append(f"| {kind} | {' | '.join(shown)} |")
    return lines


def _kind(run: Found) -> str:
    return f"{run['scans'].rstrip('0123456789')}, {run['labelled']} labelled"


def _drawn(run: Found) -> str:
    number = re.search(r"\d+$", run["scans"])
    return f"phantom {number[0]}" if number else f"seed {run['seed']}"


def _end(curve: Sequence[Sequence[float]]) -> str:
    last, best = curve[-1][1], max(value for _, value in curve)
    return percent(last) + (f" (was {percent(best)})" if best - last > 0.05 else "")
