"""What a person sees while work goes on: a bar with rate, time left and losses, or now and then a line in a log.

A bar needs a terminal, or a notebook that has ipywidgets. Whoever wants to see something else writes a `Display`.
"""

import errno
import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO, Any, Protocol, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from crossmatch.errors import visible
from crossmatch.system.process import leave_closed_terminal

SHOWN = {"total": "loss", "sup": "supervised", "confident": "confident", "validation": "val Dice"}
# True: a bar; False or None: nothing; or a function called with (done, all)
Counted = bool | Callable[[int, int], None] | None
LOG_SECONDS = 30.0  # between two lines where no bar can be shown


class Display(Protocol):
    """What a training calls to show how it gets on. Any object with these three methods will do."""

    def loading(self, done: int, total: int) -> None:
        """Scans read so far, and in all."""

    def step(self, step: int, steps: int, values: dict[str, float]) -> None:
        """Called after each step; `values` are the latest means: loss terms, and "validation", the mean Dice."""

    def warn(self, text: str) -> None:
        """Something about the data that the user should know."""


class Silent:
    """A `Display` that shows nothing; warnings become Python's own."""

    def loading(self, done: int, total: int) -> None:
        """Nothing."""

    def step(self, step: int, steps: int, values: dict[str, float]) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """A UserWarning."""
        warnings.warn(text, stacklevel=2)


class _Heard:
    """A text file that may be a terminal. If that terminal was closed, text is lost without an error."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write text."""
        with self._perhaps():
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is left."""
        with self._perhaps():
            self._file.flush()

    @contextmanager
    def _perhaps(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            leave_closed_terminal()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Terminal(Console):
    """A console that shows text as it is: brackets are no markup, control characters are written out.

    Work goes on where the terminal is closed.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, emoji=False)

    @property
    def file(self) -> IO[str]:
        """Where text goes."""
        return cast("IO[str]", _Heard(super().file))

    @file.setter
    def file(self, new: IO[str]) -> None:
        self._file = new

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that is printed, in tables too, comes through here."""
        return super().render_str(visible(text), **options)


def say(console: Console, head: str, text: str) -> None:
    """A line with a yellow first word, such as "Warning:"; not wrapped, so that paths can be copied."""
    console.print(Text.assemble((head, "yellow"), " ", visible(text)), soft_wrap=True, highlight=False)


def can_show_bar(console: Console) -> bool:
    """Whether a moving bar can be shown: in a terminal, and in a notebook that has ipywidgets."""
    if console.is_jupyter:
        return importlib.util.find_spec("ipywidgets") is not None
    return console.is_terminal


@contextmanager
def progress_bar(console: Console, text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work counted in cases; call what it gives with (done, all). In a log it is one line at the end.

    The bar appears with the first call, so that an error before the work stands alone.
    """
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=console.is_jupyter and not can_show_bar(console),
    )

    def show(done: int, total: int) -> None:
        if not progress.tasks:
            progress.add_task(text, total=total)
            progress.start()
        progress.update(progress.task_ids[0], completed=done, total=total)

    try:
        yield show
    finally:
        if progress.tasks:
            progress.refresh()  # a notebook would keep what it showed up to half a second ago
            progress.stop()


def counting(progress: Counted, text: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """What is called with (done, all) while work goes on, from what a caller of the Python functions asked for."""
    if callable(progress):
        return nullcontext(progress)
    return progress_bar(Terminal(quiet=not progress), text)


def told_time(seconds: float) -> str:
    """A time in words.

    >>> told_time(40), told_time(700), told_time(20_000)
    ('40 seconds', '12 minutes', '5.6 hours')
    """
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


class TrainingDisplay:
    """The `Display` of the command line and of notebooks; use it as a context manager.

    Args:
        console: where to show it.
        name: of what is trained, the first word of the bar.
        work: of the first so many steps, in any unit; the time left is told by it. Default: steps are equal.
    """

    def __init__(self, console: Console, name: str, work: Callable[[int], float] = float) -> None:
        self.console, self.name, self.work = console, name, work
        self.bar = can_show_bar(console)
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            disable=not self.bar,
        )
        self.task: TaskID | None = None
        self.first: tuple[int, float] | None = None
        self.spoken = time.monotonic()

    def __enter__(self) -> "TrainingDisplay":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.refresh()  # a notebook would keep what it showed up to half a second ago
        self.progress.stop()

    def loading(self, done: int, total: int) -> None:
        """Scans read so far."""
        self._show(f"{self.name}: reading scans", done, total, "")

    def step(self, step: int, steps: int, values: dict[str, float]) -> None:
        """Moves the bar; in a log, writes a line now and then and at the end."""
        now = time.monotonic()
        if self.first is None:
            self.first = (step, now)
        began, spent = self.first[0], max(now - self.first[1], 1e-9)
        words = []
        if began < step < steps:
            left = (self.work(steps) - self.work(step)) / (self.work(step) - self.work(began))
            words.append(f"{told_time(left * spent)} left")
        if step > began:
            words.append(f"{(step - began) / spent:.2f} steps/s")
        words += [f"{label} {values[key]:.3f}" for key, label in SHOWN.items() if key in values]
        self._show(self.name, step, steps, "  ".join(words))
        if not self.bar and (now - self.spoken > LOG_SECONDS or step == steps):
            self.spoken = now
            self.console.print(f"{self.name}: step {step}/{steps}  {'  '.join(words)}", soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line above the bar."""
        say(self.progress.console, "Warning:", text)

    def _show(self, name: str, done: int, total: int, text: str) -> None:
        if self.task is None:
            self.task = self.progress.add_task(name, total=total, text=text)
        self.progress.update(self.task, description=name, completed=done, total=total, text=text)
