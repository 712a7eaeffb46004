"""The scans that can be chosen to be labelled next, and the labelled ones that they are compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossmatch.atomic import file_sha256
from crossmatch.dataset.dataset import Dataset, open_dataset
from crossmatch.dataset.patients import patient_of
from crossmatch.errors import listed
from crossmatch.inference.channel_names import check_channels
from crossmatch.inference.inputs import find_scans, usable_scans
from crossmatch.runs.record import ever_labelled
from crossmatch.runs.run import Run


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
            learned from with labels, or was validated with, are left out of it, wherever they lie.
        warn: called with the names of what is left out.

    Raises:
        UserError: channels in another order than the run's, or scans that cannot be told apart.
    """
    labelled, used = list[ScanToLabel](), list[ScanToLabel]()
    learned, root = set(run.data["labelled"]), Path(run.data["root"])
    if not run.is_packed and (root / "dataset.json").is_file():
        whole = open_dataset(root)
        check_channels(root / "dataset.json", whole.channels, run, warn)
        labelled = [one for one in _of_dataset(whole.only("train")) if one.case in learned]
        used = [one for one in _of_dataset(whole) if one.case in {*ever_labelled(run.data), *run.data["validation"]}]
    usable_scans({one.case: one.images for one in labelled}, run, run.recipe, lambda text: None)
    if not (place / "dataset.json").is_file():
        scans = find_scans(place, run, run.recipe, warn)
        found = [ScanToLabel(one.name, patient_of(one.name, None, place), one.channels) for one in scans]
        return _without(found, used, warn), labelled
    dataset = open_dataset(place).only("train")
    same = not run.is_packed and place.resolve() == root.resolve()
    if not same:
        check_channels(place / "dataset.json", dataset.channels, run, warn)
    with_label = {case.id for case in dataset.cases if case.label is not None}
    if same and run.recipe.data.labelled != "all":
        with_label = learned  # further labels lie there, which this run was not to use
    left = [one for one in _of_dataset(dataset) if one.case not in with_label]
    usable_scans({one.case: one.images for one in left}, run, run.recipe, warn)
    return left if same else _without(left, used, warn), labelled


def _without(
    scans: Sequence[ScanToLabel], used: Sequence[ScanToLabel], warn: Callable[[str], None]
) -> list[ScanToLabel]:
    """The scans whose files have another content than those of the scans in use; the others are named."""
    sizes = {_size(one) for one in used} & {_size(one) for one in scans}  # files of other sizes need not be read
    digests = {_digest(one) for one in used if _size(one) in sizes}
    known = [one.case for one in scans if _size(one) in sizes and _digest(one) in digests]
    if known:
        warn(f"left out, because the run learned from them with labels or was validated with them: {listed(known)}")
    return [scan for scan in scans if scan.case not in known]


def _files(scan: ScanToLabel) -> list[Path]:
    """The files of a scan's first channel, which tells scans apart; those of a DICOM series in order."""
    first = scan.images[0]
    return sorted(path for path in first.iterdir() if path.is_file()) if first.is_dir() else [first]


def _size(scan: ScanToLabel) -> int:
    return sum(path.stat().st_size for path in _files(scan))


def _digest(scan: ScanToLabel) -> str:
    return " ".join(file_sha256(path) for path in _files(scan))


def _of_dataset(dataset: Dataset) -> list[ScanToLabel]:
    return [ScanToLabel(case.id, case.patient, case.images) for case in dataset.cases]
