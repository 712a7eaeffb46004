"""Leaks between splits: one image under two names, and names that may be those of one patient."""

from collections import defaultdict

import numpy as np

from crossmatch import formats
from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.fingerprint import CasePrint
from crossmatch.errors import listed

_DIGITS = 9  # of the statistics that equal voxels have in common, in whatever type they are summed up


def equal_images(dataset: Dataset, cases: tuple[CasePrint, ...]) -> list[str]:
    """Cases with equal images, those in different splits first; in whatever type and format they are stored."""
    leaks, doubles = [], []
    for group in _equal(dataset, cases):
        splits = {case.split for case in group}
        if len(splits) > 1:
            names = " and ".join(f"{case.id} ({case.split})" for case in group)
            leaks.append(f"LEAK: {names} are the same image in different splits: scores on it mean nothing, remove one")
        elif len(group) > 1:
            doubles.append(f"{' and '.join(case.id for case in group)} ({group[0].split}) are the same image")
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


def _equal(dataset: Dataset, cases: tuple[CasePrint, ...]) -> list[list[CasePrint]]:
    """Groups of cases with equal voxels.

    Equal digests tell voxels of one type. Of those whose statistics agree, one image of each digest is read again and
    compared: such pairs are rare.
    """
    by_digest: dict[str, list[CasePrint]] = defaultdict(list)
    for case in cases:
        by_digest[case.image_sha256].append(case)
    alike: dict[object, list[list[CasePrint]]] = defaultdict(list)
    for group in by_digest.values():
        alike[_signature(group[0])].append(group)
    files = {case.id: case.images for case in dataset.cases}
    merged = []
    for groups in alike.values():
        while groups:
            first, *rest = groups
            same = [other for other in rest if _same_voxels(files[first[0].id], files[other[0].id])]
            merged.append([case for group in (first, *same) for case in group])
            groups = [other for other in rest if not any(other is one for one in same)]
    return merged


def _signature(case: CasePrint) -> object:
    """What equal images have in common, whatever type they are stored in."""
    statistics = [(each.min, each.max, each.mean, each.std) for each in case.intensity]
    return case.shape, tuple(float(f"{value:.{_DIGITS}g}") for row in statistics for value in row)


def _same_voxels(ours: tuple[object, ...], theirs: tuple[object, ...]) -> bool:
    pairs = zip(*(formats.read_channels([str(path) for path in paths]) for paths in (ours, theirs)), strict=True)
    return all(np.array_equal(one.voxels, other.voxels) for one, other in pairs)
