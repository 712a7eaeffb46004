"""Full and read-only disks, few file descriptors, little memory, signals: one paragraph, and a later call goes on.

Disks are full in two ways that need no rights: opening a file for writing fails from some moment on, or no file may
grow beyond a size (writing fails in the middle). `on_small_disk` has a disk of its own where the user may mount one.
"""

import ctypes
import errno
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kills import Fault, Undisturbed, changes_files, compare, go_on
from scenes import Inputs, Scene, leftovers

Before = Callable[[], None]


@dataclass(frozen=True)
class Trouble:
    """A kind of trouble: what is done in the process before the command begins, or to it while it runs."""

    name: str
    before: Callable[[Path, Undisturbed, random.Random], Before] | None = None
    signals: Callable[[random.Random], list[int]] | None = None  # sent at random moments


def _full(folder: Path, right: Undisturbed, rng: random.Random) -> Before:
    return partial(full_from, folder, rng.randint(1, max(1, right.changes)))


def _cut(folder: Path, right: Undisturbed, rng: random.Random) -> Before:
    return partial(no_larger_file, int(10 ** rng.uniform(0, 4.7)))


def _read_only(folder: Path, right: Undisturbed, rng: random.Random) -> Before:
    return partial(read_only, folder)


def _descriptors(folder: Path, right: Undisturbed, rng: random.Random) -> Before:
    return partial(few_descriptors, rng.randint(4, 40))


def _memory(folder: Path, right: Undisturbed, rng: random.Random) -> Before:
    return partial(little_memory, int(2 ** rng.uniform(16, 28)))


TROUBLES = {
    trouble.name: trouble
    for trouble in (
        Trouble("disk full", before=_full),
        Trouble("disk full in the middle of a file", before=_cut),
        Trouble("read-only folder", before=_read_only),
        Trouble("few descriptors", before=_descriptors),
        Trouble("SIGTERM", signals=lambda rng: [signal.SIGTERM]),
        Trouble("SIGINT twice", signals=lambda rng: [signal.SIGINT, signal.SIGINT]),
        Trouble("SIGHUP", signals=lambda rng: [signal.SIGHUP]),
        Trouble("stopped and continued", signals=lambda rng: [signal.SIGSTOP, signal.SIGCONT]),
        Trouble("little memory", before=_memory),
    )
}


def disturb(scene: Scene, inputs: Inputs, folder: Path, right: Undisturbed, trouble: Trouble, seed: int) -> list[Fault]:
    """Call a command in trouble, then without, and compare."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{scene.name} {trouble.name} {seed}")
    fault = partial(Fault, scene.name, seed, trouble.name)
    before = trouble.before(folder, right, rng) if trouble.before else None
    command = scene.begin(inputs, folder, before)
    for number in trouble.signals(rng) if trouble.signals else []:
        command.process.join(rng.uniform(0, right.seconds))
        command.send(number)
    ended = command.wait()
    os.chmod(folder, 0o755)
    faults = [fault(ended.wrong)] if ended.wrong and not (ended.code == 1 and scene.name == "benchmark") else []
    if ended.code == 0 and not scene.asked:
        faults += [fault(f"ended well, but {what}") for what in compare(folder, right)]
    elif left := leftovers(folder / "out"):
        faults.append(fault(f"left behind after an error: {', '.join(left)}"))
    again = go_on(scene, inputs, folder)
    if again.code != 0 or again.wrong:
        return [*faults, fault(f"cannot go on: {again.wrong or again.said[-500:]}")]
    stopped = trouble.signals is not None
    return faults + [fault(f"after going on {what}") for what in compare(folder, right, stopped)]


def on_small_disk(scene: Scene, inputs: Inputs, folder: Path, right: Undisturbed, kilobytes: int) -> list[Fault]:
    """Call a command on a disk of a given size, then with room; root alone may mount one."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        fault = partial(Fault, scene.name, kilobytes, f"a disk of {kilobytes} kB")
        ended = scene.begin(inputs, folder).wait()
        faults = [fault(ended.wrong)] if ended.wrong and not (ended.code == 1 and scene.name == "benchmark") else []
        if ended.code != 0 and (left := leftovers(folder / "out")):
            faults.append(fault(f"left behind after an error: {', '.join(left)}"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
        again = go_on(scene, inputs, folder)
        if again.code != 0 or again.wrong:
            return [*faults, fault(f"cannot go on: {again.wrong or again.said[-500:]}")]
        return faults + [fault(f"after going on {what}") for what in compare(folder, right)]
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_from(folder: Path, number: int) -> None:
    """From the change of that number on, counted from 1, no file or folder can be made below `folder`."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if changes_files(event, arguments, folder):
            seen += 1
            if seen >= number and event in ("open", "os.mkdir"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    sys.addaudithook(hook)


def no_larger_file(size: int) -> None:
    """No file of this process grows beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def read_only(folder: Path) -> None:
    """Nothing can be made in the folder, as for an ordinary user; root gives its privileges away."""
    os.chmod(folder, 0o555)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the call, this process
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def few_descriptors(count: int) -> None:
    """This process may have so many files open, the three of the terminal among them."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def little_memory(more: int) -> None:
    """This process may take so many bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
