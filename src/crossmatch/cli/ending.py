"""How a command ends: with one paragraph and an exit code, whatever went wrong, and never with a traceback of ours.

2: a mistake of the user, a full disk, want of memory or of open files. 130: Ctrl-C, SIGTERM, or SIGHUP of a terminal
that was closed; what was done is kept.
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from crossmatch.errors import SHORT_OF_MEMORY, UserError, visible
from crossmatch.system.process import STOPPING

WRONG, STOPPED = 2, 130
_WAYS_OUT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Make room, or name a place on another disk"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Allow more open files (ulimit -n), or close other programs"),
    **dict.fromkeys((errno.ENOMEM, errno.EAGAIN), "Close other programs, or allow more memory"),
}


@contextmanager
def one_paragraph() -> Iterator[None]:
    """Turn whatever ends the block early into a paragraph on stderr and an exit code; other errors are defects."""
    with _stoppable() as stopped:
        try:
            yield
        except UserError as error:
            _end(str(error))
        except BrokenPipeError:  # `crossmatch recipes | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            if error.filename is None and error.errno not in _WAYS_OUT:
                raise  # not about a place that somebody named
            way_out = _WAYS_OUT.get(error.errno or 0, "Name another place, make room or change permissions")
            _end(f"{error.filename or 'The system'}: {error.strerror}. {way_out}.")
        except MemoryError:
            _end("Out of memory: close other programs, or allow more memory.")
        except RuntimeError as error:
            if any(said in str(error) for said in SHORT_OF_MEMORY):
                _end("Out of memory: close other programs, or allow more memory.")
            if "can't start new thread" not in str(error):
                raise
            _end("No further thread can be started: close other programs, or allow more memory or processes.")
        except KeyboardInterrupt:
            sys.exit(STOPPED)
        except SystemExit as end:
            if stopped.is_set() and end.code == 1:  # as typer ends after Ctrl-C
                sys.exit(STOPPED)
            raise


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Signals that ask a process to end raise KeyboardInterrupt, unless they are ignored (nohup).

    After one of them has ended the block, a further one ends the process at once.
    """
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()
        raise KeyboardInterrupt

    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(STOPPED)

    caught = {}
    if threading.current_thread() is threading.main_thread():
        caught = {number: signal.getsignal(number) for number in STOPPING}
        caught = {number: handler for number, handler in caught.items() if handler is not signal.SIG_IGN}
    for number in caught:
        signal.signal(number, stop)
    try:
        yield stopped
    except Exception:
        if stopped.is_set():  # a library was interrupted in the midst of its own tidying
            sys.exit(STOPPED)
        raise
    finally:
        for number, handler in caught.items():
            signal.signal(number, leave if stopped.is_set() else handler)


def _end(text: str) -> NoReturn:
    """Say what went wrong. No rich here: it imports further files, which may be just what fails."""
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    with suppress(OSError):  # nobody listens any more
        print("\x1b[1;31mError:\x1b[0m" if coloured else "Error:", visible(text), file=sys.stderr)
    sys.exit(WRONG)
