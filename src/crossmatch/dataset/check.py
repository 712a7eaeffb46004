"""Look at every voxel of a dataset once: report what is wrong, and keep what was found as a fingerprint.

All errors are collected and reported together: files that cannot be read, voxels that are not finite, constant images,
channels or labels on another grid than their image, label values that are not declared, label lists with cases that
have no label, a file of a test case linked among those that are learned from. Warnings: see `warnings.py`.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.dataset.dataset import Case, Dataset, open_dataset
from crossmatch.dataset.fingerprint import (
    CasePrint,
    Fingerprint,
    Intensity,
    Progress,
    content_digest,
    read_fresh,
    save_fingerprint,
    stamps,
)
from crossmatch.dataset.layout import refuse
from crossmatch.dataset.leaks import shared_files
from crossmatch.dataset.orientation import (
    UNTURNED,
    Frame,
    Turn,
    difference,
    read_beside,
    states_axes,
    turn_grid,
    turn_into,
    turn_onto,
    turn_volume,
    turn_voxels,
)
from crossmatch.dataset.voxels import count_labels, intensity_of
from crossmatch.dataset.warnings import file_warnings, with_all_warnings
from crossmatch.errors import UserError
from crossmatch.formats import Array, Volume

_WORKERS = 4  # threads: decompressing and hashing run in parallel, and each thread holds one case in memory


class UnfitCases(UserError):
    """What is wrong with a dataset, also case by case for those who can go on without some."""

    def __init__(self, message: str, by_case: dict[str, list[str]]) -> None:
        super().__init__(message)
        self.by_case = by_case  # name of a case -> its problems


def check(
    root: str | os.PathLike[str], progress: Progress | None = None, becomes: str | os.PathLike[str] | None = None
) -> Fingerprint:
    """Scan all cases of all splits, write the fingerprint (`fingerprint_path(root)` says where) and return it.

    Args:
        root: the folder of a dataset.
        progress: called with (cases done, cases in all).
        becomes: the folder's name to be, where a dataset is checked before it is put in its place.

    Raises:
        UserError: an error of `open_dataset`, or all problems of the voxels in one message. Nothing is written then.
    """
    return _check(open_dataset(root), progress, None if becomes is None else Path(becomes))


def load_fingerprint(dataset: Dataset, progress: Progress | None = None) -> Fingerprint:
    """The fingerprint of a dataset: the stored one while it is fresh, else that of a new `check`.

    No voxel is read of a fresh one; files whose times changed, as those of a copied dataset, are compared by digest.

    Args:
        dataset: opened with all its splits; progress: as `check` takes it.
    """
    stored = read_fresh(dataset, progress)
    return _check(dataset, progress) if stored is None else with_all_warnings(dataset, stored)


def _check(dataset: Dataset, progress: Progress | None, becomes: Path | None = None) -> Fingerprint:
    scanned: list[CasePrint] = []
    by_case: dict[str, list[str]] = {}
    frame = frame_of(dataset.split("train"))
    doubted: list[tuple[str, str | None]] = []
    problems = [wrong for subset in dataset.subsets() for wrong in dataset.subset_problems(subset)]
    problems += shared_files(dataset)
    problems += formats.mixed_palettes(case.label for case in dataset.cases if case.label is not None)
    with ThreadPoolExecutor(max_workers=min(_WORKERS, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda case: _scan(dataset, case, frame), dataset.cases)
        for done, (found, wrong, doubtful) in enumerate(results, start=1):
            problems += wrong
            by_case |= {dataset.cases[done - 1].id: wrong} if wrong else {}
            doubted += doubtful
            scanned += [found] if found is not None else []
            if progress is not None:
                progress(done, len(dataset.cases))
    if len({len(case.shape) for case in scanned}) > 1:
        flat = next(case.id for case in scanned if len(case.shape) == 2)
        deep = next(case.id for case in scanned if len(case.shape) == 3)
        problems.append(f"{flat} is 2D and {deep} is 3D: keep them in two datasets, or store slices as (x, y, 1)")
    try:
        refuse(dataset.root, problems)
    except UserError as error:
        raise UnfitCases(str(error), by_case) from None
    cases = tuple(scanned)
    fingerprint = Fingerprint(
        channels=dataset.channels,
        labels=dataset.drawn,
        slice_axis=dataset.slice_axis,
        digest=content_digest(dataset, cases),
        warnings=(*file_warnings(dataset, cases), *formats.doubts(doubted)),
        cases=cases,
    )
    save_fingerprint(dataset.root, fingerprint, becomes)
    return with_all_warnings(dataset, fingerprint)


def frame_of(train: Sequence[Case]) -> Frame | None:
    """As `Fingerprint.frame`, from the headers; a file that cannot be read is left to `_scan`."""
    for case in train:
        with suppress(UserError):
            grid = formats.read_grid(case.images[0])
            if len(grid.shape) != 3:
                return None
            if states_axes(grid):
                return tuple(map(tuple, grid.affine.tolist()))
    return None


def _scan(
    dataset: Dataset, case: Case, frame: Frame | None
) -> tuple[CasePrint | None, list[str], list[tuple[str, str | None]]]:
    """Look at one case: what was found, or None where there are problems; the problems; files with their doubts."""
    try:
        files = stamps(dataset, case)  # before the voxels are read: a file that changes later makes this stale
    except UserError as error:
        return None, [str(error).rstrip(".")], []
    problems: list[str] = []
    doubtful: list[tuple[str, str | None]] = []
    intensity: list[Intensity] = []
    digest = hashlib.sha256()
    first: Volume | None = None
    for path in case.images:
        for image in _read(path, case.images[0], problems):
            first = first or image
            doubtful.append((path.name, image.doubt))
            turn = turn_onto(first, image)
            if turn is None:
                problems.append(f"{path} lies on another grid than {case.images[0].name}: {difference(first, image)}")
            placed = turn_volume(turn_volume(image, turn or UNTURNED), turn_into(frame, first)).voxels
            values = intensity_of(path, placed, problems)
            intensity += [values] if values is not None else []
            _hash(digest, placed)
    if not problems and len(intensity) != len(dataset.channels):
        problems.append(
            f"{case.images[0]} holds {len(intensity)} channel{'s' * (len(intensity) > 1)}, dataset.json names "
            f"{len(dataset.channels)} ({', '.join(dataset.channels)}): correct channel_names, or save the image as the "
            "others are"
        )
    label_voxels: tuple[int, ...] | None = None
    label_sha256: str | None = None
    box: tuple[int, ...] | None = None
    onto_image: Turn | None = UNTURNED
    label = _read_label(case, first, dataset.drawn, problems)
    if case.label is not None and label is not None:
        doubtful.append((case.label.name, label.doubt))
        onto_image = UNTURNED if first is None else turn_onto(first, label)
        if first is not None and onto_image is None:
            problems.append(f"{case.label} lies on another grid than its image: {difference(first, label)}")
        drawn = turn_voxels(label.voxels, onto_image or UNTURNED)
        drawn = drawn if first is None else turn_voxels(drawn, turn_into(frame, first))
        counts = count_labels(case.label, drawn, dataset.drawn, problems)
        label_voxels = None if counts is None else counts[: len(dataset.labels)]
        if case.split == "train":
            box = _box(drawn, dataset.ignore)
        label_digest = hashlib.sha256()
        _hash(label_digest, drawn.astype(np.uint16) if label_voxels is not None else drawn)
        label_sha256 = label_digest.hexdigest()
    if problems or first is None:
        return None, problems, []
    grid = turn_grid(first, turn_into(frame, first))
    found = CasePrint(
        id=case.id,
        split=case.split,
        shape=grid.shape,
        affine=tuple(map(tuple, grid.affine.tolist())),
        spacing_mm=grid.spacing_mm,
        oriented=states_axes(grid),
        label_turned=onto_image != UNTURNED,
        dtype=first.voxels.dtype.name,
        intensity=tuple(intensity),
        label_voxels=label_voxels,
        box=box,
        image_sha256=digest.hexdigest(),
        label_sha256=label_sha256,
        files=files,
    )
    return found, [], doubtful


def _read(path: Path, first: Path, problems: list[str]) -> list[Volume]:
    """The channels in one file; none where it cannot be read, or may lie otherwise than the first."""
    try:
        found = formats.read_channels([path])
        if path != first:
            formats.refuse_other_turn(path, first)
        return found
    except UserError as error:
        problems.append(str(error).rstrip("."))
        return []


def _read_label(case: Case, image: Volume | None, labels: dict[str, int], problems: list[str]) -> Volume | None:
    """The label of a case; None where it has none or there is a problem. `image` is None where it cannot be read."""
    if case.label is None:
        return None
    try:
        if image is None:
            return formats.read_label(case.label, None, labels)
        formats.refuse_other_turn(case.label, case.images[0])
        return read_beside(case.label, image, labels)
    except UserError as error:
        problems.append(str(error).rstrip("."))
        return None


def _hash(digest: "hashlib._Hash", voxels: Array) -> None:
    """Add type, shape and voxels to a digest, in the file's order."""
    digest.update(f"{voxels.dtype.name} {voxels.shape}".encode())
    digest.update(np.ascontiguousarray(voxels.T).data)


def _box(label: Array, ignore: int | None) -> tuple[int, ...] | None:
    """Voxels along each axis of the box around all structures; None where there is nothing."""
    shown = (label > 0) & (label != ignore) if ignore is not None else label > 0
    extents = []
    for axis in range(label.ndim):
        found = np.flatnonzero(shown.any(axis=tuple(other for other in range(label.ndim) if other != axis)))
        if not found.size:
            return None
        extents.append(int(found[-1] - found[0] + 1))
    return tuple(extents)
