"""What an import is going to do, decided before anything is written: the cases, their labels' values, the splits.

Every label and the header of every image is read for it. A case with a file that cannot be read, or with a label value
that has no meaning, is left out with the reason.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from crossmatch import formats
from crossmatch.dataset.patients import Patients, patient_pattern
from crossmatch.errors import UserError, listed
from crossmatch.importers.any_folder import find
from crossmatch.importers.described import read_stated
from crossmatch.importers.msd import find_msd, is_msd
from crossmatch.importers.named import labels_by_name
from crossmatch.importers.nnunet import find_nnunet, is_nnunet
from crossmatch.importers.patient_groups import refuse_patients_in_two_splits, state_patients
from crossmatch.importers.validation_share import with_validation
from crossmatch.importers.values import LabelValues, choose_values, values_in
from crossmatch.importers.wishes import Source, SourceCase, Wishes

_WORKERS = 4  # threads: files are decompressed in parallel
_FOLDERS = 6  # more of them are cases rather than kinds of files
_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class ImportProposal:
    """What an import is going to do."""

    root: Path  # the source
    cases: tuple[SourceCase, ...]
    channels: tuple[str, ...]
    stacked: bool  # see `Source`
    values: LabelValues
    names: dict[str, int] | None  # name -> value by which named segments are read; None: by their own values
    found: dict[Path, set[int]]  # label file -> its values
    patient_regex: str | None
    patients: dict[str, str]  # case -> patient; empty: by patient_regex or by the names
    remarks: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)  # case or file -> the reason

    def pairs(self) -> Iterator[str]:
        """A line for each case: its name, its files, its split."""
        for case in self.cases:
            images = " + ".join(self._short(path) for path in case.images)
            label = self._short(case.label) if case.label else "no label"
            yield f"{case.name}: {images}, {label} ({case.split})"

    def summary(self) -> str:
        """Counts, channels, labels and changed values, a line each."""
        count = Counter((case.split, case.label is not None) for case in self.cases)
        parts = [
            f"{count['train', True]} labelled and {count['train', False]} unlabelled for training",
            *([f"{count['val', True]} for validation"] if count["val", True] else []),
            *([f"{total} for testing"] if (total := count["test", True] + count["test", False]) else []),
        ]
        lines = [
            f"{len(self.cases)} cases: {', '.join(parts)}",
            f"Channels: {', '.join(self.channels)}",
            f"Labels: {', '.join(f'{value} {name}' for name, value in self.values.labels.items())}",
        ]
        taken = {case.label for case in self.cases}
        here = set[int]().union(*(values for path, values in self.found.items() if path in taken))
        if changes := self.values.told(here):
            lines.append(f"Label values: {changes} (--map says otherwise)")
        return "\n".join(lines)

    def _short(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def propose_import(root: Path, wishes: Wishes) -> ImportProposal:
    """Look at a source and decide.

    Args:
        root: the folder of the source.
        wishes: what the user asks for.

    Raises:
        UserError: no source of a known kind, no label, or wishes that do not fit it.
    """
    source = _read_source(root, wishes)
    if wishes.patient is not None:
        source.patient_regex, source.patients = wishes.patient, {}
    names = source.labels
    if names is None and not wishes.values and not wishes.names:
        names = labels_by_name([case.label for case in source.cases if case.label is not None], source.remarks)
    surveyed: list[tuple[SourceCase, Survey]] = []
    found: dict[Path, set[int]] = {}
    with ThreadPoolExecutor(max_workers=min(_WORKERS, os.cpu_count() or 1)) as pool:
        for case, seen in zip(
            source.cases, pool.map(lambda one: _survey(one, source.stacked, names), source.cases), strict=True
        ):
            if isinstance(seen, str):
                source.left_out[case.name] = seen
                continue
            surveyed.append((case, seen))
    surveyed = _of_one_kind(surveyed, source.left_out)
    for case, seen in surveyed:
        found |= {case.label: seen.values} if case.label is not None and seen.values is not None else {}
    if not found:
        raise UserError(_no_label(root, source))
    if mixed := formats.mixed_palettes(found):
        raise UserError(f"{root}: {mixed[0]}.")
    values = choose_values(found, wishes.values, wishes.names, names)
    kept = []
    for case, _ in surveyed:
        wrong = values.wrong(case.label, found[case.label]) if case.label is not None else None
        if wrong is None:
            kept.append(case)
        else:
            source.left_out[case.name] = wrong
    state_patients(source, kept)
    where = Path("dataset.json")
    patients = Patients(where, patient_pattern(where, source.patient_regex), source.patients)
    refuse_patients_in_two_splits(root, kept, patients.of)
    if wishes.validation:
        kept = with_validation(kept, patients.of, wishes)
    usual = Counter(seen.channels for _, seen in surveyed).most_common(1)[0][0]
    named = source.labels is not None or len(source.channels) == usual  # dataset.json stands, and `check` compares
    channels = source.channels if named else _channel_names(usual)
    return ImportProposal(
        root=root,
        cases=tuple(kept),
        channels=channels,
        stacked=source.stacked,
        values=values,
        names=names,
        found=found,
        patient_regex=source.patient_regex,
        patients=source.patients,
        remarks=tuple(source.remarks),
        left_out=source.left_out,
    )


def _read_source(root: Path, wishes: Wishes) -> Source:
    """The cases of a source, by its kind; patterns make any folder one of no kind."""
    patterns = wishes.images or wishes.labels or wishes.test
    if not patterns and (root / "dataset.json").is_file():
        stated = read_stated(root / "dataset.json")
        known = is_msd(root, stated) or is_nnunet(root)
        if known and wishes.channels:
            raise UserError(f"--channels is not used here: {root / 'dataset.json'} names the channels.")
        if wishes.fold is not None and wishes.validation:
            raise UserError("--fold and --validation both choose validation cases: give one of them.")
        if is_nnunet(root) and not is_msd(root, stated):
            return find_nnunet(root, stated, wishes)
        if known and wishes.fold is None:
            return find_msd(root, stated)
    if wishes.fold is not None:
        raise UserError(f"--fold is for folders made for nnU-Net, and {root} is none: use --validation 0.2.")
    return find(root, wishes)


class Survey(NamedTuple):
    """What the files of a case show."""

    channels: int
    axes: int | None  # of the image; None where it was not looked at
    values: set[int] | None  # of the label


def _survey(case: SourceCase, stacked: bool, names: dict[str, int] | None) -> Survey | str:
    """What the files of a case show, or what is wrong with them."""
    try:
        grids = [] if stacked else [formats.read_grid(path) for path in case.images]
        count, axes = sum(grid.channels for grid in grids), len(grids[0].shape) if grids else None
        if case.label is None:
            return Survey(count, axes, None)
        return Survey(count, axes, values_in(case.label, formats.read_label(case.label, None, names).voxels))
    except UserError as error:
        return str(error).rstrip(".")


def _of_one_kind(
    surveyed: list[tuple[SourceCase, Survey]], left_out: dict[str, str]
) -> list[tuple[SourceCase, Survey]]:
    """The cases of the kind, flat images or volumes, that has more labels; the others are left out.

    At a tie the volumes stay. A dataset has scans of one kind.
    """
    kinds = {seen.axes for _, seen in surveyed}
    if len(kinds) < 2:
        return surveyed
    labelled = Counter(seen.axes for case, seen in surveyed if case.label is not None)
    usual = max(kinds, key=lambda axes: (labelled[axes], axes or 0))
    for case, seen in surveyed:
        if seen.axes != usual:
            left_out[case.name] = (
                f"is {seen.axes}D, and the {labelled[usual]} labelled cases that are taken are {usual}D: import it "
                "into a dataset of its own, naming the files with --images"
            )
    return [(case, seen) for case, seen in surveyed if seen.axes == usual]


def _no_label(root: Path, source: Source) -> str:
    """Why there is nothing to learn from."""
    first = next(iter(source.left_out.items()), None)
    why = f" {len(source.left_out)} cases or files cannot be used; the first: {first[0]} {first[1]}." if first else ""
    files = Counter(image.parent.relative_to(root) for case in source.cases for image in case.images)
    here = [f"{folder} ({count})" for folder, count in sorted(files.items()) if folder != Path()]
    taken = f" Folders of files that were taken for images: {listed(here)}." if 1 < len(here) <= _FOLDERS else ""
    return (
        f"{root}: no label that can be used was found among {len(source.cases)} cases.{why}{taken} Name the label "
        'files as their images with _seg or _mask, or say where they lie: --labels masks, or --labels "*/seg.*".'
    )


def _channel_names(count: int) -> tuple[str, ...]:
    """Names for the channels of a scan that nobody has named."""
    if count == len(_COLOURS):
        return _COLOURS
    return ("image",) if count <= 1 else tuple(f"channel_{n}" for n in range(count))
