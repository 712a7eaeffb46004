"""A folder made for nnU-Net: imagesTr/CASE_0000, labelsTr/CASE, dataset.json, and splits_final.json with its folds.

`train` opens such a folder as it is. Importing it takes the labels into 0..K-1, a fold as validation cases, and files
of further formats.
"""

import re
from collections import defaultdict
from pathlib import Path

from crossmatch import formats
from crossmatch.atomic import parse_json
from crossmatch.dataset.dataset import Split
from crossmatch.dataset.patients import read_patients
from crossmatch.errors import UserError, listed
from crossmatch.importers.described import Stated, channels_of, labels_of
from crossmatch.importers.patterns import unused_below
from crossmatch.importers.wishes import Source, SourceCase, Wishes

FOLDS = "splits_final.json"
Fold = dict[str, list[str]]


def is_nnunet(source: Path) -> bool:
    """Whether a folder with a dataset.json is laid out as nnU-Net wants it."""
    return (source / "imagesTr").is_dir()


def find_nnunet(source: Path, stated: Stated, wishes: Wishes) -> Source:
    """The cases of a folder.

    Raises:
        UserError: channels or labels that are not said, a fold that is not there.
    """
    path = source / "dataset.json"
    found = Source([], channels_of(path, stated), labels_of(path, stated))
    regex = stated.get("patient_regex")
    found.patient_regex = regex if isinstance(regex, str) else None
    found.patients = dict(read_patients(path, stated).named)
    (training, validation), used = _fold(source, wishes.fold, found), [path, source / FOLDS]
    passed: list[str] = []
    parts: tuple[tuple[str, Split], ...] = (("Tr", "train"), ("Ts", "test"))
    for part, split in parts:
        labels = dict(_scans(source / f"labels{part}"))
        used += [file for kind in ("images", "labels") for _, file in _scans(source / f"{kind}{part}")]
        for name, images in _by_case(source / f"images{part}", found).items():
            label = labels.pop(name, None)
            if part == "Tr" and label is not None and training is not None and name not in training | validation:
                passed.append(name)
                continue
            found.cases.append(SourceCase(name, images, label, "val" if name in validation else split))
        for name, label in labels.items():
            found.left_out.setdefault(name, f"has the label {label} and no image that can be used")
    if passed:
        found.remarks.append(f"Not used, as fold {wishes.fold} of {FOLDS} has them in neither list: {listed(passed)}.")
    absent = sorted((validation | (training or set())) - {case.name for case in found.cases} - set(found.left_out))
    found.left_out |= {name: f"stands in {FOLDS} and has no image" for name in absent}
    found.remarks += unused_below(source, used, "as they lie elsewhere than nnU-Net has images and labels")
    return found


def _scans(folder: Path) -> list[tuple[str, Path]]:
    return formats.files_in(folder) if folder.is_dir() else []


def _by_case(folder: Path, found: Source) -> dict[str, tuple[Path, ...]]:
    """The files of each case, in the order of its channels."""
    files: dict[str, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for stem, path in _scans(folder):
        match = re.fullmatch(r"(.+)_(\d{4})", stem)
        if match is None:
            found.left_out[stem] = f"has no channel number: rename {path} to {stem}_0000{formats.ending(path)}"
        else:
            files[match[1]][int(match[2])].append(path)
    cases: dict[str, tuple[Path, ...]] = {}
    for name, numbered in files.items():
        doubled = [paths for paths in numbered.values() if len(paths) > 1]
        in_colours = list(numbered) == [0] and formats.holds_channels(numbered[0][0])
        if doubled:
            found.left_out[name] = f"has two files for one channel: {listed(doubled[0], ' and ')}"
        elif sorted(numbered) != list(range(len(found.channels))) and not in_colours:
            found.left_out[name] = (
                f"has the channels {listed(sorted(numbered))}, dataset.json names {len(found.channels)}"
            )
        else:
            cases[name] = tuple(numbered[n][0] for n in sorted(numbered))
    return cases


def _fold(source: Path, fold: int | None, found: Source) -> tuple[set[str] | None, set[str]]:
    """The training and the validation cases of a fold.

    Training cases are None where no fold is asked for, or where it does not name them: then all others are.
    """
    path = source / FOLDS
    if fold is None:
        if path.is_file():
            found.remarks.append(f"{FOLDS} is not used: --fold 0 takes the cases of its first fold.")
        return None, set()
    if not path.is_file():
        raise UserError(f"--fold {fold} needs {path}, which does not exist: copy it from nnUNet_preprocessed.")
    folds = parse_json(path.read_bytes(), list[Fold], str(path), "it holds a list of folds, each with train and val")
    if not 0 <= fold < len(folds):
        raise UserError(f"--fold {fold}: {path} has the folds 0 to {len(folds) - 1}.")
    training = folds[fold].get("train")
    return None if training is None else set(training), set(folds[fold].get("val", []))
