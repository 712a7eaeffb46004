"""Import ISIC-2018 Task 1 (dermoscopy in colours, lesion or skin) from the challenge's own folders.

Images stay JPEG files, copied or linked as they are; masks become PNG files of 0 and 1. The dataset is named after its
protocol, see `isic_lists.py`. Source: Codella et al., "Skin Lesion Analysis Toward Melanoma Detection 2018", arXiv
1902.03368; Tschandl et al., Scientific Data 5, 180161, 2018.
"""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crossmatch.atomic import new_folder
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import SPLITS, Dataset
from crossmatch.dataset.fingerprint import Fingerprint, Progress
from crossmatch.dataset.writing import write_description
from crossmatch.errors import UserError, listed
from crossmatch.importers.isic_files import FoundImages, find_images, write_image
from crossmatch.importers.isic_lists import DTPC_REMARK, check_protocol, dtpc_lists, standard_lists
from crossmatch.importers.shared import Tell, finished, of_source
from crossmatch.importers.wishes import SourceCase

Lists = dict[str, list[str]]

THREADS = 4  # at most; each holds one image in memory
OFFICIAL_COUNTS = {"val": 100, "test": 1000}  # images that the challenge gives out; train has a list

TREE = """\
  SRC/ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg ...
  SRC/ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png ...
  and the same with Validation and Test in place of Training"""

DESCRIPTION = {
    "reference": "arXiv:1902.03368, doi:10.1038/sdata.2018.161",
    "channel_names": {"0": "red", "1": "green", "2": "blue"},
    "labels": {"background": 0, "lesion": 1},
    "jaccard_threshold": 0.65,
}
ABOUT = {
    "isic_official": "ISIC-2018 Task 1, the challenge's folders; labelled lists drawn by crossmatch, seed 2018",
    "isic_dtpc": "ISIC-2018 Task 1, public lists of DTPC, whose validation images are its test images",
}


def import_isic(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    progress: Progress | None = None,
    tell: Tell | None = None,
    *,
    protocol: str = "isic_official",
    lists: str | os.PathLike[str] | None = None,
    link: bool = False,
) -> Dataset:
    """Write ISIC-2018 Task 1 into `target` in the layout of `open_dataset`, and check it.

    Images may be missing, as long as a training image is there; the lists then name the others. Texts of attribution
    and licence are kept beside the result.

    Args:
        source: the folder that holds the challenge's folders; see `TREE`.
        target: the dataset's new folder; it must not exist, or be empty.
        progress: called with (steps done, steps in all): each case is written and then checked.
        tell: called with each remark.
        protocol: ``isic_official`` or ``isic_dtpc``.
        lists: folder of the public lists of ``isic_dtpc``.
        link: link the images, instead of copying them.

    Raises:
        UserError: a source in another form, no training image, an unknown protocol, lists that are missing or others, a
            target that is not empty; and all images and masks that are missing, damaged or do not fit, in one message.
    """
    source, tell = Path(source), tell or (lambda remark: None)
    check_protocol(protocol, None if lists is None else Path(lists))
    wanted = standard_lists() if lists is None else dtpc_lists(Path(lists))
    found = find_images(source)
    if not found.cases:
        raise UserError(f"{source} does not hold ISIC-2018 Task 1; it is imported from\n{TREE}")
    _refuse(source, found.problems)
    chosen, remarks = _chosen(wanted, found, official=lists is None)
    for remark in remarks:
        tell(remark)
    with new_folder(Path(target)) as folder:
        cases = [found.cases[name] for split in SPLITS for name in chosen.get(split, [])]
        tests = set(chosen.get("test", []))
        _write(source, folder, cases, tests, link, progress, tell)
        _keep_texts(folder, found.texts)
        stated = {"name": protocol, **DESCRIPTION, "description": "; ".join((ABOUT[protocol], *remarks))}
        write_description(folder, chosen, stated, ".jpg")
        fingerprint = _checked(folder, Path(target), cases, tests, progress)
    return finished(target, fingerprint, tell)


def _refuse(source: Path, problems: Sequence[str]) -> None:
    if problems:
        lines = listed((text.rstrip(".") for text in problems), "; ")
        raise UserError(
            f"{source} cannot be imported: {lines}. Copy these files again or take the images out; nothing was written."
        )


def _chosen(wanted: Lists, found: FoundImages, *, official: bool) -> tuple[Lists, list[str]]:
    """The lists with what is there, and remarks about what is missing, left out or without masks."""
    remarks = [] if official else [DTPC_REMARK]
    training = {name for name, case in found.cases.items() if case.split == "train"}
    chosen = {name: [case for case in ids if case in training] for name, ids in wanted.items()}
    if official:
        chosen |= {
            split: sorted(name for name, case in found.cases.items() if case.split == split)
            for split in OFFICIAL_COUNTS
        }
        counts = OFFICIAL_COUNTS | {name: len(ids) for name, ids in wanted.items()}
    else:
        counts = {name: len(ids) for name, ids in wanted.items()}
        if others := len(found.cases) - len(training):
            remarks.append(f"isic_dtpc takes training images alone: {others} of other folders are left out")
    if not chosen["train"]:
        raise UserError(
            f"None of the {len(wanted['train'])} training images is there: add ISIC2018_Task1-2_Training_Input with "
            "the challenge's images, and its masks."
        )
    if missing := [f"{n - len(chosen[k])} of {n} in {k}" for k, n in counts.items() if len(chosen[k]) < n]:
        remarks.append(f"images that are missing: {', '.join(missing)}")
    if surplus := [f"{len(chosen[k])} instead of {n} in {k}" for k, n in counts.items() if len(chosen[k]) > n]:
        remarks.append(f"more images than the challenge has: {', '.join(surplus)}")
    if strange := sorted(training - {name for ids in wanted.values() for name in ids}):
        remarks.append(f"training images left out, not of the challenge's 2,594: {len(strange)} ({listed(strange)})")
    if found.others:
        remarks.append(f"files of other names are not used: {listed(path.name for path in found.others)}")
    for split in OFFICIAL_COUNTS if official else ():
        bare = [name for name in chosen[split] if found.cases[name].label is None]
        if bare and split == "val":
            chosen[split] = []
            remarks.append("the validation images have no masks and are left out: there is no validation")
        elif bare:
            remarks.append(f"the {split} images have no masks: they can be predicted, but not evaluated")
    return chosen, remarks


def _write(
    source: Path,
    folder: Path,
    cases: list[SourceCase],
    tests: set[str],
    link: bool,
    progress: Progress | None,
    tell: Tell,
) -> None:
    """Write all cases, in threads; what is wrong with them is raised together."""

    def write(case: SourceCase) -> tuple[str | None, str | None]:
        try:
            return None, write_image(folder, case, test=case.name in tests, link=link)
        except UserError as error:
            return str(error), None

    problems: list[str] = []
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        for done, (wrong, remark) in enumerate(pool.map(write, cases), start=1):
            problems += [wrong] if wrong else []
            if remark:
                tell(remark)
            if progress is not None:
                progress(done, 2 * len(cases))
    _refuse(source, problems)


def _checked(
    folder: Path, target: Path, cases: list[SourceCase], tests: set[str], progress: Progress | None
) -> Fingerprint:
    """Check what was written, which reads every pixel; the message names the files of the source."""
    origins: dict[str, str] = {}
    for case in cases:
        part = "Ts" if case.name in tests else "Tr"
        origins[str(folder / f"images{part}" / f"{case.name}_0000.jpg")] = str(case.images[0])
        origins[str(folder / f"labels{part}" / f"{case.name}.png")] = str(case.label)

    def checking(done: int, total: int) -> None:
        if progress is not None:
            progress(total + done, 2 * total)

    try:
        return check(folder, checking, target)
    except UserError as error:
        raise UserError(of_source(str(error), folder, target, origins)) from error


def _keep_texts(folder: Path, texts: tuple[Path, ...]) -> None:
    """Copy attribution and licence; a text that differs from one of its name gets the name of its folder too."""
    for path in texts:
        kept = folder / path.name
        if kept.exists() and kept.read_bytes() != path.read_bytes():
            kept = folder / f"{path.stem}_{path.parent.name}{path.suffix}"
        shutil.copyfile(path, kept)
