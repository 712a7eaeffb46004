"""The fingerprint of a dataset: what `check` found, kept as JSON so that the voxels need not be read again.

It lies in the dataset's folder, or in the user's cache folder if the dataset's folder is read-only. It is fresh as long
as the lists, `dataset.json` and the content of every file have not changed. A file of equal size and times counts
as unchanged: the system sets the time of the last change of state (ctime), whatever time a program gives a file. A file
with other times, as after a copy to another machine, is read and compared by its digest.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from crossmatch.atomic import read_json, write_text
from crossmatch.dataset.dataset import Case, Dataset, Split, uncollected
from crossmatch.dataset.orientation import Frame
from crossmatch.errors import UserError
from crossmatch.formats import parts

VERSION = 6  # of the JSON; a fingerprint of another version is not used
Progress = Callable[[int, int], None]  # called with (cases done, cases in all)


@dataclass(frozen=True)
class Intensity:
    """Grey values of one channel of one image, in the file's unit."""

    min: float
    max: float
    mean: float
    std: float
    p00_5: float  # 0.5th percentile
    p99_5: float  # 99.5th percentile


@dataclass(frozen=True)
class Stamp:
    """A file as it was when it was scanned."""

    path: str  # below the dataset's root
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int
    sha256: str  # of its bytes


@dataclass(frozen=True)
class CasePrint:
    """What the scan found in one case; shape, affine, spacing and hashes are those in the dataset's frame."""

    id: str
    split: Split
    shape: tuple[int, ...]  # (*S)
    affine: tuple[tuple[float, ...], ...]  # 4 x 4
    spacing_mm: tuple[float, ...] | None  # one per axis; None when unknown
    oriented: bool  # whether it is 3D and says how its axes run; if not, it is used as stored
    label_turned: bool  # whether its label is stored with other axes than the image, and is turned onto it
    dtype: str  # of the voxels as read
    intensity: tuple[Intensity, ...]  # one per channel
    label_voxels: tuple[int, ...] | None  # voxels of each label value 0..K-1; None without a label file
    box: tuple[int, ...] | None  # voxels along each axis of the box around a training label's foreground; else None
    image_sha256: str
    label_sha256: str | None
    files: tuple[Stamp, ...]


@dataclass(frozen=True)
class Fingerprint:
    """What the scan found in a dataset."""

    channels: tuple[str, ...]
    labels: dict[str, int]  # all that label files may hold, `Dataset.drawn`
    slice_axis: int
    digest: str  # SHA-256 of the content: equal images, labels and splits give equal digests, wherever they lie
    warnings: tuple[str, ...]  # all; in the file those for which files were opened alone, see `with_all_warnings`
    cases: tuple[CasePrint, ...]

    def split(self, split: Split) -> tuple[CasePrint, ...]:
        """The cases of one split."""
        return tuple(case for case in self.cases if case.split == split)

    @property
    def frame(self) -> Frame | None:
        """The affine of the first training scan that says how its axes run: all scans are turned to its axes."""
        return next((case.affine for case in self.split("train") if case.oriented), None)


def content_digest(dataset: Dataset, cases: tuple[CasePrint, ...]) -> str:
    """SHA-256 of channels, labels, slice axis and each case's split, geometry and voxels, without paths or times."""
    content = [dataset.channels, dataset.drawn, dataset.slice_axis]
    content += [
        (case.id, case.split, case.shape, case.affine, case.spacing_mm, case.image_sha256, case.label_sha256)
        for case in sorted(cases, key=lambda case: case.id)
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def fingerprint_path(root: str | os.PathLike[str], becomes: str | os.PathLike[str] | None = None) -> Path:
    """Where the fingerprint of a dataset is written; `becomes` names the folder that it is going to be, if another.

    It is `fingerprint.json` in the dataset's folder, or below the user's cache folder if that folder is read-only. The
    environment variable CROSSMATCH_CACHE names another cache folder, which is used always.
    """
    root = Path(root)
    forced = os.environ.get("CROSSMATCH_CACHE")
    if not forced and root.stat().st_mode & 0o222 and os.access(root, os.W_OK):
        return root / "fingerprint.json"
    cache = Path(forced) if forced else _users_cache()
    return cache / hashlib.sha256(str(Path(becomes or root).resolve()).encode()).hexdigest()[:16] / "fingerprint.json"


def _users_cache() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossmatch"
    except RuntimeError:  # a user without an entry in the system's list, as containers have them
        raise UserError(
            "There is no home folder for what is found in data of a read-only folder: name a folder with the "
            "environment variable CROSSMATCH_CACHE."
        ) from None


def save_fingerprint(root: Path, fingerprint: Fingerprint, becomes: Path | None = None) -> Path:
    """Write the fingerprint, complete or not at all, and return where; `becomes` as for `fingerprint_path`."""
    path = fingerprint_path(root, becomes)
    try:
        write_text(path, json.dumps({"version": VERSION, **asdict(fingerprint)}) + "\n")
    except UserError as error:
        raise UserError(f"{error} The environment variable CROSSMATCH_CACHE names another.") from error
    return path


def read_fresh(dataset: Dataset, progress: Progress | None = None) -> Fingerprint | None:
    """The stored fingerprint of a dataset opened with all splits, or None when there is none or it is stale.

    One that is fresh by the digests of copied files is written again with their new times.
    """
    beside = dataset.root / "fingerprint.json"  # a read-only folder may hold one that its owner made
    found = None if os.environ.get("CROSSMATCH_CACHE") else _fresh(beside, dataset, progress)
    return found or _fresh(fingerprint_path(dataset.root), dataset, progress)


def stamps(dataset: Dataset, case: Case) -> tuple[Stamp, ...]:
    """Size, times and digests of the files of a case; a UserError for a broken link."""
    above = len(dataset.root.parts)
    found = []
    for path in _files(case):
        state = _state(path)  # before its bytes are read: a file that changes meanwhile is told by its times
        found.append(Stamp("/".join(path.parts[above:]), *state, _digest(path)))
    return tuple(found)


def _files(case: Case) -> list[Path]:
    named = (*case.images, *([case.label] if case.label else []))
    return [file for each in named for file in parts(each)]


def _state(path: Path) -> tuple[int, int, int]:
    """Size and times of a file, without opening it."""
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be reached ({error.strerror}): mend the link, or copy the file.") from error
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty where it cannot be read, which its format tells of."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _fresh(path: Path, dataset: Dataset, progress: Progress | None) -> Fingerprint | None:
    fingerprint = _read(path)
    if fingerprint is None or not _describes(fingerprint, dataset):
        return None
    cases = []
    for done, (scanned, case) in enumerate(zip(fingerprint.cases, dataset.cases, strict=True), start=1):
        files = _unchanged(dataset, scanned, case)
        if files is None:
            return None
        if files is not scanned.files and progress is not None:  # it was read, which takes its time
            progress(done, len(dataset.cases))
        cases.append(scanned if files is scanned.files else replace(scanned, files=files))
    if all(case is scanned for case, scanned in zip(cases, fingerprint.cases, strict=True)):
        return fingerprint
    renewed = replace(fingerprint, cases=tuple(cases))
    with suppress(UserError):  # a place that cannot be written to: the digests are compared again the next time
        save_fingerprint(dataset.root, renewed)
    return renewed


def _describes(fingerprint: Fingerprint, dataset: Dataset) -> bool:
    """Whether a fingerprint is of these channels, labels and cases."""
    described = (fingerprint.channels, fingerprint.labels, fingerprint.slice_axis)
    if described != (dataset.channels, dataset.drawn, dataset.slice_axis):
        return False
    return [(case.id, case.split) for case in fingerprint.cases] == [(case.id, case.split) for case in dataset.cases]


def _unchanged(dataset: Dataset, scanned: CasePrint, case: Case) -> tuple[Stamp, ...] | None:
    """The stamps of a case whose files have the content that was scanned: the same object where no time differs."""
    files, above = _files(case), len(dataset.root.parts)
    if ["/".join(path.parts[above:]) for path in files] != [stamp.path for stamp in scanned.files]:
        return None
    states = [_state(path) for path in files]
    if any(state[0] != stamp.size for state, stamp in zip(states, scanned.files, strict=True)):
        return None
    renewed = []
    for path, state, stamp in zip(files, states, scanned.files, strict=True):
        if state != (stamp.size, stamp.mtime_ns, stamp.ctime_ns) and _digest(path) != stamp.sha256:
            return None
        renewed.append(Stamp(stamp.path, *state, stamp.sha256))
    return scanned.files if tuple(renewed) == scanned.files else tuple(renewed)


@dataclass(frozen=True)
class _Stored(Fingerprint):
    """The content of fingerprint.json."""

    version: Literal[6]  # VERSION


@uncollected()
def _read(path: Path) -> Fingerprint | None:
    """A fingerprint from its file; None when there is none, or it is from another version or damaged."""
    try:
        stored = read_json(path, _Stored, "")
    except UserError:
        return None
    return Fingerprint(**{field.name: getattr(stored, field.name) for field in fields(Fingerprint)})
