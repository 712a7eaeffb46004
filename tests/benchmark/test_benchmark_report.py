"""The files of a benchmark: all there, replaced whole, nothing written where there is nothing to say."""

import json
from pathlib import Path
from typing import Any

from finished import cases, result
from rich.console import Console

from crossmatch.benchmark.report import write_results

ABOUT: dict[str, Any] = {
    "recipe": "small[1]",
    "recipe_settings": {"seed": 0},
    "recipe_remarks": ["Half of the filters."],
    "choice": {"seeds": [0]},
}
MISSING = ["c: [failed]", "d: not finished"]


def test_files_and_terminal(tmp_path: Path) -> None:
    console = Console(width=100)
    results = [result("a", cases(0.9, 0.8)), result("b", cases(0.7, 0.75))]
    with console.capture() as capture:
        write_results(tmp_path / "out", results, MISSING, console, ABOUT)
    names = ["results.csv", "results.json", "results.md", "results.png", "results.svg"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    text = (tmp_path / "out" / "results.md").read_text()
    made = "100 steps; recipe as it is; commit 0123456789ab."
    assert text.startswith(f"# Recipe small[1] on Blocks\n\n{made}\n\n| Labels |")
    assert "What the recipe says of itself:\n\n- Half of the filters.\n" in text
    assert text.endswith("\n\nNot in the table (2):\n\n- c: [failed]\n- d: not finished\n")
    assert "(results.png)" in text
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(stored["cells"]) == 2
    assert stored["methods"] == {name: {"name": name, "threshold": 0.5} for name in ("a", "b")}
    assert {key: stored[key] for key in ABOUT} == ABOUT
    assert stored["missing"] == MISSING
    assert not any("failed" in sentence for sentence in stored["notes"])
    shown = capture.get()
    assert "small[1] on Blocks" in shown
    assert shown.endswith("\nNot in the table (2):\n- c: [failed]\n- d: not finished\n")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names}
    with console.capture():
        write_results(tmp_path / "out", results, MISSING, console, ABOUT)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names} == before


def test_without_missing_cells_nothing_is_said_of_them(tmp_path: Path) -> None:
    console = Console(width=100)
    with console.capture() as capture:
        write_results(tmp_path, [result("a", cases(0.9))], [], console, ABOUT)
    assert "Not in the table" not in capture.get() + (tmp_path / "results.md").read_text()


def test_many_missing_cells_do_not_push_the_table_away(tmp_path: Path) -> None:
    console = Console(width=100)
    many = [f"cell {n}" for n in range(13)]
    with console.capture() as capture:
        write_results(tmp_path, [result("a", cases(0.9))], many, console, ABOUT)
    assert capture.get().endswith("- cell 9\n- 3 more: see results.md\n")
    assert (tmp_path / "results.md").read_text().endswith("- cell 11\n- cell 12\n")
