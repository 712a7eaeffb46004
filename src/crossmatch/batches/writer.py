"""Writes the voxels of a store, one case after the other, into memory or into a file that is mapped afterwards.

Shapes: N voxels in all.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmatch.errors import UserError

PART = 2**24  # bytes that are widened at a time


class Writer:
    """Call `append` with case after case, then `finish`; as a context manager it closes its file in any case.

    Voxels that come as float32 make all of them float32, those before too.

    Args:
        path: the file; None keeps the voxels in memory. The file loses its name at once, and its space on the disk
            when nobody has it open any more.
        dtype: of the voxels, if none of them are float32.

    Raises:
        UserError: the file grows too large for its disk.
        OSError: it cannot be made.
    """

    def __init__(self, path: Path | None, dtype: type[np.integer[Any]]) -> None:
        self.dtype: type[np.number[Any]] = dtype
        self.count = 0
        self.parts: list[NDArray[Any]] = []
        self.path = path
        self.file = _nameless(path) if path else None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        if self.file:
            with contextlib.suppress(OSError):  # what did not fit on the disk was told before
                self.file.close()

    def append(self, stored: NDArray[Any]) -> int:
        """Add voxels; returns the position of the first."""
        if stored.dtype == np.float32 and self.dtype != np.float32:
            self._widen()
        start, self.count = self.count, self.count + stored.size
        if self.file:
            with self._room():
                self.file.write(np.ascontiguousarray(stored, self.dtype).data)
        else:
            self.parts.append(stored.ravel())
        return start

    def finish(self, device: torch.device) -> Tensor:
        """All voxels, (N,); a single 0 if there are none."""
        if not self.count:
            self.append(np.zeros(1, self.dtype))
        if self.file is None:
            whole, start = np.empty(self.count, self.dtype), 0
            while self.parts:  # each part is freed once it is copied, so that memory never holds everything twice
                part = self.parts.pop(0)
                whole[start : start + part.size] = part
                start += part.size
            return torch.from_numpy(whole).to(device)
        with self._room():
            self.file.flush()
            os.fsync(self.file.fileno())
        return torch.from_numpy(np.memmap(self.file, self.dtype, mode="c"))  # copy on write; nothing writes

    def _widen(self) -> None:
        """All voxels so far as float32; those in memory become it in `finish`."""
        narrow, self.dtype = self.dtype, np.float32
        if self.file is None or self.path is None:
            return
        before, self.path = self.file, self.path.with_suffix(f".wide{self.path.suffix}")
        with before, self._room():
            before.seek(0)
            self.file = _nameless(self.path)
            while part := before.read(PART):
                self.file.write(np.frombuffer(part, narrow).astype(np.float32).data)

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            gb = self.count * np.dtype(self.dtype).itemsize / 2**30
            raise UserError(
                f"The training scans do not fit on the disk of {self.path} ({error.strerror}, after {gb:.2f} GB): make "
                "room, choose an --out on a larger disk, or keep them in memory with a larger data.memory_gb."
            ) from error


def _nameless(path: Path) -> BinaryIO:
    """A new file without a name: nothing under its name before is written to, not by a link either."""
    with contextlib.suppress(OSError):
        path.unlink()  # of a process that was killed before it could do so itself
    file = cast("BinaryIO", open(path, "x+b", opener=_opened))  # noqa: SIM115 (closed by `Writer`)
    with contextlib.suppress(OSError):
        path.unlink()
    return file


def _opened(path: str, flags: int) -> int:
    """A descriptor; on Windows, which removes no open file, of one that goes when nobody has it open any more."""
    return os.open(path, flags | getattr(os, "O_TEMPORARY", 0), 0o666)
