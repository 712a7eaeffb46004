"""One writer at a time: a lock on a folder of results that knows who holds it.

The operating system frees the lock when its holder ends, however it ends: a killed process or a restarted container
leaves none behind. The file says who holds it, for the message.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crossmatch.errors import UserError
from crossmatch.system.locks import lock_file, open_to_lock, read_at_start, write_at_start

NAME = ".writer"


@contextmanager
def only_writer(folder: Path) -> Iterator[int]:
    """Hold the lock of a folder until the block ends; its file is removed then. The folder is made if it is not there.

    Yields:
        A file descriptor: the lock lasts while any process has it open. Other programs do not inherit it unless asked.

    Raises:
        UserError: another process holds it; the message names host, process and the time since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    file = _locked(path)
    try:
        holder = {"host": socket.gethostname(), "process": os.getpid(), "since": time.time()}
        write_at_start(file, json.dumps(holder).encode())
        yield file
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(file)


def _locked(path: Path) -> int:
    """An open file descriptor of the lock's file, locked."""
    while True:
        file = open_to_lock(path)
        try:
            lock_file(file)
        except BlockingIOError:
            text = read_at_start(file, 4096)
            os.close(file)
            raise UserError(
                f"{path.parent} is being written to by another process{_holder(text)}: wait until it has ended, stop "
                "it, or choose another --out."
            ) from None
        except OSError:  # a file system without locks: nothing can be promised there
            return file
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        os.close(file)  # its holder removed the file between the two calls: take the new one


def _holder(text: bytes) -> str:
    """Who holds a lock, in words; empty where the file does not say."""
    try:
        holder = json.loads(text)
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(holder["since"])))
        return f" (process {int(holder['process'])} on {holder['host']} or one that it started, since {since})"
    except (ValueError, KeyError, TypeError, OverflowError):
        return ""
