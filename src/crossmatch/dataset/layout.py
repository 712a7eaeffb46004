"""The files of a dataset's folder: `dataset.json`, the names of images and labels, the text lists.

Each folder is listed once and no single file is looked at, so that 10,000 cases open in a moment. Every format that
`formats` knows is taken, also several in one dataset.
"""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmatch.atomic import parse_json
from crossmatch.dataset.misnamed import label_without_image
from crossmatch.dataset.patients import Patients, read_patients
from crossmatch.dataset.unread import unread_folders
from crossmatch.errors import UserError, listed, way_out
from crossmatch.formats import DEFAULT_ENDING, endings, files_in, holds_channels, unclaimed_in

TREE = f"""\
DIR/
  dataset.json                     {{"channel_names": {{"0": "MRI"}}, "labels": {{"background": 0, "organ": 1}}}}
  imagesTr/CASE_0000{DEFAULT_ENDING}        training images, one file a channel: _0000, _0001, ... (colours: one)
  labelsTr/CASE{DEFAULT_ENDING}             their labels; a training image without one is unlabelled
  imagesTs/ labelsTs/              test cases, optional
  splits/train.txt val.txt test.txt train_N_label.txt   one case a line, optional
Files may also end in {", ".join(each for each in endings() if each != DEFAULT_ENDING)}."""


IGNORE = "ignore"  # the name of the label of voxels that count nowhere, as in nnU-Net


@dataclass(frozen=True)
class Description:
    """What `dataset.json` says."""

    path: Path
    name: str
    channels: tuple[str, ...]
    labels: dict[str, int]  # without ignore
    ignore: int | None  # the label value of voxels that count nowhere, K
    slice_axis: int
    patients: Patients
    jaccard_threshold: float | None  # below which the score of a case counts as 0, of challenges that say so

    @property
    def drawn(self) -> dict[str, int]:
        """As `Dataset.drawn`."""
        return self.labels if self.ignore is None else {**self.labels, IGNORE: self.ignore}


@dataclass(frozen=True)
class Listing:
    """The cases found in the folders, by name."""

    images: dict[str, tuple[Path, ...]]  # one file per channel
    labels: dict[str, Path]
    training: tuple[str, ...]  # names in imagesTr, sorted
    test: tuple[str, ...]  # names in imagesTs, sorted
    unused: tuple[Path, ...]  # what lies in the folders and is no scan
    problems: tuple[str, ...]


def refuse(root: Path, problems: list[str]) -> None:
    """Raise one UserError that lists the problems, unless there are none."""
    if not problems:
        return
    bullet = "\n  - "
    several = f" has {len(problems)} problems:{bullet}{listed(problems, bullet)}"
    raise UserError(f"Dataset {root}{several if len(problems) > 1 else f': {problems[0]}.'}")


def read_list(path: Path) -> list[str]:
    """The case names of a text list, one a line; blank lines and repetitions are dropped."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}): {way_out(error, 'one case a line')}.") from error
    return list(dict.fromkeys(unicodedata.normalize("NFC", line.strip()) for line in lines if line.strip()))


def read_description(root: Path) -> Description:
    """Read `dataset.json`, in nnU-Net's present spelling or its older one ("modality", labels by value).

    Raises:
        UserError: no folder, an empty one, no dataset.json in it, or one that does not describe a dataset.
    """
    path = root / "dataset.json"
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise UserError(f"{root} {what}: name the folder of a dataset, which looks like this:\n{TREE}")
    if not path.is_file():
        what = "is empty" if not any(root.iterdir()) else "has no dataset.json, so it is no dataset"
        raise UserError(f"{root} {what}. A dataset looks like this:\n{TREE}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as text ({error}): {way_out(error, 'correct it')}.") from error
    stated = parse_json(text, dict[str, Any], str(path), "correct it; it holds an object with channel_names and labels")
    stated_ending = stated.get("file_ending", DEFAULT_ENDING)
    if str(stated_ending).lower() not in endings():
        raise UserError(f"{path} has file_ending {stated_ending!r}: it must be one of {', '.join(endings())}.")
    axis = stated.get("slice_axis", 2)
    if type(axis) is not int or axis not in (0, 1, 2):  # neither 1.0 nor true
        raise UserError(f"{path} has slice_axis {axis!r}: it must be 0, 1 or 2 (the last axis, the default).")
    labels, ignore = _labels(path, stated.get("labels"))
    return Description(
        path=path,
        name=str(stated.get("name") or root.resolve().name),
        channels=_channels(path, stated.get("channel_names", stated.get("modality"))),
        labels=labels,
        ignore=ignore,
        slice_axis=axis,
        patients=read_patients(path, stated),
        jaccard_threshold=_threshold(path, stated.get("jaccard_threshold")),
    )


def list_cases(root: Path, description: Description) -> Listing:
    """List the images and labels; what does not fit together is in `Listing.problems`."""
    problems: list[str] = []
    images: dict[str, tuple[Path, ...]] = {}
    labels: dict[str, Path] = {}
    names: dict[str, tuple[str, ...]] = {}
    unused: list[Path] = []
    for kind in ("Tr", "Ts"):
        found = _images(root / f"images{kind}", description, problems)
        problems += [f"case {name} is in both imagesTr and imagesTs: rename one" for name in found if name in images]
        names[kind] = tuple(sorted(found))
        images |= found
        for name, path in _files(root / f"labels{kind}", problems).items():
            if name in found:
                labels[name] = path
            else:
                problems.append(label_without_image(path, name, f"images{kind}", found))
        for part in ("images", "labels"):
            folder = root / f"{part}{kind}"
            unused += unclaimed_in(folder, series=part == "images") if folder.is_dir() else []
    problems += [
        f"{path} is no label by its name: use a file that ends in {' or '.join(endings())}, or remove it"
        for path in unused
        if path.parent.name == "labelsTr" and not path.name.startswith(".")
    ]
    if not images:
        looked_for = f"no image named CASE_0000{DEFAULT_ENDING} in imagesTr or imagesTs"
        problems.append("; ".join([looked_for, *unread_folders(root), f"a dataset looks like this:\n{TREE}"]))
    lower: dict[str, str] = {}
    for name in images:
        other = lower.setdefault(name.casefold(), name)
        if other != name:
            problems.append(f"cases {other} and {name} differ in upper and lower case only: rename one")
    return Listing(images, labels, names["Tr"], names["Ts"], tuple(unused), tuple(problems))


def _files(folder: Path, problems: list[str], series: bool = False) -> dict[str, Path]:
    """The scans of a folder by name without ending; nothing when there is no such folder."""
    found: dict[str, Path] = {}
    for stem, path in files_in(folder, series) if folder.is_dir() else []:
        other = found.setdefault(stem, path)
        if other is not path:
            problems.append(f"{other} and {path.name} have one name and two endings: remove one")
    return found


def _images(folder: Path, description: Description, problems: list[str]) -> dict[str, tuple[Path, ...]]:
    """The images of a folder: the files of all channels, by case."""
    by_case: dict[str, dict[int, Path]] = {}
    for stem, path in _files(folder, problems, series=True).items():
        match = re.fullmatch(r"(.+)_(\d{4})", stem)
        if match is None:
            what = ", if it is a DICOM series, or remove it" if path.is_dir() else ""
            problems.append(f"{path} has no channel number: rename it to {stem}_0000{path.name[len(stem) :]}{what}")
        else:
            by_case.setdefault(match[1], {})[int(match[2])] = path
    wanted = range(len(description.channels))
    for name, files in by_case.items():
        if len(wanted) > 1 and list(files) == [0] and holds_channels(files[0]):
            continue  # one file in colours; `check` counts its channels
        usual = next(iter(files.values())).name[len(name) + 5 :]
        if missing := ", ".join(f"{name}_{n:04d}{usual}" for n in wanted if n not in files):
            problems.append(f"case {name} lacks a channel: {folder / missing} is missing")
        if extra := ", ".join(path.name for n, path in files.items() if n not in wanted):
            numbers = f"; if {min(files):04d} is a case number, add a channel: {name}_{min(files):04d}_0000{usual}, ..."
            problems.append(f"case {name} has more channels than dataset.json names: {folder / extra}{numbers}")
    return {name: tuple(files[n] for n in sorted(files)) for name, files in by_case.items()}


def _channels(path: Path, stated: Any) -> tuple[str, ...]:
    """("T1", "T2") from {"0": "T1", "1": "T2"} or ["T1", "T2"]."""
    if isinstance(stated, dict) and sorted(stated) == sorted(str(n) for n in range(len(stated))) and stated:
        return tuple(str(stated[str(n)]) for n in range(len(stated)))
    if isinstance(stated, list) and stated:
        return tuple(str(name) for name in stated)
    raise UserError(f'{path} has channel_names {stated!r}: write them like {{"0": "T1", "1": "T2"}}.')


def _labels(path: Path, stated: Any) -> tuple[dict[str, int], int | None]:
    """Name -> value, sorted by value, from either direction; and the value of the label `ignore`, if there is one."""
    way_out = 'write them like {"background": 0, "organ": 1, "tumour": 2}, values 0, 1, 2, ... without gaps'
    if not isinstance(stated, dict):
        raise UserError(f"{path} has labels {stated!r}: {way_out}.")
    pairs = [(name, value) if not isinstance(value, str) else (value, name) for name, value in stated.items()]
    labels = {name: _whole(value) for name, value in pairs}
    if len(labels) > 256:  # of uint8
        raise UserError(f"{path} declares {len(labels)} labels, at most 256 are stored: leave some out.")
    ignore = labels.get(IGNORE)
    if len(labels) < 2 + (IGNORE in labels) or {*labels.values()} != {*range(len(pairs))}:
        raise UserError(f"{path} has labels {stated!r}: {way_out} (0 is background; regions are not used).")
    if IGNORE in labels and ignore != len(labels) - 1:
        raise UserError(f"{path} has labels {stated!r}: {IGNORE} must have the highest value.")
    if unfit := [name for name in labels if name == "mean" or not name.isprintable() or not name.strip()]:
        raise UserError(
            f"{path} has a label named {unfit[0]!r}: choose a printable name other than mean, which stands for the "
            "mean over labels in logs and tables."
        )
    ordered = sorted((value, name) for name, value in labels.items() if value is not None)
    return {name: value for value, name in ordered if name != IGNORE}, ignore


def _threshold(path: Path, stated: Any) -> float | None:
    if stated is not None and (type(stated) not in (int, float) or not 0 <= stated <= 1):
        raise UserError(f"{path} has jaccard_threshold {stated!r}: it is a number from 0 to 1, such as 0.65.")
    return None if stated is None else float(stated)


def _whole(value: Any) -> int | None:
    """2 of 2, 2.0 and "2"; None of what is no whole number."""
    if isinstance(value, str):
        return int(value) if re.fullmatch("[0-9]{1,9}", value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if type(value) is int else None
