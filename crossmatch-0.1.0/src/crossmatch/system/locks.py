"""Locks of files and folders that the system frees when their holder ends, on POSIX systems and on Windows."""

import errno
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    _FAR = 2**30  # the byte that is locked lies behind all that is written: a locked one cannot be read
else:
    import fcntl

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)  # said by some network disks


def open_to_lock(path: Path) -> int:
    """A descriptor of a file, made if it is not there. Links are not followed where the system can say so."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0), 0o666)


def lock_file(file: int) -> None:
    """Lock an open file until its descriptor is closed, or the process ends.

    Raises:
        BlockingIOError: another descriptor has it locked.
        OSError: the disk has no locks.
    """
    if sys.platform == "win32":
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                raise BlockingIOError(errno.EAGAIN, "locked by another process") from None
            raise
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock_folder(folder: Path) -> int:
    """A descriptor that locks a folder until it is closed, or the process ends.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it is gone, or folders cannot be locked here: never on Windows.
    """
    if sys.platform == "win32":
        raise OSError(errno.ENOLCK, "folders cannot be locked on Windows", str(folder))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        lock_file(descriptor)
        folder.stat()  # a FileNotFoundError where it was removed between the two calls
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_at_start(file: int, count: int) -> bytes:
    """The first bytes of an open file."""
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, count)


def write_at_start(file: int, content: bytes) -> None:
    """Make this the content of an open file."""
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, content)
