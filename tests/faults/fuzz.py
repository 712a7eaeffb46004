"""Every reader on files made wrong by a seed: a right result or one paragraph, within time and memory.

Readers run in processes that may take 2 GB, some hundred inputs each; a process that hangs or dies is replaced.
"""

import hashlib
import io
import os
import random
import shutil
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import processes
from disks import little_memory
from readers import READERS, Reader
from scenes import Inputs

MEMORY = 2 * 2**30  # bytes more than the process has at its start


@dataclass(frozen=True)
class Wrong:
    """An input that a reader did not take well; the same seed makes it again."""

    reader: str
    seed: int
    what: str


def fuzz(reader: Reader, inputs: Inputs, folder: Path, count: int) -> list[Wrong]:
    """Try the seeds from 0 to `count` - 1."""
    folder.mkdir(parents=True)
    wrong: list[Wrong] = []
    seed = 0
    while seed < count:
        receiving, process = processes.start(_work, reader.name, inputs, folder / "files", seed, count)
        try:
            for seed in range(seed, count):  # noqa: B020 (goes on where the process before ended)
                what = receiving.recv() if receiving.poll(processes.HANGS_SECONDS) else _Hangs
                if what is _Hangs:
                    wrong.append(Wrong(reader.name, seed, f"hangs for {processes.HANGS_SECONDS:.0f} s"))
                    break
                if what:
                    wrong.append(Wrong(reader.name, seed, what))
        except EOFError:
            process.join()
            wrong.append(Wrong(reader.name, seed, f"the process died with code {process.exitcode}"))
        seed += 1
        process.kill()
        process.join()
        receiving.close()
    return wrong


def make_wrong(reader: Reader, inputs: Inputs, folder: Path, seed: int) -> Path:
    """The wrong file of one seed, with the sound files that belong to it in a new folder."""
    path = reader.make(inputs, folder)
    path.write_bytes(_mutated(reader, path.read_bytes(), seed))
    return path


class _Hangs:
    """Nothing came."""


def _mutated(reader: Reader, sound: bytes, seed: int) -> bytes:
    return reader.mutate(sound, random.Random(f"{reader.name} {seed}"))


def _work(name: str, inputs: Inputs, folder: Path, begin: int, count: int, sending: Connection) -> None:
    """The process: say of each seed what is wrong with how it was read, None where nothing is."""
    os.environ["CROSSMATCH_CACHE"] = str(folder.with_name("cache"))
    reader = READERS[name]
    shutil.rmtree(folder, ignore_errors=True)
    path = reader.make(inputs, folder)
    sound = path.read_bytes()
    right = _digest(reader.read(path))  # also imports what is needed, before memory is short
    little_memory(MEMORY)
    for seed in range(begin, count):
        path.write_bytes(_mutated(reader, sound, seed))
        sending.send(_try(reader, path, right))


def _try(reader: Reader, path: Path, right: str) -> str | None:
    from crossmatch.errors import UserError

    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            found = reader.read(path)
    except UserError as error:
        text = str(error)
        return f"not one paragraph: {text[:1000]}" if "\n\n" in text else None
    except Exception as error:
        return "".join(traceback.format_exception(error))[-1500:]
    return "damaged, but taken for something else" if reader.checked and _digest(found) != right else None


def _digest(found: Any) -> str:
    parts = [found.voxels.tobytes(), found.affine.tobytes()] if hasattr(found, "voxels") else [repr(found).encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()
