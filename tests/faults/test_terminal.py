"""A terminal that is closed while a training runs in it: a real pseudo-terminal, whose kernel sends SIGHUP."""

import fcntl
import os
import pty
import select
import signal
import termios
import time
from functools import partial
from pathlib import Path

from crossmatch.runs.checkpoint import load_facts
from kills import compare, go_on
from processes import HANGS_SECONDS, Ended
from scenes import SCENES, Inputs


def live_in(terminal: str, disowned: bool) -> None:
    """Make a terminal the controlling one of this process, which reads from it and writes to it.

    Args:
        disowned: whether the process does not hear of its end, as under `nohup` or after `disown`.
    """
    os.setsid()
    if disowned:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    file = os.open(terminal, os.O_RDWR)
    fcntl.ioctl(file, termios.TIOCSCTTY, 0)
    for number in range(3):
        os.dup2(file, number)
    os.close(file)


def train_until_it_is_closed(inputs: Inputs, folder: Path, disowned: bool) -> Ended:
    """Close the terminal after the first line of the log."""
    ours, terminal = pty.openpty()
    command = SCENES["train"].begin(inputs, folder, partial(live_in, os.ttyname(terminal), disowned))
    log, shown, end = folder / "out" / "metrics.jsonl", b"", time.monotonic() + HANGS_SECONDS
    while not (log.is_file() and log.stat().st_size) and time.monotonic() < end:
        if select.select([ours], [], [], 0.002)[0]:
            shown += os.read(ours, 4096)
    os.close(terminal)
    os.close(ours)  # as when its window is closed
    assert shown
    return command.wait()


def test_a_training_whose_terminal_is_closed_keeps_its_last_step_and_goes_on(inputs, right, tmp_path: Path) -> None:
    assert train_until_it_is_closed(inputs, tmp_path, disowned=False).code == 130
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL  # this process is not in that terminal
    assert 1 < load_facts(tmp_path / "out" / "checkpoints" / "last.safetensors")["step"] < 10
    again = go_on(SCENES["train"], inputs, tmp_path)
    assert (again.code, again.wrong) == (0, None)
    assert compare(tmp_path, right("train"), stopped=True) == []


def test_a_training_that_outlives_its_terminal_ends_well(inputs, right, tmp_path: Path) -> None:
    """What it says then is lost, which is no reason to stop."""
    assert train_until_it_is_closed(inputs, tmp_path, disowned=True).code == 0
    assert compare(tmp_path, right("train")) == []
