"""The tables and figures of the pages of results, and the README's table, from the JSON beside those pages:

    python docs/make_results.py

Each table stands in its page between two comments, `<!--table:NAME-->` and `<!--end-->`; what is between them is
replaced. A test compares the pages with the JSON, so that no figure is copied by hand. Nothing is trained or read anew.
"""

import json
import re
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trajectory_results

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path("docs") / "results"
PAGES = (
    RESULTS / "index.md",
    RESULTS / "archive.md",
    RESULTS / "trajectory.md",
    Path("docs") / "plan.md",
    Path("README.md"),
)
NAMES = {
    "crossmatch": "CrossMatch",
    "unimatch": "UniMatch",
    "self_distillation": "self-distillation",
    "supervised_strong": "strong augmentation",
    "supervised": "supervised",
}
SPACE = "\N{NO-BREAK SPACE}"
PHANTOM, ACDC, SKIN = "benchmark_phantom_all", "benchmark_acdc", "benchmark_skin"
ACDC_HOUR, ACDC_PLAIN = "benchmark_acdc_hour", "benchmark_acdc_plain"  # plain: labelled images are not augmented
ACDC_SHORT = "benchmark_acdc_3_small_all"  # 600 steps, by an earlier recipe
PLAIN = " views.augment.labelled=false"
AUGMENTED = {
    "method.name=crossmatch" + PLAIN: "CrossMatch, without augmentation",
    "method.name=crossmatch": "CrossMatch, with it",
    "method.name=unimatch" + PLAIN: "UniMatch, without",
}
PLANNED = {"": "UniMatch", "method.name=crossmatch": "CrossMatch"}

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


def seeds_of(root: Path, benchmark: str) -> dict[str, list[float]]:
    """Method -> mean test Dice of each seed, in the order of the seeds."""
    cells = sorted(read(root, f"{benchmark}/results.json")["cells"], key=lambda cell: int(cell["seed"]))
    found: dict[str, list[float]] = {}
    for cell in cells:
        found.setdefault(cell["method"], []).append(cell["mean"]["dice"]["mean"])
    return found


def benchmark_table(root: Path, benchmark: str) -> list[str]:
    """Every method of a benchmark: scores, minutes, and how sure its place is."""
    rows, single = rows_of(root, benchmark), seeds_of(root, benchmark)
    unit = rows[0]["distance_unit"]
    lines = [
        f"| method | Dice | of each seed | validation | HD95 ({unit}) | minutes | p (Holm) | first (P) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        test, distance, left_out = row["test"], row["hd95"]["mean"], row["undefined"]
        shown = "-" if distance is None else f"{distance:.1f}" + (f" ({left_out})" if left_out else "")
        p = "best" if test["best"] else _chance(test["p_holm"])
        lines.append(
            f"| `{row['method']}` | {percent(row['dice']['mean'], row['dice']['sd'])} "
            f"| {', '.join(percent(value) for value in single[row['method']])} "
            f"| {percent(row['validation']['mean'])} | {shown} "
            f"| {row['training_seconds'] / 60:.1f} | {p} | {_chance(test.get('first'))} |"
        )
    return lines


def _chance(p: float | None) -> str:
    """A probability."""
    if p is None:
        return "-"
    return f"<{SPACE}0.001" if p < 0.001 else f"{p:.3f}".rstrip("0").rstrip(".")


def three_d(root: Path) -> dict[str, dict[str, str]]:
    """Method -> Dice of the 3D phantom's seeds, and of LA, by the default windows."""
    runs = {row["run"]: row["default"] / 100 for row in read(root, "inference/windows_test.json")["rows"]}
    return {
        method: {
            "phantom": over([runs[f"phantom3d/seed{seed} {method}"] for seed in (21, 22, 23)]),
            "la": percent(runs[f"la_8_small/{method}"]),
        }
        for method in ("crossmatch", "supervised")
    }


def three_d_table(root: Path) -> list[str]:
    """Supervised learning and CrossMatch in 3D."""
    found = three_d(root)
    lines = ["| method | phantom of the left atrium | LA, reduced |", "| --- | --- | --- |"]
    return lines + [f"| `{method}` | {row['phantom']} | {row['la']} |" for method, row in found.items()]


def readme_table(root: Path) -> list[str]:
    """The five rows of the README."""
    found, volumes = {name: rows_of(root, name) for name in (PHANTOM, ACDC, SKIN)}, three_d(root)
    found[ACDC] += rows_of(root, ACDC_PLAIN)
    lines = [
        "| method | phantom, 2 of 24 | skin phantom, 5 of 100 | 3D phantom, 4 of 24 | ACDC, 3 of 70 | LA, 8 of 80 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for method, name in NAMES.items():
        dice = {
            benchmark: next(
                (percent(row["dice"]["mean"], row["dice"]["sd"]) for row in rows if row["method"] == method), ""
            )
            for benchmark, rows in found.items()
        }
        volume = volumes.get(method, {"phantom": "", "la": ""})
        cells = (name, dice[PHANTOM], dice[SKIN], volume["phantom"], dice[ACDC], volume["la"])
        lines.append("|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|")
    return lines


def tries_table(root: Path) -> list[str]:
    """What was tried for a better reduced recipe, on validation cases."""
    lines = ["| change | expected | steps | seeds | validation Dice before | after | kept |", "| --- " * 7 + "|"]
    for row in read(root, "acdc_3_small/tries.json")["tries"]:
        dice = [", ".join(percent(value) for value in row[when].values()) for when in ("before", "after")]
        cells = (row["change"], row["expected"], str(row["steps"]), ", ".join(row["after"]), *dice, row["kept"])
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def stability_table(root: Path, columns: dict[str, str], *, earlier: bool) -> list[str]:
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


TABLES: dict[str, Callable[[Path], list[str]]] = {
    "phantom": lambda root: benchmark_table(root, PHANTOM),
    "acdc": lambda root: benchmark_table(root, ACDC),
    "acdc_hour": lambda root: benchmark_table(root, ACDC_HOUR),
    "acdc_plain": lambda root: benchmark_table(root, ACDC_PLAIN),
    "acdc_short": lambda root: benchmark_table(root, ACDC_SHORT),
    "skin": lambda root: benchmark_table(root, SKIN),
    "tries": tries_table,
    "plan_methods": partial(stability_table, columns=PLANNED, earlier=False),
    "plan_augmented": partial(stability_table, columns=AUGMENTED, earlier=True),
    "3d": three_d_table,
    "readme": readme_table,
    "seeds": trajectory_results.seeds_table,
    **{name: partial(trajectory_results.families_table, setting=name) for name in trajectory_results.SETTINGS},
    **{f"{name}_tests": partial(trajectory_results.tests_table, setting=name) for name in trajectory_results.SETTINGS},
}


def filled(text: str, root: Path) -> str:
    """A page with all its tables made anew.

    Raises:
        KeyError: it names a table that is not in `TABLES`.
    """

    def table(found: re.Match[str]) -> str:
        return f"<!--table:{found[1]}-->\n\n" + "\n".join(TABLES[found[1]](root)) + "\n\n<!--end-->"

    return re.sub(r"<!--table:(\w+)-->\n.*?<!--end-->", table, text, flags=re.S)


def main() -> None:
    """Write tables and figures."""
    import draw_results

    for page in PAGES:
        path = ROOT / page
        path.write_text(filled(path.read_text(encoding="utf-8"), ROOT), encoding="utf-8")
    draw_results.strips(read(ROOT, f"{PHANTOM}/results.json"), ROOT / RESULTS / "strips.png")
    seconds = read(ROOT, "performance/methods.json")["cpu_seconds"]
    draw_results.cost(rows_of(ROOT, PHANTOM), seconds, ROOT / RESULTS / "cost.png")
    draw_results.strips(read(ROOT, f"{ACDC}/results.json"), ROOT / RESULTS / "strips_acdc.png")
    draw_results.minutes(read(ROOT, f"{ACDC}/curves.json"), ROOT / RESULTS / "minutes.png")
    families, below = trajectory_results.panels(ROOT)
    draw_results.trajectories(families, below, ROOT / RESULTS / "trajectory.png")


if __name__ == "__main__":
    main()
