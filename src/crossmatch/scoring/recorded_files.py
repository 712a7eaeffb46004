"""Files as prediction.json records them, and whether they are still as they were when masks were made."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch import formats
from crossmatch.atomic import file_sha256, read_json
from crossmatch.scoring.stored import Prediction


@with_config(ConfigDict(extra="forbid"))
class SourceFile(TypedDict):
    """A file of a scan as it was when its mask was made, or the mask as it was written."""

    path: str  # from the folder of the masks
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int  # changes with every change of the file, whatever its time says
    sha256: str | None  # of its bytes; None until it is read


_FILES = TypeAdapter(list[SourceFile])


def has_changed(path: Path, recorded: SourceFile) -> bool:
    """Whether a file has another content than was recorded; read and compared by digest where only times differ.

    One whose digest was not recorded counts as another then.
    """
    stat = path.stat()
    if stat.st_size != recorded["size"]:
        return True
    if (stat.st_mtime_ns, stat.st_ctime_ns) == (recorded["mtime_ns"], recorded["ctime_ns"]):
        return False
    return recorded["sha256"] is None or digest_once(path) != recorded["sha256"]


def digest_once(path: Path) -> str:
    """The digest of a file, which is read once as long as its size and times stay."""
    stat = path.stat()
    return _read(path.absolute(), (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))


@lru_cache(maxsize=100_000)
def _read(path: Path, state: tuple[int, int, int]) -> str:
    return file_sha256(path)


def rewritten_scans(masks: Mapping[str, Path]) -> list[str]:
    """The cases whose scans were written since `predict` made their masks; none where that is not known.

    A scan that is not where it was any more is passed over.

    Args:
        masks: case -> its file; all in one folder.

    Raises:
        UserError: prediction.json is damaged.
    """
    origin = next((path.parent / "prediction.json" for path in masks.values()), None)
    if origin is None or not origin.is_file():
        return []
    scans = read_json(origin, Prediction, "predict again, or remove it").get("scans", {})
    return [case for case, path in masks.items() if _any_changed(path.parent, scans.get(formats.stem(path) or "", []))]


def _any_changed(folder: Path, recorded: object) -> bool:
    """Whether one of a scan's files that are still there has another content than was recorded."""
    try:
        files = _FILES.validate_python(recorded)
    except ValidationError:  # of an earlier version
        return False
    places = [(folder.resolve() / file["path"], file) for file in files]
    return any(path.is_file() and has_changed(path, file) for path, file in places)
