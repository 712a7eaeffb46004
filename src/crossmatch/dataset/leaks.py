"""Leaks between splits: one file or one image under two names, and names that may be those of one patient.

An image counts as the same in any data type, format, order and direction of axes, even if its header does not state the
axes or states other ones.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.fingerprint import CasePrint
from crossmatch.dataset.orientation import UNTURNED, Turn, turn_onto, turn_voxels
from crossmatch.dataset.same_image import signature
from crossmatch.errors import listed
from crossmatch.formats import Volume
from crossmatch.formats.seal import inode

_AS_STORED = UNTURNED


def shared_files(dataset: Dataset) -> list[str]:
    """Problems: files of training and validation cases that are files of test cases under another name, by a link."""
    of_test = {found: path for path in dataset.only("test").files() if (found := inode(path))}
    if not of_test:
        return []
    return [
        f"{path} and {of_test[found]} are one file, and the latter is of a test case, from which nothing may be "
        "learned: remove the former, or take the latter out of the test cases"
        for path in dataset.only("train", "val").files()
        if (found := inode(path)) in of_test
    ]


def equal_images(dataset: Dataset, cases: tuple[CasePrint, ...]) -> list[str]:
    """Cases with equal images, those in different splits first; in whatever way they are stored."""
    leaks, doubles = [], []
    for group, turned in _equal(dataset, cases):
        splits = {case.split for case in group}
        how = ", some of them mirrored or turned," if turned else ""
        if len(splits) > 1:
            names = " and ".join(f"{case.id} ({case.split})" for case in group)
            leaks.append(
                f"LEAK: {names} are the same image{how} in different splits: scores on it mean nothing, remove one"
            )
        elif len(group) > 1:
            doubles.append(
                f"{' and '.join(case.id for case in group)} ({group[0].split}) are the same image{how.rstrip(',')}"
            )
    return leaks + doubles


def alike_names(dataset: Dataset) -> list[str]:
    """Names that are alike but for their last part, in different splits: p01_pre and p01_post may be one patient.

    Names that all begin alike, or differ in a number alone (liver_001, liver_002), say nothing of patients.
    """
    if dataset.patients_stated:
        return []
    by_stem: dict[str, list[tuple[str, str, str]]] = defaultdict(list)  # -> last part, split, patient
    for case in dataset.cases:
        cut = max(case.id.rfind("_"), case.id.rfind("-"))
        if cut > 0:
            by_stem[case.id[:cut]].append((case.id[cut + 1 :], case.split, case.patient))
    if sum(map(len, by_stem.values())) == len(dataset.cases) and len(by_stem) == 1:
        return []
    found = []
    for stem, parts in by_stem.items():
        tells = any(letter.isdigit() for letter in stem) or not any(last.isdigit() for last, _, _ in parts)
        if tells and len({split for _, split, _ in parts}) > 1 and len({patient for *_, patient in parts}) > 1:
            cut_off = " and ".join(f"{last} ({split})" for last, split, _ in parts[:2])
            found.append(f"{stem} with {cut_off}")
    if not found:
        return []
    return [
        f"names that may be of one patient in different splits: {listed(found, '; ')}; if so, move them to one split, "
        "and set patient_regex in dataset.json in any case, for instance (.+)_[^_]+"
    ]


def _equal(dataset: Dataset, cases: tuple[CasePrint, ...]) -> list[tuple[list[CasePrint], bool]]:
    """Groups of cases with equal voxels, each with whether some are mirrored or turned.

    Equal digests tell voxels of one type in the dataset's frame. Of those whose statistics agree, one image of each
    digest is read again and compared: such pairs are rare.
    """
    by_digest: dict[str, list[CasePrint]] = defaultdict(list)
    for case in cases:
        by_digest[case.image_sha256].append(case)
    alike: dict[object, list[list[CasePrint]]] = defaultdict(list)
    for group in by_digest.values():
        alike[signature(group[0])].append(group)
    files = {case.id: case.images for case in dataset.cases}
    merged = []
    for groups in alike.values():
        while groups:
            first, *rest = groups
            found = [(other, turn_between(files[first[0].id], files[other[0].id])) for other in rest]
            same = [group for group, turn in found if turn is not None]
            turned = any(turn != _AS_STORED for _, turn in found if turn is not None)
            merged.append(([case for group in (first, *same) for case in group], turned))
            groups = [group for group, turn in found if turn is None]
    return merged


def turn_between(ours: tuple[Path, ...], theirs: tuple[Path, ...]) -> Turn | None:
    """How the voxels of the second image are turned or mirrored to be those of the first; None if they are others.

    Where the headers of both say how their axes run, equal places need no turn: they count as stored alike.
    """
    one, other = formats.read_channels(ours), formats.read_channels(theirs)
    if len({volume.voxels.ndim for volume in (*one, *other)}) > 1:
        return None
    turn = turn_onto(one[0], other[0]) if one[0].voxels.ndim == len(UNTURNED.axes) else None
    if turn is not None and _equal_voxels(one, other, turn):
        return _AS_STORED
    return next((turn for turn in _turns(one[0].voxels.ndim) if _equal_voxels(one, other, turn)), None)


def _equal_voxels(one: Sequence[Volume], other: Sequence[Volume], turn: Turn) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(ours.voxels, turn_voxels(theirs.voxels, turn)) for ours, theirs in zip(one, other, strict=True)
    )


def _turns(ndim: int) -> Iterator[Turn]:
    """All orders and directions of axes: 48 of a volume, 8 of a picture; first that of the file."""
    for axes in itertools.permutations(range(ndim)):
        for flipped in itertools.product((False, True), repeat=ndim):
            yield Turn(axes, flipped)
