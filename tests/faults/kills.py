"""kill -9 at random moments of a command: called again, it must come to what an undisturbed call comes to."""

import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import processes
from scenes import Inputs, Scene, contents, leftovers, torn_or_doubled

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
BUSY_SECONDS = 30.0  # that a call is tried again while a process of the killed one still writes


@dataclass(frozen=True)
class Undisturbed:
    """What a command comes to when nobody disturbs it."""

    contents: dict[str, str]
    seconds: float
    changes: int  # of the file system: files opened for writing, renamed or removed, folders made


@dataclass(frozen=True)
class Fault:
    """Something that went wrong."""

    scene: str
    seed: int
    moment: str
    what: str


def undisturbed(scene: Scene, inputs: Inputs, folder: Path) -> Undisturbed:
    """Call a command and count what it changes in its folder."""
    folder.mkdir(parents=True)
    count = folder.with_name("count")
    ended = scene.begin(inputs, folder, partial(_count, folder, count)).wait()
    if ended.wrong or ended.code != 0:
        raise RuntimeError(f"{scene.name} does not work undisturbed: {ended.said}")
    return Undisturbed(_contents(folder), ended.seconds, int(count.read_text()))


def kill(scene: Scene, inputs: Inputs, folder: Path, right: Undisturbed, seed: int) -> list[Fault]:
    """Kill a command once or twice, call it again, and compare.

    Every other seed kills just before a change of the file system, the others at any moment.
    """
    folder.mkdir(parents=True)
    out, rng = folder / "out", random.Random(seed)
    faults: list[Fault] = []
    moments = []
    for _ in range(1 + (seed % 5 == 4)):
        before, after = None, rng.uniform(0, right.seconds)
        if seed % 2:
            change = rng.randint(1, max(1, right.changes))
            before, after = partial(_kill_at, folder, change), processes.HANGS_SECONDS
            moments.append(f"change {change} of {right.changes}")
        else:
            moments.append(f"{after:.3f} s of {right.seconds:.3f} s")
        command = scene.begin(inputs, folder, before)
        command.process.join(after)
        command.send(signal.SIGKILL)
        ended = command.wait()
        if ended.wrong and ended.code != -signal.SIGKILL:
            faults.append(Fault(scene.name, seed, ", ".join(moments), ended.wrong))
    kept = _finished(out)
    fault = partial(Fault, scene.name, seed, ", ".join(moments))
    again = go_on(scene, inputs, folder)
    if again.code != 0 or again.wrong:
        return [*faults, fault(f"cannot go on: {again.wrong or again.said[-500:]}")]
    faults += [fault(what) for what in compare(folder, right)]
    if lost := [name for name, time_ns in kept.items() if _changed(out / name) != time_ns]:
        faults.append(fault(f"done again although finished: {', '.join(lost)}"))
    return faults


def compare(folder: Path, right: Undisturbed, stopped: bool = False) -> list[str]:
    """What is wrong with the results of a command that has ended well.

    A training that was `stopped` by a signal has a further line in its log: the means of the steps until then.
    """
    found, out = _contents(folder), folder / "out"
    differing = sorted(name for name in found.keys() | right.contents if found.get(name) != right.contents.get(name))
    if stopped:
        differing = [name for name in differing if not name.endswith("metrics.jsonl")]
    wrong = [f"other results: {', '.join(differing)}"] if differing else []
    if left := leftovers(out):
        wrong.append(f"left behind: {', '.join(left)}")
    return wrong + [f"{path.name}: {what}" for path in out.rglob("metrics.jsonl") for what in torn_or_doubled(path)]


def go_on(scene: Scene, inputs: Inputs, folder: Path) -> processes.Ended:
    """Call the command again; a benchmark's training may outlive it a little, and is waited for."""
    out, end = folder / "out", time.monotonic() + BUSY_SECONDS
    if scene.at_once and out.exists():
        return processes.Ended(0, "", 0)
    while True:
        ended = scene.begin(inputs, folder).wait()
        busy = ended.code == 2 and ("running in" in ended.said or "another process" in ended.said)
        if not busy or time.monotonic() > end:
            return ended
        time.sleep(0.1)


def _contents(folder: Path) -> dict[str, str]:
    found = contents(folder / "out") if (folder / "out").exists() else {}
    cache = folder / "cache"
    prints = {path.name: str(path.stat().st_size > 0) for path in cache.rglob("fingerprint.json")}
    return {**found, **prints}


def _finished(out: Path) -> dict[str, int]:
    """Masks and evaluations of finished cells, which nobody needs to make again: name -> time of the last change."""
    done = [*out.glob("*.nii.gz"), *out.rglob("test/*.nii.gz")] if (out / "prediction.json").exists() else []
    done += [path for path in out.rglob("test/cases.csv") if (path.parent / "summary.json").exists()]
    return {str(path.relative_to(out)): _changed(path) for path in done}


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def changes_files(event: str, arguments: tuple[object, ...], folder: Path) -> bool:
    """Whether an audit event (sys.addaudithook) is about to change something below a folder."""
    if event == "open":
        path, _, flags = arguments
        if not (isinstance(flags, int) and flags & _WRITES):
            return False
    elif event in ("os.rename", "os.remove", "os.mkdir", "os.truncate"):
        path = arguments[0]
    else:
        return False
    return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(f"{folder}/")


def _kill_at(folder: Path, number: int) -> None:
    """Let this process kill itself just before the change of that number, counted from 1."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if changes_files(event, arguments, folder):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _count(folder: Path, count: Path) -> None:
    """Let this process keep a file that says how many changes it has made."""
    seen = 0
    count.write_text("0")  # beside the folder

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if changes_files(event, arguments, folder):
            seen += 1
            count.write_text(str(seen))

    sys.addaudithook(hook)
