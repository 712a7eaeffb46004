"""The log of scalars: a damaged line is told, never dropped, and cutting the log back cannot lose it."""

import json
from pathlib import Path

import pytest

from crossmatch.errors import UserError
from crossmatch.runs import logbook
from crossmatch.runs.logbook import Logbook, read_metrics

LINES = [
    {"step": 2, "train": {"total": 0.5, "confident": None}},
    {"step": 4, "train": {"total": 0.4}},
    {"step": 4, "validation": {"mean": 0.7}},
    {"step": 6, "train": {"total": 0.3}},
]


def _text(lines: list[object]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.jsonl"
    path.write_text(_text(LINES))
    return path


def test_the_log_goes_on_at_a_step(metrics):
    Logbook(metrics, metrics.parent / "tensorboard", 4).close()
    assert read_metrics(metrics) == LINES[:3]


@pytest.mark.parametrize("step", [6, 9])
def test_a_log_that_is_as_it_should_be_is_not_rewritten(step, metrics):
    before = metrics.stat()
    Logbook(metrics, metrics.parent / "tensorboard", step).close()
    after = metrics.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_last_line_that_was_cut_short_is_left_out(metrics):
    metrics.write_text(_text(LINES) + '{"step": 8, "tra')
    assert read_metrics(metrics) == LINES
    Logbook(metrics, metrics.parent / "tensorboard", 6).close()
    assert metrics.read_text() == _text(LINES)


def test_a_last_line_may_lack_its_end(metrics):
    metrics.write_text(_text(LINES).removesuffix("\n"))
    assert read_metrics(metrics) == LINES


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "null",
        "[]",
        '{"train": {}}',
        '{"step": "4"}',
        '{"step": 4.0}',
        '{"step": true}',
        '{"step": 0}',
        '{"step": 1e999}',
        '{"step": 4, "train": 3}',
        '{"step": 4, "train": {"total": NaN}}',
        '{"step": 4, "train": {"total": 1e999}}',
        '{"step": 4, "train": {"total": "[/x]"}}',
        "[" * 100_000,
        '{"step": 1, "train": {}}',
        "\x00",
    ],
)
def test_a_damaged_line_is_told_and_kept(line, metrics):
    text = _text(LINES[:2]) + f"{line}\n" + _text(LINES[2:])
    metrics.write_text(text)
    with pytest.raises(UserError, match=r"metrics.jsonl, line 3,.*nothing was changed"):
        Logbook(metrics, metrics.parent / "tensorboard", 4)
    assert metrics.read_text() == text


def test_bytes_that_are_no_text_are_told(metrics):
    metrics.write_bytes(b'{"step": 2, "train": {"\xff": 1.0}}\n' + metrics.read_bytes())
    with pytest.raises(UserError, match="line 1,"):
        read_metrics(metrics)


def test_an_error_while_the_log_is_cut_back_leaves_it_whole(metrics, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        logbook.Logbook(metrics, metrics.parent / "tensorboard", 2)
    assert metrics.read_text() == _text(LINES)
