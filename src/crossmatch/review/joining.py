"""What has to be true beside the label: a new scan joins the dataset, and the lists of cases name what they should.

DATA/review/joining.json    while the files of a new scan are copied: which. A case with some of its channels would make
                            the dataset unusable, so what a killed process has copied is removed by the next page.
"""

import shutil
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from crossmatch import formats
from crossmatch.atomic import new_folder, read_json, write_json, write_text, written_aside
from crossmatch.dataset.dataset import Dataset, open_dataset
from crossmatch.dataset.known_images import KnownImages
from crossmatch.dataset.layout import list_cases, read_description, read_list
from crossmatch.errors import UserError
from crossmatch.review.accepting import FOLDER
from crossmatch.review.shown_cases import FileState, ReviewCase, is_same_scan
from crossmatch.runs import lock
from crossmatch.runs.run import Run

ALL = "all"
JOINING = "joining.json"


def join_dataset(root: Path, case: ReviewCase, seen: tuple[FileState | None, ...]) -> tuple[Path, ...]:
    """Copy the files of a new scan into imagesTr, and name it in splits/train.txt where there is such a list.

    Args:
        root: of the dataset; seen: the state of the scan's files when they were read to be looked at.

    Returns:
        Its images there; also where the same scan joined before.

    Raises:
        UserError: the dataset has a case of that name, or the same scan under another name, or a case of its patient in
            another split, or a file of the scan was written to since it was looked at; nothing was copied.
    """
    dataset = open_dataset(root)
    description = read_description(root)
    there = list_cases(root, description).images
    patient = description.patients.of(case.name)
    for other in dataset.cases:
        if other.patient == patient and other.split != "train":
            raise UserError(
                f"{case.name} is of the patient {patient}, whose case {other.id} is in the split {other.split}: a "
                "network must not learn from it. It was not accepted."
            )
    _refuse_known_scan(root, dataset, case)
    if is_same_scan(case.images, there.get(case.name, ())):  # it joined before
        _append(root / "splits" / "train.txt", [case.name], only_if_there=True)
        return there[case.name]
    if case.name.casefold() in {name.casefold() for name in there}:
        raise UserError(
            f"The dataset has a case {case.name} already, so the new scan of that name cannot join it: rename the "
            "scan's files, predict it again, and accept that. Your corrections are kept."
        )
    targets = [_target(root, case.name, number, path) for number, path in enumerate(case.images)]
    with lock.only_writer(root / FOLDER):
        write_json(root / FOLDER / JOINING, [path.name for path in targets])
        try:
            for path, target in zip(case.images, targets, strict=True):
                _copy(path, target)
            if case.state() != seen:
                raise UserError(
                    f"{case.name} has changed since this page read it: a program may still be writing its files. It "
                    "was not accepted; predict it again when they are there, and load the case again."
                )
        except UserError:
            _remove_joining(root)
            raise
        (root / FOLDER / JOINING).unlink()
    _append(root / "splits" / "train.txt", [case.name], only_if_there=True)
    return tuple(targets)


def _refuse_known_scan(root: Path, dataset: Dataset, case: ReviewCase) -> None:
    """A UserError where the dataset holds the scan under another name, in whatever way it is stored there."""
    same = KnownImages(root, [other for other in dataset.cases if other.id != case.name]).same_as(case.images)
    if same is None:
        return
    what = f"{case.name} is the same scan as the case {same.id} of the dataset, which is in the split {same.split}"
    if same.split == "train":
        raise UserError(f"{what}: under two names it would count double. Label {same.id} instead. It was not accepted.")
    raise UserError(f"{what}: a network must not learn from it. It was not accepted; leave it out of --scans.")


def remove_half_joined(root: Path) -> None:
    """Remove what a killed process has copied of a new scan, whose own files are where they were.

    Raises:
        UserError: joining.json is damaged, or files cannot be removed.
    """
    if any((root / FOLDER / name).exists() for name in (JOINING, lock.NAME)):
        with suppress(UserError), ExitStack() as stack:
            stack.enter_context(lock.only_writer(root / FOLDER))  # else another page is copying just now
            stack.callback(_remove_joining, root)


def _remove_joining(root: Path) -> None:
    note = root / FOLDER / JOINING
    if not note.is_file():
        return
    names = read_json(note, list[str], f"remove half copied scans from {root / 'imagesTr'}, then this file")
    for path in list((root / "imagesTr").iterdir()):
        if path.name not in names:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    note.unlink()


def _target(root: Path, name: str, number: int, path: Path) -> Path:
    """Where a file of a new scan goes, or the folder of its series."""
    if path.is_dir():
        return root / "imagesTr" / f"{name}_{number:04d}"
    if not formats.stands_alone(path):
        raise UserError(
            f"{path} keeps its voxels in a second file, so it cannot be copied under another name: save it as "
            "NIfTI (one file) or NRRD, predict it again, and accept that."
        )
    return root / "imagesTr" / f"{name}_{number:04d}{formats.ending(path)}"


def _copy(path: Path, target: Path) -> None:
    if not path.is_dir():
        with written_aside(target) as aside:
            shutil.copyfile(path, aside)
        return
    with new_folder(target) as aside:
        for part in formats.parts(path):
            shutil.copyfile(part, aside / part.name)


def subset_after(run: Run) -> str:
    """The name of the list that training goes on with: `all` stays, `3` becomes `3_reviewed`, then `3_reviewed_2`."""
    before = run.recipe.data.labelled
    if before == ALL:
        return ALL
    base, marked, number = before.partition("_reviewed")
    return f"{base}_reviewed" + (f"_{int(number.lstrip('_') or 1) + 1}" if marked else "")


def list_labelled(run: Run, root: Path, names: Iterable[str]) -> Path | None:
    """Name accepted cases in the label list for the next training; None where every label counts anyway.

    The list that the run itself learned from stays as it is: the run goes on meaning what it meant.
    """
    subset = subset_after(run)
    if subset == ALL:
        return None
    path = root / "splits" / f"train_{subset}_label.txt"
    chosen = list(names)
    if not path.is_file():
        chosen = [*run.data["labelled"], *chosen]
    _append(path, chosen, only_if_there=False)
    return path


def _append(path: Path, names: list[str], *, only_if_there: bool) -> None:
    if only_if_there and not path.is_file():
        return
    before = read_list(path) if path.is_file() else []
    after = list(dict.fromkeys([*before, *names]))
    if after != before:
        path.parent.mkdir(exist_ok=True)
        write_text(path, "".join(f"{name}\n" for name in after))
