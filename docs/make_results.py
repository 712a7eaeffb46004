"""The tables and figures of the pages of results, and the README's table, from the JSON beside those pages:

    python docs/make_results.py

Each table stands in its page between two comments, `<!--table:NAME-->` and `<!--end-->`; what is between them is
replaced. A test compares the pages with the JSON, so that no figure is copied by hand. Nothing is trained or read anew.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import plan_results
import trajectory_results
from benchmark_results import (
    RESULTS,
    benchmark_table,
    labels_table,
    length_table,
    over,
    over_labels,
    percent,
    read,
    rows_of,
)

ROOT = Path(__file__).resolve().parent.parent
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
PHANTOM, ACDC, SKIN = "benchmark_phantom_all", "benchmark_acdc", "benchmark_skin"
ACDC_HOUR = "benchmark_acdc_hour"
ACDC_PLAIN = "benchmark_acdc_plain"  # labelled images are not augmented
ACDC_MEAN_TEACHER = "benchmark_acdc_mean_teacher"  # with re-estimated statistics
ACDC_LABELS = ("benchmark_acdc_labels", "benchmark_acdc_labels_plain")  # 1, 3 and 7 labelled patients
ACDC_LENGTHS = ("benchmark_acdc_length/600", ACDC, "benchmark_acdc_length/7500")  # steps
LA = "benchmark_la"  # reduced
ACDC_SHORT = "benchmark_acdc_3_small_all"  # 600 steps, by an earlier recipe


def atria(root: Path) -> dict[str, str]:
    """Method -> Dice of the seeds of the left atrium's phantom, by the default windows."""
    runs = {row["run"]: row["default"] / 100 for row in read(root, "inference/windows_test.json")["rows"]}
    return {
        method: over([runs[f"phantom3d/seed{seed} {method}"] for seed in (21, 22, 23)])
        for method in ("crossmatch", "supervised")
    }


def atria_table(root: Path) -> list[str]:
    """Supervised learning and CrossMatch on the left atrium's phantom."""
    return ["| method | Dice |", "| --- | --- |", *(f"| `{method}` | {dice} |" for method, dice in atria(root).items())]


def readme_table(root: Path) -> list[str]:
    """The five rows of the README."""
    found, phantom3d = {name: rows_of(root, name) for name in (PHANTOM, ACDC, SKIN, LA)}, atria(root)
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
        cells = (name, dice[PHANTOM], dice[SKIN], phantom3d.get(method, ""), dice[ACDC], dice[LA])
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


TABLES: dict[str, Callable[[Path], list[str]]] = {
    "phantom": lambda root: benchmark_table(root, PHANTOM),
    "acdc": lambda root: benchmark_table(root, ACDC),
    "acdc_hour": lambda root: benchmark_table(root, ACDC_HOUR),
    "acdc_changed": lambda root: benchmark_table(root, ACDC_MEAN_TEACHER, ACDC_PLAIN),
    "acdc_short": lambda root: benchmark_table(root, ACDC_SHORT),
    "skin": lambda root: benchmark_table(root, SKIN),
    "tries": tries_table,
    "plan_methods": plan_results.methods_table,
    "plan_augmented": plan_results.augmented_table,
    "atria": atria_table,
    "acdc_labels": lambda root: labels_table(root, *ACDC_LABELS),
    "acdc_length": lambda root: length_table(root, *ACDC_LENGTHS),
    "la_8": lambda root: benchmark_table(root, LA),
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
    draw_results.labels(over_labels(ROOT, *ACDC_LABELS), ROOT / RESULTS / "labels.png")
    draw_results.minutes(read(ROOT, f"{ACDC}/curves.json"), ROOT / RESULTS / "minutes.png")
    families, below = trajectory_results.panels(ROOT)
    draw_results.trajectories(families, below, ROOT / RESULTS / "trajectory.png")


if __name__ == "__main__":
    main()
