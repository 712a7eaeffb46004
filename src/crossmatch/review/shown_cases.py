"""The cases of the page: unlabelled and validation cases of the run's dataset, and new scans. No voxel is read."""

import filecmp
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from crossmatch import formats
from crossmatch.dataset.dataset import Dataset, open_dataset
from crossmatch.dataset.layout import list_cases, read_description
from crossmatch.errors import UserError, listed, quoted
from crossmatch.inference.inputs import group_channels
from crossmatch.inference.ranking import read_ranking
from crossmatch.review.found_masks import FoundMask, MaskFolders, key_of
from crossmatch.review.places import Places
from crossmatch.runs.run import Run

FileState = tuple[int, int, int]  # what changes when a file does, also where it was given the time of another
CaseKind = Literal["unlabelled", "validation", "new"]


@dataclass(frozen=True)
class ReviewCase:
    """One scan as the page shows it."""

    id: str  # of the page's addresses; never a path
    name: str
    kind: CaseKind
    images: tuple[Path, ...]  # one file a channel, or one that holds them all
    reference: Path | None  # shown beside the prediction: of validation cases alone
    mask: FoundMask | None
    label_next: int | None = None  # its place in the run's rank.json, from 1
    other_scan: bool = False  # whether there are only masks that another scan of this name gave

    def state(self) -> tuple[FileState | None, ...]:
        """Times and size of each file of its images as they are now; None of one that is gone."""
        return tuple(state_of(part) for path in self.images for part in (formats.parts(path) or [path]))


@dataclass(frozen=True)
class Gathered:
    """The cases of a run and what the user should know of them."""

    cases: dict[str, ReviewCase]
    dataset: Dataset
    notes: tuple[str, ...]
    calibration: str | None  # what estimates of quality come from
    joined: tuple[ReviewCase, ...]  # new scans that are cases of the dataset by now


def gather(run: Run, root: Path, masks: Iterable[Path], scans: Iterable[Path], places: Places) -> Gathered:
    """Find the cases.

    Labels of unlabelled cases are never shown, also where a file is there: the run was not to see them. Test cases are
    left out.

    Args:
        run: whose predictions are looked at.
        root: of its dataset; masks: further folders of predictions.
        scans: folders of new scans; places: what may be shown.

    Raises:
        UserError: the dataset is gone, has problems, or numbers or names its labels otherwise than the run.
    """
    dataset = open_dataset(root, ("train", "val"))
    _refuse_other_labels(run, dataset)
    folders = MaskFolders(run, masks)
    notes = list(folders.notes)
    known = set(run.data["labelled"])
    cases: dict[str, ReviewCase] = {}
    seen = set()
    for case in dataset.cases:
        images_there = [path.absolute() for path in case.images]
        seen.add(key_of(images_there[0]))
        if case.split == "train" and case.id in known:
            continue
        kind: CaseKind = "validation" if case.split == "val" else "unlabelled"
        reference = case.label if kind == "validation" else None
        mask = folders.of(images_there, case.id)
        cases[f"{kind}:{case.id}"] = ReviewCase(f"{kind}:{case.id}", case.id, kind, case.images, reference, mask)
    images = list_cases(root, read_description(root)).images
    seen |= {key_of(path.absolute()) for paths in images.values() for path in paths}  # no test case is a new scan
    ranked, doubt = read_ranking(run)
    notes += [] if doubt is None else [doubt]
    places_next = {key_of(Path(one.images[0])): n for n, one in enumerate(ranked, start=1)}
    new, hidden = _new_scans(run, folders, scans, seen, places, notes)
    joined = [  # not where it is in no list of a split yet, as a killed process leaves it: then it joins once more
        case
        for case in new
        if f"unlabelled:{case.name}" in cases and is_same_scan(case.images, images.get(case.name, ()))
    ]
    cases |= {case.id: case for case in new if case not in joined}
    cases = {
        ident: replace(
            case,
            label_next=_place(case, places_next),
            other_scan=case.mask is None and folders.has_name(case.name),
        )
        for ident, case in cases.items()
    }
    if others := [case.name for case in cases.values() if case.other_scan]:
        notes.append(
            f"Masks of these names were made from other scans, or do not say from which, so they are not shown: "
            f"{listed(others)}. Predict these cases."
        )
    if hidden:
        notes.append(
            f"Masks of scans in other folders are not shown. Start with --scans to show those of {listed(hidden)}."
        )
    return Gathered(cases, dataset, tuple(notes), folders.calibration, tuple(joined))


def _refuse_other_labels(run: Run, dataset: Dataset) -> None:
    """A UserError where a value means another class to the run: its masks would become labels of another class."""
    ours, theirs = run.data["labels"], dataset.labels
    if ours == theirs:
        return
    told, wanted = (", ".join(f"{value} {name}" for name, value in each.items()) for each in (theirs, ours))
    raise UserError(
        f"{dataset.root / 'dataset.json'} has the labels {told}, and the run {run.folder} learned {wanted}: accepted "
        "masks would be labels of other classes. Name the dataset that the run learned from with --data, or train on "
        f"these labels and review that run: crossmatch train --from {quoted(run.folder)} --data {quoted(dataset.root)} "
        "--out NEW_RUN"
    )


def state_of(path: Path) -> FileState | None:
    """The state of a file; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


def _place(case: ReviewCase, places: dict[tuple[str, str], int]) -> int | None:
    return places.get(key_of(case.images[0].absolute()))


def is_same_scan(files: tuple[Path, ...], others: tuple[Path, ...]) -> bool:
    """Whether two scans are of equal files."""
    ours, theirs = ([part for path in paths for part in formats.parts(path)] for paths in (files, others))
    pairs = zip(ours, theirs, strict=False)
    return len(ours) == len(theirs) and all(filecmp.cmp(a, b, shallow=False) for a, b in pairs)


def _new_scans(
    run: Run,
    folders: MaskFolders,
    scans: Iterable[Path],
    seen: set[tuple[str, str]],
    places: Places,
    notes: list[str],
) -> tuple[list[ReviewCase], list[Path]]:
    """Scans that are not of the dataset: those in the named folders, and those that masks were made from."""
    found: dict[tuple[str, str], tuple[str, tuple[Path, ...]]] = {}
    for folder in scans:
        try:
            groups = group_channels(
                folder.absolute(), run.data["channels"], lambda text: notes.append(f"{text[0].upper()}{text[1:]}.")
            )
        except UserError as error:
            notes.append(str(error))
            continue
        found |= {key_of(paths[0]): (name, paths) for name, paths in groups.items()}
    hidden: dict[Path, None] = {}
    for key, (name, paths) in folders.scans.items():
        if key in seen or key in found or folders.taken(key):
            continue
        if places.holds(paths[0]):
            found[key] = (name, paths)
        elif paths[0].exists():
            hidden[paths[0].parent] = None
    cases = []
    names: dict[str, int] = {}
    for key, (name, paths) in found.items():
        if key in seen or folders.taken(key):
            continue
        names[name] = names.get(name, 0) + 1
        ident = f"new:{name}" if names[name] == 1 else f"new:{name}:{names[name]}"
        cases.append(ReviewCase(ident, name, "new", paths, None, folders.of(paths, name)))
    return cases, list(hidden)
