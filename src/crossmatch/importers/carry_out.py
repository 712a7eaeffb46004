"""Carry out an import: files are copied as they are where they can be, else written anew; then `check` reads them all.

A case that `check` refuses is left out with the reason, and the rest goes on.
"""

import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from crossmatch import formats
from crossmatch.atomic import new_folder
from crossmatch.dataset.check import UnfitCases, check
from crossmatch.dataset.dataset import SPLITS, Dataset
from crossmatch.dataset.fingerprint import Fingerprint, Progress
from crossmatch.dataset.orientation import read_beside
from crossmatch.dataset.writing import write_description
from crossmatch.errors import UserError, listed
from crossmatch.formats import DEFAULT_ENDING
from crossmatch.importers.proposal import ImportProposal
from crossmatch.importers.shared import Tell, finished, of_source
from crossmatch.importers.wishes import SourceCase

Written = dict[Path, Path]  # file of the dataset -> file of the source


def carry_out(
    target: str | os.PathLike[str],
    proposal: ImportProposal,
    progress: Progress | None,
    tell: Tell,
    *,
    link: bool = False,
) -> tuple[Dataset, dict[str, str]]:
    """Write the dataset of a proposal. It appears under its name when it is complete and checked.

    Args:
        target: the dataset's new folder.
        proposal: what to write.
        progress: called with (steps done, steps in all): each case is written and then checked.
        tell: called with each remark.
        link: link the files that need no change, instead of copying them.

    Returns:
        The dataset, and what was left out: case or file -> the reason.

    Raises:
        UserError: `target` is not empty, no case is left, or what is wrong concerns the dataset as a whole.
    """
    target = Path(target)
    left_out = dict(proposal.left_out)
    cases = {case.name: case for case in proposal.cases}
    written: dict[str, Written] = {}
    with new_folder(target) as folder:
        for done, case in enumerate(proposal.cases, start=1):
            written[case.name] = {}
            try:
                _write(folder, case, proposal, written[case.name], link)
            except UserError as error:
                left_out[case.name] = str(error).rstrip(".")
            if progress is not None:
                progress(done, 2 * len(proposal.cases))
        _drop(cases, written, left_out)
        fingerprint = _checked(folder, target, proposal, cases, written, left_out, progress)
    return finished(target, fingerprint, tell), left_out


def _write(folder: Path, case: SourceCase, proposal: ImportProposal, written: Written, link: bool) -> None:
    """Write the images and the label of a case, and note the origin of each file before it is written."""
    part = "Ts" if case.split == "test" else "Tr"
    images, labels = folder / f"images{part}", folder / f"labels{part}"
    number = 0
    for path in case.images:
        if not proposal.stacked and formats.stands_alone(path):
            file = images / f"{case.name}_{number:04d}{formats.ending(path)}"
            _copy(path, file, written, link)
            number += 1
            continue
        for volume in formats.read_stack(path) if proposal.stacked else formats.read_channels([path]):
            file = images / f"{case.name}_{number:04d}{DEFAULT_ENDING}"
            written[file] = path
            formats.write(file, volume.voxels, like=volume)
            number += 1
    if case.label is None:
        return
    named = bool(formats.segments_of(case.label))
    by_value = named and proposal.names is None  # the dataset would read the segments by name
    if formats.stands_alone(case.label) and not by_value and not proposal.values.turns(proposal.found[case.label]):
        _copy(case.label, labels / f"{case.name}{formats.ending(case.label)}", written, link)
        return
    if named:  # it may cover a part of the scan
        label = read_beside(case.label, formats.read_grid(case.images[0]), proposal.names)
    else:
        label = formats.read_label(case.label)
    ending = formats.mask_ending(case.label, None, formats.Grid(label.shape, label.affine, label.spacing_mm))
    file = labels / f"{case.name}{ending}"
    written[file] = case.label
    formats.write(file, proposal.values.apply(label.voxels), like=label)


def _copy(path: Path, file: Path, written: Written, link: bool) -> None:
    """Copy or link a file that needs no change; its permissions are not copied, as the source may be read-only."""
    written[file] = path
    file.parent.mkdir(exist_ok=True)
    if link:
        try:
            file.symlink_to(path.resolve())
        except OSError as error:
            raise UserError(f"{file} cannot be a link ({error.strerror}): leave out --link.") from None
    else:
        shutil.copyfile(path, file)


def _checked(
    folder: Path,
    target: Path,
    proposal: ImportProposal,
    cases: dict[str, SourceCase],
    written: dict[str, Written],
    left_out: dict[str, str],
    progress: Progress | None,
) -> Fingerprint:
    """Describe and check a dataset that is written; cases that are refused are dropped, and the rest checked again."""
    origins = {str(file): str(path) for files in written.values() for file, path in files.items()}

    def checking(done: int, total: int) -> None:
        if progress is not None:
            progress(total + done, 2 * total)

    for again in (False, True):
        _refuse_empty(proposal.root, cases, left_out)
        lists: dict[str, list[str]] = {
            split: [name for name, case in cases.items() if case.split == split] for split in SPLITS
        }
        write_description(folder, lists, _stated(target, proposal, cases))
        try:
            return check(folder, None if again else checking, target)
        except UnfitCases as error:
            if not error.by_case or again:
                raise UserError(of_source(str(error), folder, target, origins)) from error
            for name, problems in error.by_case.items():
                left_out[name] = of_source("; ".join(problems), folder, target, origins)
            _drop(cases, written, left_out)
        except UserError as error:
            raise UserError(of_source(str(error), folder, target, origins)) from error
    raise AssertionError("the second check returns or raises")


def _stated(target: Path, proposal: ImportProposal, cases: Collection[str]) -> dict[str, object]:
    """The content of dataset.json."""
    stated: dict[str, object] = {
        "name": target.resolve().name,
        "description": "made by crossmatch import folder",
        "channel_names": {str(n): name for n, name in enumerate(proposal.channels)},
        "labels": proposal.values.labels,
    }
    if proposal.patient_regex:
        stated["patient_regex"] = proposal.patient_regex
    if proposal.patients:
        stated["patient_of"] = {case: one for case, one in proposal.patients.items() if case in cases}
    return stated


def _drop(cases: dict[str, SourceCase], written: dict[str, Written], names: Iterable[str]) -> None:
    """Remove cases and their files again."""
    for name in names:
        if cases.pop(name, None) is not None:
            for file in written[name]:
                file.unlink(missing_ok=True)


def _refuse_empty(root: Path, cases: dict[str, SourceCase], left_out: dict[str, str]) -> None:
    if any(case.split == "train" and case.label is not None for case in cases.values()):
        return
    reasons = listed((f"{name}: {reason}" for name, reason in left_out.items()), "; ")
    raise UserError(f"{root}: no training case with a label is left, so nothing was written. {reasons}.")
