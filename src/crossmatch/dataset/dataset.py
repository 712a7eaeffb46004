"""A dataset on disk in nnU-Net's layout: its cases, their files and splits, and which cases are labelled.

No image and no label is opened here. Only file names and text files are read; `check` looks at voxels.
"""

import gc
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from crossmatch.dataset.layout import IGNORE, Listing, list_cases, read_description, read_list, refuse
from crossmatch.dataset.misnamed import unknown_case
from crossmatch.dataset.unread import unread_lists
from crossmatch.errors import UserError
from crossmatch.formats import parts

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Case:
    """One scan: its files, and its label. A label that must not be learned from is None."""

    id: str
    images: tuple[Path, ...]  # one per channel, or one that holds several channels
    label: Path | None  # None: unlabelled
    split: Split
    patient: str  # cases of one patient must lie in one split


@dataclass(frozen=True)
class Dataset:
    """The cases of a folder, by split."""

    root: Path
    name: str
    channels: tuple[str, ...]
    labels: dict[str, int]  # name -> value; values are 0..K-1, 0 is background
    ignore: int | None  # the label value K of voxels that no loss and no score counts; None: no such label
    slice_axis: int  # the axis along which 3D volumes are cut into 2D slices
    cases: tuple[Case, ...]
    unused: tuple[Path, ...] = ()  # what lies in its folders and is no scan
    patients_stated: bool = False  # by dataset.json; else some are read from the names of cases

    @property
    def drawn(self) -> dict[str, int]:
        """Name -> value of all that label files may hold: the labels, and ``ignore``."""
        return self.labels if self.ignore is None else {**self.labels, IGNORE: self.ignore}

    def split(self, split: Split) -> tuple[Case, ...]:
        """The cases of one split, in the order of its list."""
        return tuple(case for case in self.cases if case.split == split)

    def only(self, *splits: Split) -> "Dataset":
        """The same dataset with the cases of these splits alone."""
        return replace(self, cases=tuple(case for case in self.cases if case.split in splits))

    def files(self) -> list[Path]:
        """Every file of its cases, images and labels."""
        named = [path for case in self.cases for path in (*case.images, case.label) if path is not None]
        return [file for path in named for file in parts(path)]

    def labelled(self, subset: str) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
        """The training cases, as (labelled, unlabelled); the unlabelled ones have `label=None`.

        Args:
            subset: "all" takes every training case with a label file. N takes the list splits/train_N_label.txt:
                training cases outside of it are unlabelled, even if they have a label file.

        Raises:
            UserError: no such list, or it names a case outside train or without a label file.
        """
        train = {case.id: case for case in self.split("train")}
        if subset == "all":
            chosen = [name for name, case in train.items() if case.label is not None]
        elif (path := self._subset_path(subset)).is_file():
            refuse(self.root, self.subset_problems(subset))
            chosen = read_list(path)
        else:
            raise UserError(
                f"There is no label list {path}: write one case a line into it, or set data.labelled to one of these: "
                f"{', '.join(['all', *self.subsets()])}."
            )
        members = set(chosen)
        unlabelled = tuple(replace(case, label=None) for name, case in train.items() if name not in members)
        return tuple(train[name] for name in chosen), unlabelled

    def subsets(self) -> tuple[str, ...]:
        """The N of every list splits/train_N_label.txt."""
        lists = (self.root / "splits").glob("train_*_label.txt")
        found = [path.name.removeprefix("train_").removesuffix("_label.txt") for path in lists]
        return tuple(sorted(found, key=lambda n: (len(n), n)))

    def subset_problems(self, subset: str) -> list[str]:
        """What is wrong with a label list: it is empty, or has a case that is not in train or has no label file."""
        path = self._subset_path(subset)
        train = {case.id: case for case in self.split("train")}
        chosen = read_list(path)
        problems = [
            unknown_case(path, name, train, "which is no training case") for name in chosen if name not in train
        ]
        problems += [
            f"{path} names {name}, which has no label file: add the file, or take the case out of the list"
            for name in chosen
            if name in train and train[name].label is None
        ]
        return problems if chosen else [f"{path} is empty: name at least one case"]

    def _subset_path(self, subset: str) -> Path:
        return self.root / "splits" / f"train_{subset}_label.txt"


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause Python's garbage collector in a block that makes many objects and drops none.

    It would take half of the time in which 10,000 cases are made, because it looks at all objects again and again.
    """
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            gc.enable()


@uncollected()
def open_dataset(root: str | os.PathLike[str], splits: Collection[Split] = SPLITS) -> Dataset:
    """Open the dataset in a folder; only the cases of `splits` are in the result.

    The layout is `crossmatch.dataset.layout.TREE`. Split lists are optional: without them every case of imagesTr is
    training and every case of imagesTs is test. All lists are checked against each other, also those of other splits.

    Raises:
        UserError: no such folder, not a dataset, or a wrong layout (all problems in one message).
    """
    root = Path(root)
    description = read_description(root)
    listing = list_cases(root, description)
    problems = [*listing.problems, *unread_lists(root)]
    members = _members(root, listing, problems)
    patients = {name: description.patients.of(name) for names in members.values() for name in names}
    problems += _overlaps(members, patients)
    if not members["train"] and "train" in splits:
        problems.append(f"{root} has no training case: put images into imagesTr, or names into splits/train.txt")
    problems += [
        f"validation case {name} has no label file: add it, or take the case out of splits/val.txt"
        for name in members["val"]
        if name in listing.images and name not in listing.labels
    ]
    refuse(root, problems)
    cases = tuple(
        Case(name, listing.images[name], listing.labels.get(name), split, patients[name])
        for split in SPLITS
        if split in splits
        for name in members[split]
    )
    described = (description.name, description.channels, description.labels, description.ignore, description.slice_axis)
    return Dataset(root, *described, cases, listing.unused, description.patients.are_stated(patients))


def _members(root: Path, listing: Listing, problems: list[str]) -> dict[Split, list[str]]:
    """Case names by split: from the lists in splits/, and from the folders where there is no list."""
    lists: dict[Split, list[str]] = {}
    for split in SPLITS:
        path = root / "splits" / f"{split}.txt"
        if path.is_file():
            lists[split] = read_list(path)
            problems += [
                unknown_case(path, name, listing.images, "which has no image in imagesTr or imagesTs")
                for name in lists[split]
                if name not in listing.images
            ]
    listed = {name for names in lists.values() for name in names}
    return {
        "train": lists.get("train", [name for name in listing.training if name not in listed]),
        "val": lists.get("val", []),
        "test": lists.get("test", [name for name in listing.test if name not in listed]),
    }


def _overlaps(members: dict[Split, list[str]], patients: dict[str, str]) -> list[str]:
    """Cases and patients that lie in more than one split."""
    problems = []
    case_of: dict[str, tuple[Split, str]] = {}  # patient -> where it was seen first
    for split, names in members.items():
        for name in names:
            first_split, first = case_of.setdefault(patients[name], (split, name))
            if first_split == split:
                continue
            if first == name or name in members[first_split]:
                problems.append(f"case {name} is in both {first_split} and {split}: keep it in one list")
            else:
                problems.append(
                    f"patient {patients[name]} is in both {first_split} ({first}) and {split} ({name}): move all of "
                    "its cases to one split, or correct patient_regex or patient_of in dataset.json if these are "
                    "different patients"
                )
    return problems
