"""The scans that can be chosen to be labelled next, and the labelled ones that they are compared with."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from crossmatch.dataset.dataset import Dataset, open_dataset
from crossmatch.dataset.known_images import KnownImages
from crossmatch.dataset.patients import patient_of
from crossmatch.errors import listed
from crossmatch.inference.channel_names import check_channels
from crossmatch.inference.inputs import find_scans, usable_scans
from crossmatch.runs.record import ever_labelled
from crossmatch.runs.run import Run

_WORKERS = 4  # threads that compare scans; each holds one in memory


@dataclass(frozen=True)
class ScanToLabel:
    """A scan that could be chosen, or a labelled one, with which the others are compared."""

    case: str
    patient: str
    images: tuple[Path, ...]


def candidates_of(run: Run, place: Path, warn: Callable[[str], None]) -> tuple[list[ScanToLabel], list[ScanToLabel]]:
    """The scans to choose from, and those that the run learned from with labels, which the network can take.

    Args:
        place: a dataset, whose training cases without labels are chosen from, or a folder of scans. Scans that the run
            learned from with labels or was validated with, and validation and test cases of its dataset, are left out
            of it, wherever they lie and however they are stored.
        warn: called with the names of what is left out.

    Raises:
        UserError: channels in another order than the run's, or scans that cannot be told apart.
    """
    labelled, known = list[ScanToLabel](), None
    learned, root = set(run.data["labelled"]), Path(run.data["root"])
    if not run.is_packed and (root / "dataset.json").is_file():
        whole = open_dataset(root)
        check_channels(root / "dataset.json", whole.channels, run, warn)
        labelled = [one for one in _of_dataset(whole.only("train")) if one.case in learned]
        used = {*ever_labelled(run.data), *run.data["validation"]}
        known = KnownImages(root, [case for case in whole.cases if case.split != "train" or case.id in used])
    usable_scans({one.case: one.images for one in labelled}, run, run.recipe, lambda text: None)
    if not (place / "dataset.json").is_file():
        scans = find_scans(place, run, run.recipe, warn)
        found = [ScanToLabel(one.name, patient_of(one.name, None, place), one.channels) for one in scans]
        return _without(found, known, warn), labelled
    dataset = open_dataset(place).only("train")
    same = not run.is_packed and place.resolve() == root.resolve()
    if not same:
        check_channels(place / "dataset.json", dataset.channels, run, warn)
    with_label = {case.id for case in dataset.cases if case.label is not None}
    if same and run.recipe.data.labelled != "all":
        with_label = learned  # further labels lie there, which this run was not to use
    left = [one for one in _of_dataset(dataset) if one.case not in with_label]
    usable_scans({one.case: one.images for one in left}, run, run.recipe, warn)
    return left if same else _without(left, known, warn), labelled


def _without(scans: Sequence[ScanToLabel], known: KnownImages | None, warn: Callable[[str], None]) -> list[ScanToLabel]:
    """The scans that are none of the known ones, in whatever way they are stored; the others are named."""
    if known is None:
        return list(scans)
    with ThreadPoolExecutor(max_workers=min(_WORKERS, os.cpu_count() or 1)) as pool:
        same = list(pool.map(lambda scan: known.same_as(scan.images), scans))
    named = [
        f"{scan.case} ({case.split})" if scan.case == case.id else f"{scan.case} (which is {case.id}, {case.split})"
        for scan, case in zip(scans, same, strict=True)
        if case is not None
    ]
    if named:
        warn(
            "left out, because the run learned from them with labels or was validated with them, or they are test "
            f"cases: {listed(named)}"
        )
    return [scan for scan, case in zip(scans, same, strict=True) if case is None]


def _of_dataset(dataset: Dataset) -> list[ScanToLabel]:
    return [ScanToLabel(case.id, case.patient, case.images) for case in dataset.cases]
