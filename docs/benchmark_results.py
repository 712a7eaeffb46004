"""Tables of benchmarks, from their results.json below docs/results."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path("docs") / "results"
SPACE = "\N{NO-BREAK SPACE}"

Found = dict[str, Any]


def read(root: Path, name: str) -> Found:
    """A JSON file below docs/results."""
    found: Found = json.loads((root / RESULTS / name).read_text(encoding="utf-8"))
    return found


def percent(mean: float, sd: float | None = None) -> str:
    """A fraction as the tables show it.

    >>> percent(0.7951, 0.075), percent(0.5)
    ('79.5\xa0±\xa07.5', '50.0')
    """
    return f"{100 * mean:.1f}" + ("" if sd is None else f"{SPACE}±{SPACE}{100 * sd:.1f}")


def over(values: Sequence[float]) -> str:
    """Mean and standard deviation (ddof 1) of values that are fractions, as the tables show them."""
    return percent(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)


def rows_of(root: Path, benchmark: str) -> list[Found]:
    """The rows of a benchmark, best first."""
    return sorted(read(root, f"{benchmark}/results.json")["rows"], key=lambda row: -float(row["dice"]["mean"]))


def seeds_of(root: Path, benchmark: str) -> dict[tuple[str, str], list[float]]:
    """Method and number of labelled cases -> mean test Dice of each seed, in the order of the seeds."""
    cells = sorted(read(root, f"{benchmark}/results.json")["cells"], key=lambda cell: int(cell["seed"]))
    found: dict[tuple[str, str], list[float]] = {}
    for cell in cells:
        found.setdefault((cell["method"], cell["labelled"]), []).append(cell["mean"]["dice"]["mean"])
    return found


def labels_table(root: Path, benchmark: str) -> list[str]:
    """Dice of each method of a benchmark, a line for each number of labelled cases."""
    found = seeds_of(root, benchmark)
    methods = list(dict.fromkeys(method for method, _ in found))
    methods.sort(key=lambda method: -max(statistics.mean(found[key]) for key in found if key[0] == method))
    lines = [f"| labelled | {' | '.join(f'`{method}`' for method in methods)} |", "| --- " * (len(methods) + 1) + "|"]
    for labelled in sorted({labelled for _, labelled in found}, key=int):
        cells = [over(found[method, labelled]) if (method, labelled) in found else "-" for method in methods]
        lines.append(f"| {labelled} | {' | '.join(cells)} |")
    return lines


def benchmark_table(root: Path, *benchmarks: str) -> list[str]:
    """Every method of one or more benchmarks: scores, minutes, and how sure its place is.

    A row whose recipe was changed by a grid names the change.
    """
    unit = rows_of(root, benchmarks[0])[0]["distance_unit"]
    lines = [
        f"| method | Dice | of each seed | validation | HD95 ({unit}) | minutes | p (Holm) | first (P) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for benchmark in benchmarks:
        single = seeds_of(root, benchmark)
        for row in rows_of(root, benchmark):
            test, distance, left_out = row["test"], row["hd95"]["mean"], row["undefined"]
            shown = "-" if distance is None else f"{distance:.1f}" + (f" ({left_out})" if left_out else "")
            p = "best" if test["best"] else chance(test["p_holm"])
            named = [row["method"], *(f"{key}={value}" for key, value in row["grid"].items())]
            lines.append(
                f"| {', '.join(f'`{name}`' for name in named)} "
                f"| {percent(row['dice']['mean'], row['dice']['sd'])} "
                f"| {', '.join(percent(value) for value in single[row['method'], row['labelled']])} "
                f"| {'-' if (val := row['validation']['mean']) is None else percent(val)} | {shown} "
                f"| {row['training_seconds'] / 60:.1f} | {p} | {chance(test.get('first'))} |"
            )
    return lines


def chance(p: float | None) -> str:
    """A probability."""
    if p is None:
        return "-"
    return f"<{SPACE}0.001" if p < 0.001 else f"{p:.3f}".rstrip("0").rstrip(".")
