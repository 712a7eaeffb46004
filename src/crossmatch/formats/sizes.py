"""What a header claims is compared with the file before memory is taken; compressed files are read to their end.

A compressed file may grow to 1,100 times its size, which is more than gzip can pack, or to 256 MB, whichever is more.
"""

import os
from pathlib import Path
from typing import Protocol

LARGEST_RATIO = 1100
ALWAYS_ALLOWED = 2**28  # bytes
_AFTER_THE_END = 2**24  # bytes that may follow what the header speaks of
_PART = 2**20  # bytes read at a time


class Stream(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def check_claim(path: str | os.PathLike[str], claimed: int, compressed: bool) -> None:
    """Raise ValueError if a header claims more bytes than its file can hold.

    Args:
        path: the file; claimed: bytes of its voxels, and what stands before them in the same stream.
        compressed: whether the file holds them compressed.
    """
    held = Path(path).stat().st_size
    limit = max(LARGEST_RATIO * held, ALWAYS_ALLOWED) if compressed else held
    if not 0 <= claimed <= limit:
        where = f"at most {limit:,} compressed in {held:,}" if compressed else f"{held:,}"
        raise ValueError(f"its header claims {claimed:,} bytes, the file can hold {where}")


def read_to_end(stream: Stream) -> int:
    """Read what is left of a compressed stream, so that its checksum is verified; how many bytes that was.

    Raises:
        ValueError: far more is left than a header spoke of. Whatever the stream raises for a wrong checksum.
    """
    left = 0
    while part := stream.read(_PART):
        left += len(part)
        if left > _AFTER_THE_END:
            raise ValueError("it holds far more than its header claims")
    return left
