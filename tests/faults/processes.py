"""Commands in processes of their own, which can be killed, stopped and starved without harm to the tests.

Each is forked from one process that has imported everything, so that a start takes a tenth of a second instead of four.
Commands that start commands, as a benchmark does, fork them too.
"""

import fcntl
import multiprocessing
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import IO

HANGS_SECONDS = 60.0  # a command on these small files takes a second or two

_IMPORTED = [
    "crossmatch.cli.app",
    "crossmatch.benchmark.benchmark",
    "crossmatch.dataset.check",
    "crossmatch.importers.la",
    "crossmatch.inference.predict",
    "crossmatch.phantom.phantom",
    "crossmatch.recipes.load",
    "crossmatch.reports",
    "crossmatch.scoring.evaluate",
    "crossmatch.training.fit",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "tensorboard.summary.writer.event_file_writer",
    "torch._dynamo",  # the first step of an optimiser imports it
    "torch.distributed",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_IMPORTED)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int | None  # minus the signal where one killed it; None: it hung, and was killed
    said: str  # stdout and stderr
    seconds: float

    @property
    def wrong(self) -> str | None:
        """What a user should never see: a traceback, a hang, an unknown exit code; None where all is well."""
        if self.code is None:
            return f"hangs: {self.said[-500:]}"
        if "Traceback" in self.said or "Exception ignored" in self.said:
            return f"traceback: {self.said[-1500:]}"
        if self.code not in (0, 2, 130, -signal.SIGKILL):
            return f"exit code {self.code}: {self.said[-500:]}"
        if self.code == 2 and ("Error: " not in self.said or "\n\n" in self.said.strip()):
            return f"not one paragraph: {self.said[-500:]}"
        return None


class Command:
    """A running `crossmatch WORDS`.

    Args:
        words: without the program's name.
        folder: fingerprints go to the folder "cache" in it.
        before: called in the new process before the command, to spoil something for it; must be importable by name.
    """

    def __init__(self, words: Sequence[object], folder: Path, before: Callable[[], None] | None = None) -> None:
        self._reading, writing = _context.Pipe(duplex=False)
        fcntl.fcntl(writing.fileno(), fcntl.F_SETPIPE_SZ, 2**20)  # nobody reads before the end
        self._started = time.monotonic()
        arguments = ([str(word) for word in words], writing, folder / "cache", before)
        self.process = _context.Process(target=_command, args=arguments)
        self.process.start()
        writing.close()

    def send(self, number: int) -> None:
        """Send a signal once the command begins, unless it has ended."""
        select.select([self._reading], [], [], HANGS_SECONDS)
        if self.process.is_alive() and self.process.pid:
            os.kill(self.process.pid, number)

    def wait(self, seconds: float = HANGS_SECONDS) -> Ended:
        """Wait for the end; a command that hangs is killed."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            self.process.join()
        took = time.monotonic() - self._started
        os.set_blocking(self._reading.fileno(), False)  # a process that it started may still hold the other end
        said = b""
        with suppress(BlockingIOError):
            while part := os.read(self._reading.fileno(), 2**20):
                said += part
        self._reading.close()
        return Ended(code, said.decode(errors="replace").lstrip("\n"), took)


def run(words: Sequence[object], folder: Path, before: Callable[[], None] | None = None) -> Ended:
    """Run a command to its end; arguments as of `Command`."""
    return Command(words, folder, before).wait()


def start(work: Callable[..., None], *arguments: object) -> tuple[Connection, BaseProcess]:
    """Call a function in a process of its own, with a connection to send by as a last argument; the other end of it."""
    receiving, sending = _context.Pipe(duplex=False)
    process = _context.Process(target=work, args=(*arguments, sending))
    process.start()
    sending.close()
    return receiving, process


def _command(words: list[str], said: Connection, cache: Path, before: Callable[[], None] | None) -> None:
    """The new process: runs the command, its words into a pipe."""
    import torch

    from crossmatch.benchmark import run_cell

    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    said.close()
    os.environ.update({"COLUMNS": "100", "CROSSMATCH_CACHE": str(cache)})
    torch.set_num_threads(1)
    run_cell.subprocess = SimpleNamespace(Popen=Forked)  # type: ignore[assignment]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # before the command has begun
        signal.signal(number, _leave)
    print(flush=True)  # says that the command begins
    if before is not None:
        before()
    _main(words)


def _leave(number: int, frame: object) -> None:
    os._exit(130)


def _main(words: list[str]) -> None:
    from crossmatch.cli.app import main

    sys.argv = ["crossmatch", *words]
    main()


class Forked:
    """What a benchmark needs of `subprocess.Popen` to run a command, forked instead of started anew."""

    def __init__(
        self,
        words: list[str],
        stdout: IO[bytes],
        stderr: IO[bytes],
        cwd: Path,
        env: Mapping[str, str],
        **_: object,
    ) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                os.chdir(cwd)
                os.dup2(stdout.fileno(), 1)
                os.dup2(stderr.fileno(), 2)
                os.environ.update(env)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
                _main(words[words.index("crossmatch") + 1 :])
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def wait(self) -> int:
        """The exit code, once it has ended."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def terminate(self) -> None:
        """Ask it to end."""
        os.kill(self.pid, signal.SIGTERM)
