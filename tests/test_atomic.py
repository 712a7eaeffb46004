"""Files and folders appear whole or not at all, with the user's permissions; what dead writers leave goes."""

import errno
import os
import shutil
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest

from crossmatch import atomic
from crossmatch.atomic import new_folder, parse_json, read_json, write_json, write_text, written_aside
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.layout import read_list
from crossmatch.errors import UserError
from crossmatch.importers.described import read_stated
from tiny import write_dataset

DIE = """
import os, sys
from pathlib import Path
from crossmatch.atomic import new_folder, written_aside
make = {"file": written_aside, "folder": new_folder}[sys.argv[2]]
with make(Path(sys.argv[1])) as aside:
    inside = aside if sys.argv[2] == "file" else aside / "part"
    inside.write_text("half")
    print(flush=True)
    if sys.argv[3] == "die":
        os._exit(9)
    sys.stdin.read()
"""


def _other(target: Path, kind: str, how: str) -> subprocess.Popen[str]:
    """Another process that is making `target`, or has died over it."""
    words = [sys.executable, "-c", DIE, str(target), kind, how]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_dead_process_left_is_removed(kind, tmp_path):
    _other(tmp_path / "made", kind, "die").communicate()
    assert len(list(tmp_path.iterdir())) == 1
    write_text(tmp_path / "other", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_living_process_keeps_its_own(kind, tmp_path):
    process = _other(tmp_path / "made", kind, "live")
    write_text(tmp_path / "other", "whole")
    process.communicate("")
    assert process.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "other"]


def test_nothing_is_left_after_an_error(tmp_path):
    for make in (written_aside, new_folder):
        with pytest.raises(ZeroDivisionError), make(tmp_path / "made"):
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_second_ctrl_c_while_it_is_tidied_up_leaves_nothing(tmp_path, monkeypatch):
    remove, calls = shutil.rmtree, []

    def interrupted(path, ignore_errors=False):
        calls.append(path)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(path, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", interrupted)

    def write() -> NoReturn:
        with written_aside(tmp_path / "file") as aside:
            aside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_planted_folder_or_link_is_not_used(tmp_path, monkeypatch):
    """Names are random; even a name that was guessed is made anew or not at all, and a link is not followed."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "made").write_text("kept")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / f"{atomic.HIDDEN}guessed").symlink_to(precious)
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda count: "guessed")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(folder / "made", "new")
    assert (precious / "made").read_text() == "kept"


def test_of_two_that_fill_one_folder_the_second_is_refused(tmp_path):
    """Two exports or imports of one name at a time: what the first has written stays as it is."""
    target = tmp_path / "made"
    with ExitStack() as second:
        second.enter_context(new_folder(target))
        with new_folder(target) as aside:
            (aside / "a").write_text("first")
        with pytest.raises(UserError, match="made exists and is not an empty folder"):
            second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert (target / "a").read_text() == "first"


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_permissions_are_those_of_the_umask(umask, tmp_path):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "text", "")
        with written_aside(tmp_path / "private") as aside:
            aside.touch(mode=0o600)
        with new_folder(tmp_path / "folder") as aside:
            (aside / "inside").write_text("")
    finally:
        os.umask(before)
    for name, mode in {"text": 0o666, "private": 0o666, "folder": 0o777, "folder/inside": 0o666}.items():
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode & ~umask


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": "1"}', "a: Input should be a valid integer"),
        ("[" * 100_000, "recursion limit"),
        ('{"a": "\\ud800"}', "hex escape"),
        ("{", "EOF"),
        ("\xff", "expected value"),
    ],
)
def test_json_of_another_form_is_refused(text, told):
    with pytest.raises(UserError, match=r"^this is damaged .*: mend it\.$") as error:
        parse_json(text, dict[str, int], "this", "mend it")
    assert told in str(error.value)


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "a.json", {"a": 2})
    assert read_json(tmp_path / "a.json", dict[str, int], "mend it") == {"a": 2}
    with pytest.raises(UserError, match=r"b.json cannot be read \(No such file"):
        read_json(tmp_path / "b.json", dict[str, int], "mend it")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_damage(tmp_path: Path, number: str) -> None:
    """It would end in a traceback where the value is written again."""
    path = tmp_path / "a.json"
    path.write_text(f'{{"a": [1, {number}], "NaN": 1e300}}')
    with pytest.raises(UserError, match=r"a\.json is damaged \(a number is not finite\): make it again"):
        read_json(path, dict[str, Any], "make it again")
    path.write_text('{"NaN": ["Infinity", 1e300]}')
    assert read_json(path, dict[str, Any], "make it again") == {"NaN": ["Infinity", 1e300]}


def test_what_may_not_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To make it again would not help: a colleague's file, whose permissions are in the way."""
    root = write_dataset(tmp_path / "data")
    (tmp_path / "a.json").write_text("{}")

    def refused(self: Path, *_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    for name in ("read_bytes", "read_text"):
        monkeypatch.setattr(Path, name, refused)
    for read in (
        lambda: read_json(tmp_path / "a.json", dict[str, int], "train again"),
        lambda: open_dataset(root),
        lambda: read_list(root / "splits" / "train.txt"),
        lambda: read_stated(root / "dataset.json"),
    ):
        with pytest.raises(UserError, match=r"cannot be read .*Permission denied.*: change its permissions\.$"):
            read()
