"""What the terminal shows while work goes on: a progress bar with rate, time left and losses; plain lines in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

SHOWN = {"total": "loss", "sup": "supervised", "confident": "confident", "validation": "val Dice"}
LOG_SECONDS = 30.0  # between two lines where the output is no terminal


@contextmanager
def progress_bar(console: Console, text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work counted in cases; call what it gives with (done, all)."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    ) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class TrainingDisplay:
    """Shows a run of `fit.fit`; use it as a context manager."""

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name = console, name
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.task: TaskID | None = None
        self.first: tuple[int, float] | None = None
        self.spoken = time.monotonic()

    def __enter__(self) -> "TrainingDisplay":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def loading(self, done: int, total: int) -> None:
        """Cases read so far."""
        self._show(f"{self.name}: reading scans", done, total, "")

    def step(self, step: int, steps: int, values: dict[str, float]) -> None:
        """The bar of a run; in a log, a line now and then and at the end."""
        now = time.monotonic()
        if self.first is None:
            self.first = (step, now)
        rate = (step - self.first[0]) / max(now - self.first[1], 1e-9)
        words = [f"{rate:.2f} steps/s"] if step > self.first[0] else []
        words += [f"{label} {values[key]:.3f}" for key, label in SHOWN.items() if key in values]
        self._show(self.name, step, steps, "  ".join(words))
        if not self.console.is_terminal and (now - self.spoken > LOG_SECONDS or step == steps):
            self.spoken = now
            self.console.print(f"{self.name}: step {step}/{steps}  {'  '.join(words)}", soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line above the bar."""
        self.progress.console.print(f"[yellow]Warning:[/] {escape(text)}", soft_wrap=True, highlight=False)

    def _show(self, name: str, done: int, total: int, text: str) -> None:
        if self.task is None:
            self.task = self.progress.add_task(name, total=total, text=text)
        self.progress.update(self.task, description=name, completed=done, total=total, text=text)
