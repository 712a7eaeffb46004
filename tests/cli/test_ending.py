"""Commands end with one paragraph: names with brackets or control characters, signals, a machine that is short."""

import csv
import errno
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import call
from crossmatch.cli import app
from crossmatch.cli.ending import one_paragraph
from crossmatch.errors import UserError, no_formula, visible
from crossmatch.runs.display import Terminal
from refusal import refuse
from tiny import write_dataset
from untrained import untrained_run


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError("It is [/x] wrong."), "Error: It is [/x] wrong.\n"),
        (UserError("red \x1b[31m, \x9b, \r and \udcff\nnext"), "Error: red \\x1b[31m, \\x9b, \\r and \\udcff\nnext\n"),
        (OSError(errno.ENOSPC, "No space left on device"), "Error: The system: No space left on device. Make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "Error: /a/b: Permission denied. Name another"),
        (OSError(errno.EMFILE, "Too many open files"), "Error: The system: Too many open files. Allow more open"),
        (MemoryError(), "Error: Out of memory: close other programs"),
        (RuntimeError("std::bad_alloc"), "Error: Out of memory: close other programs"),
        (RuntimeError("[enforce fail] can't allocate memory: 3 GB"), "Error: Out of memory: close other programs"),
        (RuntimeError("can't start new thread"), "Error: No further thread can be started"),
    ],
)
def test_what_went_wrong_is_one_paragraph(error, told, capsys):
    with pytest.raises(SystemExit) as ended, one_paragraph():
        raise error
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(told)


@pytest.mark.parametrize("error", [RuntimeError("a defect"), OSError("a defect"), ValueError("a defect")])
def test_defects_stay_tracebacks(error):
    with pytest.raises(type(error)), one_paragraph():
        raise error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("told_by_typer", [False, True])
def test_signals_stop_a_command(number, told_by_typer, monkeypatch):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the signal is ignored here, as under nohup")
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def work() -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if told_by_typer:
                sys.exit(1)
            raise

    with pytest.raises(SystemExit) as ended, one_paragraph():
        work()
    assert ended.value.code == 130
    code = []
    monkeypatch.setattr(os, "_exit", code.append)
    signal.raise_signal(number)  # while the process ends
    assert code == [130]
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, before[each])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_further_signal_at_the_very_end_shows_no_traceback(number, monkeypatch):
    """It comes when the command has ended, and before a further signal may end the process at once."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the signal is ignored here, as under nohup")
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    set_handler, left = signal.signal, []

    def work() -> None:
        monkeypatch.setattr(signal, "signal", late)
        signal.raise_signal(number)

    def late(*given: object) -> object:
        monkeypatch.setattr(signal, "signal", set_handler)
        signal.raise_signal(number)
        return set_handler(*given)

    monkeypatch.setattr(app, "app", work)
    monkeypatch.setattr(os, "_exit", left.append)
    app.main()
    assert left == [130]
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, before[each])


@pytest.mark.parametrize("error", [IndexError, RuntimeError, OSError])
def test_an_error_that_a_signal_brought_about_is_no_defect(error):
    """A signal may interrupt a library in the midst of its own tidying, which then fails in other ways."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as interrupt:
            raise error("half-way") from interrupt

    with pytest.raises(SystemExit) as ended, one_paragraph():
        work()
    assert ended.value.code == 130
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, before[each])


def test_an_ignored_signal_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with one_paragraph():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_leaves_signals_alone():
    found = []

    def work() -> None:
        with one_paragraph():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë\u00a0[b] 心 \n", "Zoë\u00a0[b] 心 \n"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("gpj\u202e.exe", "gpj\\u202e.exe"),
        ("a\u2028b\tc", "a\\u2028b\\tc"),
    ],
)
def test_control_characters_are_written_out(text, shown, capsys):
    assert visible(text) == shown
    Terminal().print(text, soft_wrap=True, end="")
    assert capsys.readouterr().out == shown


SHORT = ("--set", "train.steps=1", "--set", "data.size=[16, 16]", "--set", "method.name=supervised")


def test_a_command_that_is_shown_can_be_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spaces, quotes, dollars and brackets in its paths reach the command as they are, on one line."""
    data = write_dataset(tmp_path / "my data")
    out = tmp_path / "it's [x] $HOME run"
    code, told, err = call(capsys, "train", "phantom", "--data", data, "--out", out, *SHORT)
    assert code == 0, err
    (line,) = (line for line in told.splitlines() if "Next:" in line)
    words = shlex.split(line.split("Next: ")[1])
    assert words == ["crossmatch", "predict", str(out), "IMAGES", str(out / "predictions")]


@pytest.fixture
def shared_with_a_group() -> Iterator[None]:
    """The umask of people who work in one group."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.mark.usefixtures("shared_with_a_group")
def test_names_like_markup_pass_through_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And whatever they write can be read and changed as the user's umask says, and no hidden file stays."""
    root = tmp_path / "[bold] [/x] [red]"
    data = write_dataset(root / "[/data]", n_train=4)
    (data / "dataset.json").write_text((data / "dataset.json").read_text().replace("RV", "[/x]"))
    run = untrained_run(root / "[/run]", data).folder
    for words, told in (
        (["check", data], f"{data}: 4 train"),
        (["predict", run, data / "imagesTs", run / "[/test]"], f"1 mask in {run / '[/test]'}"),
        (["evaluate", run / "[/test]", data / "labelsTs"], f"Each case: {run / '[/test]' / 'cases.csv'}"),
        (["report", run], f"Report: {run / 'report.html'}"),
        (["rank", run], f"Written to {run / 'rank.csv'}"),
        (["pack", run, root / "[/m].zip"], f"{root / '[/m].zip'}, "),
        (["export", run, root / "[/e]", "--format", "bundle"], f"{root / '[/e]'}: "),
        (["import", "folder", data, root / "[/i]"], f"cases in {root / '[/i]'}"),
        (["train", "phantom", "--data", data, "--out", root / "[/t]", *SHORT], f"Done: {root / '[/t]'}. Next: "),
        (["plan", data, "--out", root / "[/r].toml", *SHORT[2:]], f"Recipe: {root / '[/r].toml'}. Next: "),
        (["phantom", root / "[/p]", "--train", 1, "--val", 0, "--test", 0], f"test cases in {root / '[/p]'}"),
    ):
        code, out, err = call(capsys, *words)
        assert code == 0, err
        assert told in out
    made = [path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(data)]
    assert len(made) > 40
    assert {oct(path.stat().st_mode & 0o777) for path in made} == {"0o664"}
    assert {oct(path.stat().st_mode & 0o777) for path in root.rglob("*") if path.is_dir()} == {"0o775"}
    assert not [path for path in made if path.name[0] == "."]
    assert "[/x]" in call(capsys, "evaluate", run / "[/test]", data / "labelsTs")[1]
    assert f"{root / '[/p]'} exists" in refuse(capsys, root, "phantom", root / "[/p]")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_name_is_no_formula(name, tmp_path, capsys):
    assert no_formula(name) == f"'{name}"
    assert no_formula(f"a{name}") == f"a{name}"
    data = write_dataset(tmp_path / "data")
    for path in (data / "labelsTs", tmp_path / "pred"):
        path.mkdir(exist_ok=True)
        (path / f"{name}.nii.gz").write_bytes((data / "labelsTs" / "case_005.nii.gz").read_bytes())
    (data / "labelsTs" / "case_005.nii.gz").unlink()
    code, _, err = call(capsys, "evaluate", tmp_path / "pred", data / "labelsTs")
    assert code == 0, err
    with (tmp_path / "pred" / "cases.csv").open() as file:
        assert {row["case"] for row in csv.DictReader(file)} == {f"'{name}"}
