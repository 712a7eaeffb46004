"""The files of a benchmark: all there, replaced whole, nothing written where there is nothing to say."""

import json
from pathlib import Path
from typing import Any

import pytest
from finished import cases, result
from rich.console import Console

from crossmatch.benchmark.report import write_results
from crossmatch.errors import UserError

ABOUT: dict[str, Any] = {"recipe": "small[1]", "recipe_settings": {}, "commands": []}


def test_files_and_terminal(tmp_path: Path) -> None:
    console = Console(width=100)
    results = [result("a", cases(0.9, 0.8)), result("b", cases(0.7, 0.75))]
    with console.capture() as capture:
        write_results(tmp_path / "out", results, ["c: [failed]"], console, ABOUT)
    names = ["results.csv", "results.json", "results.md", "results.png", "results.svg"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    text = (tmp_path / "out" / "results.md").read_text()
    assert text.startswith("# small[1] on Blocks\n\n| Labels |")
    assert "- Failed or missing (1), not in the table: c: [failed].\n" in text
    assert "(results.png)" in text
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())["cells"]) == 2
    shown = capture.get()
    assert "small[1] on Blocks" in shown
    assert "c: [failed]" in shown
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names}
    write_results(tmp_path / "out", results, ["c: [failed]"], None, ABOUT)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names} == before


def test_no_finished_cell(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No cell of the benchmark in .* is finished: a: failed; b: failed"):
        write_results(tmp_path / "out", [], ["a: failed", "b: failed"], None, ABOUT)
    assert not (tmp_path / "out").exists()
