"""Which case of a dataset a scan is that lies elsewhere, however it is stored there; `leaks` says what is equal.

What the fingerprint knows of files that did not change since is used, so that hardly an image of the dataset is read.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch import formats
from crossmatch.atomic import read_json
from crossmatch.dataset.dataset import Case, uncollected
from crossmatch.dataset.fingerprint import VERSION, CasePrint, fingerprint_path
from crossmatch.dataset.leaks import turn_between
from crossmatch.errors import UserError
from crossmatch.formats.seal import inode

_CLOSE = 1e-8  # of the largest grey value: how far statistics of equal voxels of different types may lie apart
_MOST = 10_000  # scans whose statistics are remembered
_ALIKE_SINCE = 5  # the version of fingerprints since which cases are described as today
_State = tuple[int, int, int]  # size and times of a file
_Statistics = tuple[tuple[float, float, float, float], ...]  # least, largest, mean and deviation of each channel


class KnownImages:
    """The images of some cases of a dataset. Several threads may ask at once."""

    def __init__(self, root: Path, cases: Iterable[Case]) -> None:
        cases = list(cases)
        self._prints = unchanged_prints(root, cases)
        self._by_file: dict[tuple[int, int], Case] = {}
        self._by_shape: dict[tuple[int, ...], list[Case]] = defaultdict(list)
        for case in cases:
            with suppress(UserError, OSError):  # one that cannot be read is for those to tell who need it
                found = self._prints.get(case.id)
                shape = formats.read_grid(case.images[0]).shape if found is None else found.shape
                self._by_shape[tuple(sorted(shape))].append(case)
            if (file := inode(case.images[0])) is not None:
                self._by_file[file] = case

    def same_as(self, images: Sequence[Path]) -> Case | None:
        """The case that a scan is; None where it is none of them, or cannot be read.

        Args:
            images: one file a channel, or one that holds several channels.
        """
        file = inode(images[0])
        if file is not None and file in self._by_file:
            return self._by_file[file]
        try:
            alike = self._by_shape.get(tuple(sorted(formats.read_grid(images[0]).shape)), [])
            statistics = _statistics_of(images) if alike else ()
        except (UserError, OSError):
            return None
        for case in alike:
            with suppress(UserError, OSError):
                if _agree(statistics, self._known(case)) and turn_between(tuple(images), case.images) is not None:
                    return case
        return None

    def _known(self, case: Case) -> _Statistics:
        found = self._prints.get(case.id)
        if found is None:
            return _statistics_of(case.images)
        return tuple((each.min, each.max, each.mean, each.std) for each in found.intensity)


def unchanged_prints(root: Path, cases: Iterable[Case]) -> dict[str, CasePrint]:
    """What the fingerprint of a dataset says of the cases whose image files have the sizes and times they had then."""
    prints, found = _prints(root), dict[str, CasePrint]()
    for case in cases:
        with suppress(UserError, OSError):
            if case.id in prints and _is_of(prints[case.id], root, case):
                found[case.id] = prints[case.id]
    return found


class _StoredPrints(TypedDict):
    """What is read of fingerprint.json."""

    version: int
    cases: list[CasePrint]


@uncollected()
def _prints(root: Path) -> dict[str, CasePrint]:
    """What the fingerprint of a dataset says of each case, also where it is stale as a whole."""
    for place in (root / "fingerprint.json", None):
        with suppress(UserError):  # none, or of another version
            stored = read_json(place or fingerprint_path(root), _StoredPrints, "")
            if _ALIKE_SINCE <= stored["version"] <= VERSION:
                return {case.id: case for case in stored["cases"]}
    return {}


def _is_of(found: CasePrint, root: Path, case: Case) -> bool:
    """Whether the files of a case's image are those that were scanned, by their sizes and times."""
    above = len(root.parts)
    stamps = {stamp.path: (stamp.size, stamp.mtime_ns, stamp.ctime_ns) for stamp in found.files}
    files = [part for path in case.images for part in formats.parts(path)]
    return all(stamps.get("/".join(file.parts[above:])) == _state(file) for file in files)


def _state(path: Path) -> _State:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _statistics_of(images: Sequence[Path]) -> _Statistics:
    """Of the channels in files; remembered as long as these do not change."""
    return _read(tuple(images), tuple(_state(part) for path in images for part in formats.parts(path)))


@lru_cache(maxsize=_MOST)
def _read(images: tuple[Path, ...], states: tuple[_State, ...]) -> _Statistics:
    found = []
    for volume in formats.read_channels(images):
        voxels = volume.voxels
        mean, deviation = voxels.mean(dtype=np.float64), voxels.std(dtype=np.float64)
        found.append((float(voxels.min()), float(voxels.max()), float(mean), float(deviation)))
    return tuple(found)


def _agree(one: _Statistics, other: _Statistics) -> bool:
    """Whether two images may be equal."""
    if len(one) != len(other):
        return False
    for ours, theirs in zip(one, other, strict=True):
        apart = _CLOSE * max(abs(ours[0]), abs(ours[1]))
        if not all(math.isclose(a, b, rel_tol=0, abs_tol=apart) for a, b in zip(ours, theirs, strict=True)):
            return False
    return True
