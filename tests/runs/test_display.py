"""What a training says in a log, where no bar can move."""

import contextlib
import io
import time

import pytest
from rich.console import Console

from crossmatch.runs import display
from crossmatch.runs.display import TrainingDisplay, progress_bar


def test_a_log_says_how_long_it_still_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds a step by the clock: after 10 of 300 steps 580 s are left; none at the end."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    written = io.StringIO()
    with TrainingDisplay(Console(file=written, width=200), "crossmatch") as shown:
        for step in (*range(1, 41), 300):
            now[0] = 1000 + 2 * step
            shown.step(step, 300, {})
    lines = [" ".join(line.split()) for line in written.getvalue().splitlines() if "step" in line]
    at = int(display.LOG_SECONDS // 2) + 1
    assert lines[0] == f"crossmatch: step {at}/300 {(300 - at) * 2 / 60:.0f} minutes left 0.50 steps/s"
    assert lines[-1] == "crossmatch: step 300/300 0.50 steps/s"


@pytest.mark.parametrize("terminal", [False, True])
def test_steps_that_grow_are_told_by_their_work(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """Steps from the 50th on take twice as long as those before: 2 s and 4 s. After 30 steps 20 and 50 are left."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    written = io.StringIO()
    console = Console(file=written, width=200, force_terminal=terminal)
    with TrainingDisplay(console, "crossmatch", lambda step: step + max(0, step - 50)) as shown:
        for step in range(1, 31):
            now[0] = 1000 + 2 * step
            shown.step(step, 100, {})
    assert f"{(20 * 2 + 50 * 4) / 60:.0f} minutes left" in written.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_bar_appears_with_the_first_case(terminal: bool) -> None:
    """An error before it stands alone; one after it leaves what was done."""
    for calls in ([], [(0, 3), (2, 3)]):
        written = io.StringIO()
        console = Console(file=written, width=80, force_terminal=terminal)
        with contextlib.suppress(OSError), progress_bar(console, "Predicting") as show:
            for call in calls:
                show(*call)
            raise OSError
        if calls:
            assert written.getvalue().count("Predicting") >= 1
            assert "2/3" in written.getvalue()
        else:
            assert written.getvalue() == ""
