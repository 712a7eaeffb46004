"""The voxels of an NRRD file, read within bounds: no more than the header claims, and no more than the file can hold.

pynrrd would inflate whatever a file holds, and skip as many lines as its header says.
"""

import bz2
import gzip
from pathlib import Path
from typing import IO, Any, Literal

import nrrd
import numpy as np

from crossmatch.errors import UserError
from crossmatch.formats.sizes import Stream, check_claim, read_to_end
from crossmatch.formats.volume import Array

# NumPy's type -> the names that the format has for it
_NAMES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPES = {name: kind for kind, names in _NAMES.items() for name in names.split(", ")}
_RAW, _TEXT, _GZIP, _BZIP2 = ("raw",), ("ascii", "text", "txt"), ("gzip", "gz"), ("bzip2", "bz2")


def read_voxels(path: Path) -> tuple[Array, dict[str, Any]]:
    """Voxels (any rank, the file's axis order) and the fields of the header.

    Raises:
        UserError: the voxels lie in another folder, or in a file that does not exist.
        ValueError: the header claims what cannot be, or what the file does not hold.
    """
    with path.open("rb") as file:
        header: dict[str, Any] = nrrd.read_header(file)
        detached = data_file(header)
        if detached is None:
            return _read(path, file, header, detached=False), header
    other = path.parent / detached
    if Path(detached).name != detached:
        raise UserError(
            f"{path} keeps its voxels in {detached}: put that file beside it, and name it without a folder."
        )
    if not other.is_file():
        raise UserError(f"{path} keeps its voxels in {other}, which does not exist: copy both.")
    with other.open("rb") as file:
        return _read(other, file, header, detached=True), header


def data_file(header: dict[str, Any]) -> str | None:
    """The file that holds the voxels of a header, as it names it; None where they follow the header."""
    found = header.get("data file", header.get("datafile"))
    return None if found is None else str(found)


def _read(path: Path, file: IO[bytes], header: dict[str, Any], detached: bool) -> Array:
    """The array that begins where `file` stands; `path` is its name, and `detached` if it has no header of its own."""
    shape = tuple(int(n) for n in header["sizes"])
    kind, encoding = str(header["type"]).lower(), str(header["encoding"]).lower()
    if kind not in _TYPES:
        raise ValueError(f"its voxels are of the type {kind}")
    dtype = np.dtype(_TYPES[kind])
    if dtype.itemsize > 1 and encoding not in _TEXT:
        order: Literal["<", ">"] = "<" if _endian(header) == "little" else ">"
        dtype = dtype.newbyteorder(order)
    count = int(np.prod(shape, dtype=object))
    lines, skipped = (int(header.get(f"{what} skip", header.get(f"{what}skip", 0))) for what in ("line", "byte"))
    size = count * dtype.itemsize
    if min(shape, default=0) < 0 or lines < 0 or skipped < -1 or (skipped == -1 and encoding not in _RAW):
        raise ValueError(f"it has the sizes {shape}, and skips {lines} lines and {skipped} bytes")
    for _ in range(lines):
        if not file.readline():
            raise EOFError(f"it has fewer than the {lines} lines that are to be skipped")
    if encoding in _TEXT:
        check_claim(path, 2 * count - 1, compressed=False)  # a digit and a space for each
        file.seek(skipped, 1)
        found = np.array(file.read().split(), dtype=np.float64 if dtype.kind == "f" else np.int64)
        if found.size != count:
            raise ValueError(f"it holds {found.size} numbers, and claims {count}")
        return found.astype(dtype).reshape(shape, order="F")
    check_claim(path, max(skipped, 0) + size, compressed=encoding not in _RAW)
    if encoding in _RAW:
        first = file.tell()
        file.seek(*((-size, 2) if skipped == -1 else (skipped, 1)))
        if file.tell() < first:
            raise EOFError("its voxels would begin inside its header")
        voxels = _array(file, size, dtype, shape)
        if detached and skipped != -1:
            _refuse_more(path.stat().st_size - file.tell(), skipped)
        return voxels
    with _inflating(encoding, file) as stream:
        if len(stream.read(skipped)) < skipped:
            raise EOFError("it ends before its voxels begin")
        voxels = _array(stream, size, dtype, shape)
        _refuse_more(read_to_end(stream), skipped)
        return voxels


def _refuse_more(left: int, skipped: int) -> None:
    """Raise ValueError where a file holds more than the voxels: it may begin with the header of another format."""
    if left:
        raise ValueError(
            f"{left:,} bytes are left after its voxels, so these may begin later than after {skipped} bytes, as its "
            "header says"
        )


def _endian(header: dict[str, Any]) -> str:
    endian = str(header.get("endian", "nothing")).lower()
    if endian not in ("little", "big"):
        raise ValueError(f"its endian is {endian}")
    return endian


def _inflating(encoding: str, file: IO[bytes]) -> gzip.GzipFile | bz2.BZ2File:
    if encoding in _GZIP:
        return gzip.GzipFile(fileobj=file, mode="rb")
    if encoding in _BZIP2:
        return bz2.BZ2File(file)
    raise ValueError(f"its encoding is {encoding}")


def _array(stream: Stream, size: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError(f"it holds {len(data):,} bytes of voxels, and claims {size:,}")
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F")
