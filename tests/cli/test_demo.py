"""The demonstration on a small phantom: it ends with a table and a report, goes on when stopped, repeats nothing."""

import io
import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from crossmatch.cli import demo
from crossmatch.errors import UserError
from crossmatch.phantom.phantom import KINDS, PHANTOMS, make_phantom
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.display import TrainingDisplay

TINY = [
    "data.size=[16, 16]",
    "network.width=4",
    "network.dropout=[0.0, 0.0]",
    "train.steps=4",
    "train.batch={labelled=2, unlabelled=2}",
    "train.validate_every=4",
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demonstration with five cases and four steps."""

    def recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
        return load_recipe(name, [*TINY, *changes])

    def phantom(folder: Path, kind: str, seed: int) -> None:
        make_phantom(folder, kind, train=3, val=1, test=2, seed=seed)

    monkeypatch.setattr(demo, "load_recipe", recipe)
    monkeypatch.setattr(demo, "make_phantom", phantom)


def run(out: Path) -> tuple[dict[str, Any], str]:
    console = Console(file=io.StringIO(), width=100)
    results = demo.run_demo(out, 0, console)
    assert isinstance(console.file, io.StringIO)
    return results, console.file.getvalue()


def times(folder: Path) -> dict[str, int]:
    kinds = ("*.nii.gz", "*.safetensors", "summary.json", "run.json", "dataset.json")
    return {str(path): path.stat().st_mtime_ns for kind in kinds for path in folder.rglob(kind)}


def test_from_nothing_to_a_report_and_nothing_twice(small: None, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    results, text = run(out)
    assert json.loads((out / "demo.json").read_text()) == results
    assert list(results["methods"]) == ["supervised", "crossmatch"]
    for method, scores in results["methods"].items():
        assert list(scores["classes"]) == ["RV", "MYO", "LV"]
        assert scores["dice"] == pytest.approx(sum(scores["classes"].values()) / 3)
        assert len(list((out / method / "test").glob("*.nii.gz"))) == 2
        row = next(line for line in text.splitlines() if line.startswith(f"│ {method} "))
        assert row.split()[-2] == f"{100 * scores['dice']:.1f}"
    for method in results["methods"]:
        assert "<svg" in (out / method / "report.html").read_text()
        made = json.loads((out / method / "test" / "prediction.json").read_text())
        assert all((out / method / "test" / file["path"]).is_file() for [file] in made["scans"].values())
    page = (out / "report.html").read_text()
    assert "<h1>supervised and crossmatch</h1>" in page
    assert "Side by side" in page
    assert f"Report: {out / 'report.html'}" in text
    before = times(out)
    assert len(before) == 6 + 6 + 1 + 2 * (2 + 2 + 1 + 1)  # images, labels, dataset.json, two runs
    again, _ = run(out)
    assert again == results
    assert times(out) == before


@pytest.mark.parametrize("method", ["supervised", "crossmatch"])
def test_ctrl_c_stops_it_and_the_same_command_goes_on(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    step = TrainingDisplay.step

    def press(self: TrainingDisplay, number: int, steps: int, values: dict[str, float]) -> None:
        step(self, number, steps, values)
        if self.name == method and number == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingDisplay, "step", press)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped")
    assert not (tmp_path / "stopped" / method / "test").exists()
    stopped, whole = (run(tmp_path / name)[0]["methods"] for name in ("stopped", "whole"))
    for scores in (*stopped.values(), *whole.values()):
        del scores["seconds"], scores["peak_memory_bytes"]  # what it took is no part of the result
    assert stopped == whole


def test_ctrl_c_while_predicting(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict: Callable[..., Any] = demo.predict

    def press(*args: Any, progress: Callable[[int, int], None], **options: Any) -> Any:
        def stop(done: int, total: int) -> None:
            if done == 1:
                raise KeyboardInterrupt

        return predict(*args, progress=stop, **options)

    with monkeypatch.context() as patch:
        patch.setattr(demo, "predict", press)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "demo")
    first = tmp_path / "demo" / "supervised" / "test" / "test000.nii.gz"
    made = first.stat().st_mtime_ns
    run(tmp_path / "demo")
    assert first.stat().st_mtime_ns == made, "what was predicted is kept"
    assert len(list((tmp_path / "demo" / "supervised" / "test").glob("*.nii.gz"))) == 2


def test_a_recipe_without_a_demonstration_lists_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'acdc_3': choose phantom or phantom3d or skin"):
        demo.run_demo(tmp_path / "out", 0, Console(), "acdc_3")
    assert not (tmp_path / "out").exists()
    assert set(PHANTOMS.values()) == set(KINDS)


def test_the_phantom_of_another_recipe_is_not_taken_for_its_own(small: None, tmp_path: Path) -> None:
    make_phantom(tmp_path / "out" / "data", "atrium", train=4, val=0, test=1)
    with pytest.raises(UserError, match=r"--recipe phantom is shown on"):
        demo.run_demo(tmp_path / "out", 0, Console())
    assert not (tmp_path / "out" / "supervised").exists()
