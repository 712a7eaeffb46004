"""The pages are true: their Python runs, their commands and settings exist, their links lead somewhere."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

import crossmatch
from crossmatch.cli.app import app
from crossmatch.methods import METHODS
from crossmatch.recipes import load_recipe, recipe_names
from untrained import untrained_run

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PYTHON = [
    pytest.param(block, id=f"{page.name}-{n}")
    for page in PAGES
    for n, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S))
]


def code(page: Path) -> Iterator[str]:
    """Every line of code in a page: fenced ones, continued ones in one, and spans between backticks."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.M | re.S):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines())
    yield from re.findall(r"`([^`\n]+)`", text)


COMMANDS = sorted({line for page in PAGES for line in code(page) if line.startswith("crossmatch ")})
PROGRAMS = sorted({line for page in PAGES for line in code(page) if re.search(r"python (speed|docs)/", line)})


@pytest.fixture
def demonstration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what `make demo` leaves, small."""
    data = tmp_path / "demo" / "data"
    crossmatch.phantom.make_phantom(data, train=3, val=1, test=1)
    crossmatch.check(data, progress=False)
    untrained_run(tmp_path / "demo" / "crossmatch", data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", PYTHON)
def test_python_in_the_docs_runs(block: str, demonstration: Path) -> None:
    shorter = block.replace("train__steps=100", "train__steps=1, train__batch__labelled=1, train__batch__unlabelled=1")
    exec(compile(shorter, "docs", "exec"), {})


def test_the_picture_of_the_readme_can_be_made(demonstration: Path) -> None:
    demo = demonstration / "demo"
    for method in ("supervised", "crossmatch"):
        crossmatch.load(demo / "crossmatch").predict_files(demo / "data/imagesTs", demo / method / "test")
    cases = {"supervised": {"cases": {"test000": 0.1}}, "crossmatch": {"cases": {"test000": 0.2}}}
    (demo / "demo.json").write_text(str({"methods": cases}).replace("'", '"'))
    program("docs/make_overview.py").main(demo, demonstration / "overview.png")
    assert (demonstration / "overview.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_in_the_docs_exist(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known, line
    if isinstance(command, TyperCommand) and command.name in ("train", "benchmark") and words:
        settings_exist(words)


def settings_exist(words: list[str]) -> None:
    """The recipe and settings of a command line can be read. GRID and the like stand for something else."""
    recipe = words[0]
    if recipe in recipe_names():
        changes = [value for option, value in pairwise(words) if option in ("--set", "--grid")]
        known = [change.split(",")[0] if "[" not in change else change for change in changes if "." in change]
        load_recipe(recipe, [change for change in known if "key=" not in change and "..." not in change])
    else:
        assert re.fullmatch(r"[A-Z]+|auto|(mine|plan)\.toml|\.\.\.|--(resume|from)", recipe), recipe


@pytest.mark.parametrize("line", PROGRAMS)
def test_programs_in_the_docs_exist(line: str) -> None:
    words = shlex.split(line, comments=True)
    path = ROOT / words[words.index("python") + 1]
    source = "".join(file.read_text(encoding="utf-8") for file in path.parent.glob("*.py"))
    assert path.is_file(), line
    assert all(f'"{word}"' in source for word in words if word.startswith("--")), line


def test_programs_that_measure_can_be_started() -> None:
    """Each is imported, in a process of its own, and finds all that it takes from the package."""
    names = sorted(path.stem for path in (ROOT / "speed").glob("*.py"))
    assert "step" in names
    words = [sys.executable, "-c", f"import {', '.join(names)}"]
    done = subprocess.run(words, cwd=ROOT / "speed", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_method_has_a_line() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/methods.md").read_text(encoding="utf-8"), re.M)
    assert rows == list(METHODS)


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_is_one_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) < 700
    assert text.index("![") < text.index("\n## ")  # a picture before the first heading
    assert "not a medical device" in text.replace("\n", " ")


def test_the_citation_names_this_version() -> None:
    assert f"\nversion: {crossmatch.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_every_setting_says_what_it_means() -> None:
    rows = [row for group in program("docs/_ext/settings_page.py").groups() for row in group.rows]
    assert {"train.steps", "method.eta", "network.width", "views.cutmix.share"} <= {row.key for row in rows}
    assert [row.key for row in rows if not row.meaning.endswith(".")] == []


def test_nobody_is_sent_to_the_source_of_the_settings() -> None:
    for path in [*PAGES, *ROOT.glob("src/**/*.py"), *ROOT.glob("src/**/*.toml")]:
        text = path.read_text(encoding="utf-8")
        assert "config.py" not in text, path
        assert path.suffix != ".md" or path.name == "architecture.md" or "schema.py" not in text, path


def program(path: str):
    """A Python file outside the package, as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_shows_the_scores_that_are_kept() -> None:
    """Table and picture come from one demonstration, by `docs/make_overview.py`."""
    kept = json.loads((ROOT / "docs" / "results" / "phantom" / "seed0.json").read_text(encoding="utf-8"))["methods"]
    rows = re.findall(r"(?m)^│ (\w+) +│ (.*) │$", (ROOT / "README.md").read_text(encoding="utf-8"))
    shown = {method: values.split(" │ ") for method, values in rows if method in kept}
    assert shown == {
        method: [f"{100 * dice:.1f}" for dice in [*found["classes"].values(), found["dice"]]]
        for method, found in kept.items()
    }


def test_the_table_of_the_readme_is_written(tmp_path: Path) -> None:
    (tmp_path / "docs/results/phantom").mkdir(parents=True)
    (tmp_path / "README.md").write_text("before\n│ method │ A │ mean │\n│ supervised │ 1.0 │ 2.0 │\nafter\n")
    (tmp_path / "demo.json").write_text('{"methods": {"supervised": {"classes": {"A": 0.5}, "dice": 0.25}}}')
    program("docs/make_overview.py").keep(tmp_path, tmp_path)
    assert (
        tmp_path / "README.md"
    ).read_text() == "before\n│ method │ A │ mean │\n│ supervised │ 50.0 │ 25.0 │\nafter\n"
    assert (tmp_path / "docs/results/phantom/seed0.json").is_file()
