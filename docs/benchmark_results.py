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


def over_labels(root: Path, *benchmarks: str) -> dict[str, dict[int, list[float]]]:
    """Method -> number of labelled cases -> mean test Dice of each seed; the method with the highest Dice first.

    A method whose recipe was changed by a grid names the change.
    """
    found: dict[str, dict[int, list[float]]] = {}
    for benchmark in benchmarks:
        seeds = seeds_of(root, benchmark)
        for row in rows_of(root, benchmark):
            dice = seeds[row["method"], row["labelled"]]
            found.setdefault(named(row), {})[int(row["labelled"])] = dice
    return dict(sorted(found.items(), key=lambda item: -max(statistics.mean(dice) for dice in item[1].values())))


def named(row: Found) -> str:
    """A row's method, and what a grid changed of its recipe."""
    return ", ".join(f"`{name}`" for name in (row["method"], *(f"{key}={value}" for key, value in row["grid"].items())))


def labels_table(root: Path, *benchmarks: str) -> list[str]:
    """Dice of each method of the benchmarks, a line for each number of labelled cases."""
    found = over_labels(root, *benchmarks)
    lines = [f"| labelled | {' | '.join(found)} |", "| --- " * (len(found) + 1) + "|"]
    for labelled in sorted({labelled for dice in found.values() for labelled in dice}):
        cells = [over(dice[labelled]) if labelled in dice else "-" for dice in found.values()]
        lines.append(f"| {labelled} | {' | '.join(cells)} |")
    return lines


def length_table(root: Path, *benchmarks: str) -> list[str]:
    """CrossMatch with seed 0 after runs of different lengths, the shortest first."""
    cells = [cell for benchmark in benchmarks for cell in read(root, f"{benchmark}/results.json")["cells"]]
    found = [cell for cell in cells if cell["method"] == "crossmatch" and int(cell["seed"]) == 0]
    lines = ["| steps | Dice | validation | HD95 (voxels) |", "| --- | --- | --- | --- |"]
    for cell in sorted(found, key=lambda cell: int(cell["step"])):
        dice, distance = cell["mean"]["dice"]["mean"], cell["mean"]["hd95_voxels"]["mean"]
        validation = percent(cell["training"]["validation_dice"])
        lines.append(f"| {cell['step']:,} | {percent(dice)} | {validation} | {distance:.1f} |")
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
            lines.append(
                f"| {named(row)} "
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
