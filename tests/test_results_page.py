"""The pages of results agree with the JSON beside them, and figures can be made."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch):
    """docs/make_results.py as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location("make_results", ROOT / "docs" / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in ("draw_results", "trajectory_results", "benchmark_results", "plan_results"):
        sys.modules.pop(name, None)


def test_every_table_is_that_of_the_json(pages):
    for page in pages.PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert pages.filled(text, ROOT) == text, f"{page}: run `python docs/make_results.py`"
        assert "<!--table:" in text


def test_a_figure_changed_by_hand_is_found(pages):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| CrossMatch |")]
    assert pages.filled(text.replace(row, row.replace(".", "9", 1)), ROOT) == text


def test_how_figures_are_shown(pages):
    import benchmark_results as tables

    assert tables.over([0.8, 0.9]) == "85.0 ± 7.1".replace(" ", tables.SPACE)
    assert tables.over([0.8]) == "80.0"
    assert [tables.chance(p) for p in (None, 0.25, 1.0)] == ["-", "0.25", "1"]
    assert tables.chance(0.0002) == tables.chance(0) == f"<{tables.SPACE}0.001"


def test_distances_say_how_many_cases_they_leave_out(pages):
    rows = {row["method"]: row for row in pages.rows_of(ROOT, pages.ACDC_SHORT)}
    lines = [line.split(" | ") for line in pages.benchmark_table(ROOT, pages.ACDC_SHORT)[2:]]
    shown = {line[0].strip("| `"): line[4] for line in lines}
    assert shown["unimatch"] == f"{rows['unimatch']['hd95']['mean']:.1f}"
    assert shown["bcp"] == f"{rows['bcp']['hd95']['mean']:.1f} (8)"  # of 40, which are among its worst


def test_families_of_runs_are_compared_exactly(pages):
    """By counting: 1 of the 3 ways to choose one of three runs is as far out as the first or the last."""
    import trajectory_results as page

    assert page.rank_sum([1.0], [2.0, 3.0]) == pytest.approx(2 / 3)
    assert page.rank_sum([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(2 / 70)
    assert page.rank_sum([1, 4, 5, 8], [2, 3, 6, 7]) == 1
    assert page.rank_sum([401, 401], [401, 401]) == 1
    found = [(None, 0.72), (200, 0.6), (180, 0.61)]
    runs = [{"leaves": step, "area": area, "steps": 400} for step, area in found]
    assert page.shown(runs, "leaves") == "200 (180 to over 400)"
    assert page.shown(runs, "area") == "0.610 (0.600 to 0.720)"


def test_names_in_a_figure_do_not_cover_each_other(pages):
    from matplotlib.figure import Figure

    import draw_results

    figure = Figure()
    axes = figure.subplots()
    points = [(0.5, 0.5), (0.5, 0.51), (0.51, 0.5)]
    axes.plot(*zip(*points, strict=True), "o")
    figure.draw_without_rendering()
    boxes = []
    for point in points:
        boxes.append(draw_results._name(axes, "method", point, "black", boxes))
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    assert len(axes.texts) == len(points)


def test_the_curves_end_where_the_table_of_validation_stands(pages):
    """The last point of each run is the validation Dice that its cell of the table has."""
    cells = {
        (cell["method"], int(cell["seed"])): cell for cell in pages.read(ROOT, f"{pages.ACDC}/results.json")["cells"]
    }
    curves = pages.read(ROOT, f"{pages.ACDC}/curves.json")
    assert {run["method"] for run in curves} == {method for method, _ in cells}
    for run in curves:
        training, last = cells[run["method"], run["seed"]]["training"], run["validation"][-1]
        assert last["dice"] == pytest.approx(training["validation_dice"], abs=1e-5)
        assert last["minutes"] == pytest.approx(training["seconds"] / 60, rel=0.05)


def test_all_figures_are_drawn_alike_twice(pages, tmp_path: Path):
    import draw_results

    found = pages.read(ROOT, f"{pages.SKIN}/results.json")
    seconds = pages.read(ROOT, "performance/methods.json")["cpu_seconds"]
    curves = pages.read(ROOT, f"{pages.ACDC}/curves.json")
    families = {"a": [{"ip1": [0.75, 0.7, 0.6]}], "b": []}
    for name, draw in (
        ("strips", lambda path: draw_results.strips(found, path)),
        ("cost", lambda path: draw_results.cost(found["rows"], seconds, path)),
        ("minutes", lambda path: draw_results.minutes(curves, path)),
        ("labels", lambda path: draw_results.labels({"`a`": {1: [0.5, 0.6], 3: [0.8]}, "`b`": {3: [0.7]}}, path)),
        ("curves", lambda path: draw_results.trajectories(families, {"a": 0.7}, path)),
    ):
        first, second = tmp_path / f"{name}1.png", tmp_path / f"{name}2.png"
        draw(first), draw(second)
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size > 5_000
