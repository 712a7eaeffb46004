"""Compressed files are read to their end: only there lie the checksum and the length that tell damaged voxels."""

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

SPARE_BYTES = 2**20  # what may follow the voxels, such as padding; more contradicts the header
_PART_BYTES = 2**20  # read at a time


@contextmanager
def whole_gzip(path: Path) -> Iterator[gzip.GzipFile]:
    """The content of a .gz file as a stream. When the block ends, the rest is read and the checksum compared.

    Raises:
        gzip.BadGzipFile, zlib.error, EOFError: the file is damaged or truncated.
        ValueError: more than `SPARE_BYTES` follow what the block has read.
    """
    with gzip.open(path, "rb") as stream:
        yield stream
        spare = 0
        while part := stream.read(_PART_BYTES):
            spare += len(part)
            if spare > SPARE_BYTES:
                raise ValueError("it holds far more than the voxels of its header")


def decompressed(file: BinaryIO, kind: str, size: int) -> bytes:
    """The rest of an open file, which is one gzip or bzip2 stream, or several in a row.

    Args:
        kind: "gzip" or "bzip2".
        size: bytes that are wanted; no more than `SPARE_BYTES` further ones are decompressed.

    Raises:
        OSError, zlib.error, EOFError: the stream is damaged or truncated.
        ValueError: it holds far more.
    """
    data, parts, room = file.read(), [], size + SPARE_BYTES
    while data:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16) if kind == "gzip" else bz2.BZ2Decompressor()
        parts.append(stream.decompress(data, room + 1))
        room -= len(parts[-1])
        if room < 0:
            raise ValueError("it holds far more than the voxels of its header")
        if not stream.eof:
            raise EOFError("its compressed voxels end too early")
        data = stream.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)
