"""The commands as their users meet them: the whole chain as processes, help, exit codes, Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from command import call
from crossmatch.cli.app import app
from crossmatch.cli.listing import listed_recipes
from crossmatch.recipes import load_recipe, recipe_names
from tiny import write_dataset
from untrained import SMALL

MAIN = [sys.executable, "-c", "from crossmatch.cli.app import main; main()"]
COMMANDS = {
    "plan",
    "train",
    "predict",
    "rank",
    "review",
    "evaluate",
    "export",
    "report",
    "pack",
    "check",
    "phantom",
    "recipes",
    "demo",
    "import",
    "methods",
    "benchmark",
}
SETTINGS = [part for change in SMALL for part in ("--set", change)]


def process(*arguments: object, cwd: Path, expect: int = 0) -> str:
    """Run a command in a process of its own; what it wrote on stdout."""
    found = subprocess.run([*MAIN, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert found.returncode == expect, found.stderr
    assert "Traceback" not in found.stderr
    return found.stdout


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv, heavy = ['crossmatch', '--help'], {'torch', 'numpy', 'nibabel', 'scipy', 'pydantic'}\n"
        "from crossmatch.cli.app import main\n"
        "try: main()\n"
        "finally: print(*(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stderr.strip() == ""
    assert set(re.findall(r"^│ (\w+) ", found.stdout, re.MULTILINE)) == COMMANDS
    assert {command.name or command.callback.__name__ for command in app.registered_commands if command.callback} == (
        COMMANDS - {"import"}
    )


def test_shells_complete_commands_and_options(tmp_path: Path) -> None:
    """As bash asks: the words so far, and the number of the one to complete."""
    code = "import sys; sys.argv = ['crossmatch']\nfrom crossmatch.cli.app import main\nmain()"
    for words, place, expected in (
        ("crossmatch pre", 1, {"predict"}),
        ("crossmatch train --min", 2, {"--minutes"}),
        ("crossmatch import ", 2, {"acdc", "folder", "la", "pancreas"}),
    ):
        asked = {"_CROSSMATCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
        found = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, timeout=60, check=True
        )
        assert expected <= set(found.stdout.split())
        assert found.stderr == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--version") == (0, f"crossmatch {metadata.version('crossmatch')}\n", "")


@pytest.mark.parametrize("command", [[], ["import", "la"], *([name] for name in sorted(COMMANDS))])
def test_help_has_a_short_name_and_switches_have_no_type(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, *command, "-h")
    assert code == 0
    assert "Show this message" in out
    assert "bool" not in out.lower()


def test_the_whole_chain_from_data_to_report(tmp_path: Path) -> None:
    """check, train, Ctrl-C, resume, predict, evaluate, report: each a process, paths relative to the folder."""
    write_dataset(tmp_path / "data", n_test=2)
    assert "3 train, 1 val, 2 test cases are sound" in process("check", "data", cwd=tmp_path)

    train = ["train", "phantom", "--data", "data", "--out", "run", "--set", "method.name=supervised", *SETTINGS]
    train += ["--set", "train.checkpoint_every=10", "--set", "train.steps=300", "--seed", "5"]
    last, out = tmp_path / "run" / "checkpoints" / "last.safetensors", tmp_path / "out.txt"
    with out.open("w") as file:
        running = subprocess.Popen([*MAIN, *train], cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + 100
            while not last.exists() and running.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            assert running.wait(60) == 130
        finally:
            running.kill()
    text = out.read_text()
    stopped = re.search(r"Stopped at step (\d+) of 300; go on with crossmatch train --resume --out run", text)
    assert stopped, text
    assert "Traceback" not in text

    assert "Done: run" in process("train", "--resume", "--out", "run", cwd=tmp_path)
    assert int(stopped[1]) < 300

    assert "2 masks in run/test" in process("predict", "run", "data/imagesTs", "run/test", "--flips", cwd=tmp_path)
    assert "test against labelsTs: 2 cases" in process("evaluate", "run/test", "data/labelsTs", cwd=tmp_path)
    stored = json.loads((tmp_path / "run" / "test" / "summary.json").read_text())
    assert [stored["prediction"][key] for key in ("step", "flips")] == [300, True]
    assert stored["prediction"]["recipe"]["seed"] == 5
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "Report: ../run/report.html" in process("report", "../run", cwd=elsewhere)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "data:image/png;base64" in page  # pictures of the cases: the data was found from another folder


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "phantom"], "Missing option"),
        (["fly"], "No such command"),
        (["predict", "run", "in", "out", "--fast"], "No such option"),
        (["phantom", "out", "--train", "0"], "Invalid value"),
        (["train", "phantom", "--data", "d", "--out", "o", "--seed", "many"], "Invalid value"),
    ],
)
def test_wrong_usage(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert told in err
    assert "Traceback" not in err


def test_recipes_are_listed_at_once() -> None:
    """Without PyTorch, so in less than half a second of the processor; what is said is what the recipes say."""
    code = (
        "import sys, time; sys.argv = ['crossmatch', 'recipes']\n"
        "from crossmatch.cli.app import main\n"
        "try: main()\n"
        "finally: print({'torch', 'numpy'} & sys.modules.keys(), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stderr.strip() == "set()"
    for recipe in listed_recipes():
        whole = load_recipe(recipe.name)
        assert recipe[1:] == (whole.method.name, whole.train.steps, whole.about)
        assert recipe.name in found.stdout
    assert [recipe.name for recipe in listed_recipes()] == recipe_names()


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "recipes")
    assert code == 0
    assert {"phantom", "acdc_3", "acdc_3_small", "la_8_small"} <= {
        line.split()[1] for line in out.splitlines() if "│" in line
    }


def test_a_recipe_is_printed_without_empty_tables(capsys: pytest.CaptureFixture[str]) -> None:
    for name, others in (("acdc_3", False), ("la_8", True)):
        code, out, _ = call(capsys, "recipes", name)
        assert code == 0
        assert "[methods]" not in out
        assert ("[methods." in out) == others


def test_phantom_then_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "new"
    assert call(capsys, "phantom", data, "--train", 2, "--val", 1, "--test", 0)[0] == 0
    code, out, _ = call(capsys, "check", data)
    assert code == 0
    assert "2 train, 1 val, 0 test cases are sound" in out
    code, _, err = call(capsys, "phantom", data)
    assert code == 2
    assert "not an empty folder" in err


def test_ctrl_c_outside_of_training(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def press(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossmatch.dataset.check.check", press)
    code, _, err = call(capsys, "check", "data")
    assert (code, err) == (130, "")


def test_a_place_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_dataset(tmp_path / "data")
    (tmp_path / "file").write_text("precious")
    train = ["train", "phantom", "--data", data, "--out", tmp_path / "file" / "run", *SETTINGS]
    code, _, err = call(capsys, *train)
    assert code == 2
    assert "file" in err
    assert "Not a directory. Name another place" in " ".join(err.split())
    assert (tmp_path / "file").read_text() == "precious"


def test_an_error_that_is_nobodys_mistake_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (OSError(5, "Input/output error"), ValueError("a bug")):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("crossmatch.dataset.check.check", fail)
        with pytest.raises(type(error)):
            call(capsys, "check", "data")


def test_brackets_in_names_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = call(capsys, "check", tmp_path / "[bold]data[/]")
    assert "[bold]data[/] does not exist" in err


def test_a_closed_pipe_is_no_traceback() -> None:
    command = f"{' '.join(map(repr, MAIN))} recipes | true"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, env={**os.environ})
    assert found.stderr == ""
