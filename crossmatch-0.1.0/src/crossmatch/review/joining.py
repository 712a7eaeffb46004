"""What has to be true beside the label: a new scan joins the dataset, and the lists of cases name what they should."""

import filecmp
import shutil
from collections.abc import Iterable
from pathlib import Path

from crossmatch import formats
from crossmatch.atomic import new_folder, write_text, written_aside
from crossmatch.dataset.dataset import open_dataset, patient_of
from crossmatch.dataset.layout import list_cases, read_description, read_list
from crossmatch.errors import UserError
from crossmatch.review.shown_cases import ReviewCase
from crossmatch.runs.run import Run

ALL = "all"


def join_dataset(root: Path, case: ReviewCase) -> tuple[Path, ...]:
    """Copy the files of a new scan into imagesTr, and name it in splits/train.txt where there is such a list.

    Returns:
        Its images there; also where the same scan joined before.

    Raises:
        UserError: the dataset has a case of that name, or one of its patient in another split; nothing was copied.
    """
    dataset = open_dataset(root)
    description = read_description(root)
    there = list_cases(root, description).images
    if case.name in there and _same(case.images, there[case.name]):
        return there[case.name]  # it joined before
    if case.name.casefold() in {name.casefold() for name in there}:
        raise UserError(
            f"The dataset has a case {case.name} already, so the new scan of that name cannot join it: rename the "
            "scan's files, predict it again, and accept that. Your corrections are kept."
        )
    patient = patient_of(case.name, description.patient_regex, description.path)
    for other in dataset.cases:
        if other.patient == patient and other.split != "train":
            raise UserError(
                f"{case.name} is of the patient {patient}, whose case {other.id} is in the split {other.split}: a "
                "network must not learn from it. It was not accepted."
            )
    images = tuple(_copied(root, case.name, number, path) for number, path in enumerate(case.images))
    _append(root / "splits" / "train.txt", [case.name], only_if_there=True)
    return images


def _same(files: tuple[Path, ...], others: tuple[Path, ...]) -> bool:
    """Whether two scans are of equal files."""
    ours, theirs = ([part for path in paths for part in formats.parts(path)] for paths in (files, others))
    pairs = zip(ours, theirs, strict=False)
    return len(ours) == len(theirs) and all(filecmp.cmp(a, b, shallow=False) for a, b in pairs)


def _copied(root: Path, name: str, number: int, path: Path) -> Path:
    if path.is_dir():
        target = root / "imagesTr" / f"{name}_{number:04d}"
        with new_folder(target) as aside:
            for part in formats.parts(path):
                shutil.copyfile(part, aside / part.name)
        return target
    ending = formats.ending(path)
    if not formats.stands_alone(path):
        raise UserError(
            f"{path} keeps its voxels in a second file, so it cannot be copied under another name: save it as "
            "NIfTI (one file) or NRRD, predict it again, and accept that."
        )
    target = root / "imagesTr" / f"{name}_{number:04d}{ending}"
    with written_aside(target) as aside:
        shutil.copyfile(path, aside)
    return target


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
