"""Processes: the signals that ask them to stop, how children are started and asked, the cores and memory they have."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Ctrl-C, a request to end, a terminal that was closed; Windows has no SIGHUP, and Ctrl-Break instead
STOPPING: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


@contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and SIGHUP (a closed terminal) set the event, and the current step is finished.

    A second signal stops at once. One that is ignored, as under nohup, stays ignored.
    """
    event = threading.Event()
    previous: dict[signal.Signals, Any] = {}

    def note(number: int, frame: object) -> None:
        event.set()
        for known, handler in previous.items():
            signal.signal(known, handler)

    if threading.current_thread() is threading.main_thread():
        heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
        previous = {number: signal.signal(number, note) for number in heard}
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def apart(inherited: Sequence[int] = ()) -> dict[str, Any]:
    """Arguments of `subprocess.Popen` for a child that a Ctrl-C in this terminal does not reach.

    Args:
        inherited: file descriptors that the child keeps open; not on Windows, where locks are not inherited.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True, "pass_fds": tuple(inherited)}


def ask_to_stop(child: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """Pass a request to stop on to a child that was started `apart`; it saves what it has done."""
    if sys.platform == "win32":
        child.send_signal(signal.CTRL_BREAK_EVENT)  # the only one that another process can catch there
    else:
        child.send_signal(number)


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_bytes() -> int | None:
    """The most memory that this process has held so far; None where the system does not tell (Windows)."""
    with suppress(OSError, StopIteration):  # Linux: `getrusage` would include the parent's memory from before the start
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
