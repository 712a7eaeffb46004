"""What an import starts from: the options of the user, and the cases that were found in a source.

Paths are those of the source. Nothing is read or written here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crossmatch.dataset.dataset import Split
from crossmatch.errors import UserError


@dataclass(frozen=True)
class Wishes:
    """The options of `crossmatch import folder`; what is not given is guessed or left out."""

    images: str | None = None  # a folder or a pattern below the source
    labels: str | None = None
    test: str | None = None
    channels: tuple[str, ...] = ()
    values: Mapping[int, int] = field(default_factory=dict)  # value in the files -> value in the dataset
    names: Mapping[int, str] = field(default_factory=dict)  # label value -> name
    patient: str | None = None  # regular expression on case names, group 1 is the patient
    validation: float = 0.0  # share of the patients with labels
    seed: int = 0  # of the choice of validation patients
    fold: int | None = None  # of splits_final.json
    link: bool = False  # symbolic links instead of copies


@dataclass(frozen=True)
class SourceCase:
    """The files of one case."""

    name: str
    images: tuple[Path, ...]  # one file a channel, or one file that holds them all
    label: Path | None  # None: unlabelled
    split: Split
    folder: str | None = None  # the outermost one that tells patients apart, if there is one


@dataclass
class Source:
    """What was found in a source, before any voxel is read."""

    cases: list[SourceCase]
    channels: tuple[str, ...]  # empty: to be named by what the files hold
    labels: dict[str, int] | None  # name -> value in the files; None where the source does not say
    stacked: bool = False  # channels lie along the fourth axis of one file
    patient_regex: str | None = None
    patients: dict[str, str] = field(default_factory=dict)  # case -> patient, where a regular expression cannot say it
    left_out: dict[str, str] = field(default_factory=dict)  # case or file -> the reason
    remarks: list[str] = field(default_factory=list)


def parse_values(texts: list[str]) -> dict[int, int]:
    """{255: 1} from ["255=1"]; several may stand in one text, separated by commas.

    Raises:
        UserError: no whole numbers, or one value mapped twice.
    """
    pairs = [_pair(part, "--map", "255=1") for text in texts for part in text.split(",") if part.strip()]
    values: dict[int, int] = {}
    for old, new in pairs:
        if not re.fullmatch("[0-9]{1,5}", new) or int(new) > 65535:
            raise UserError(f"--map {old}={new}: label values are whole numbers from 0 to 65535, such as 255=1.")
        if values.setdefault(int(old), int(new)) != int(new):
            raise UserError(f"--map gives {old} two values, {values[int(old)]} and {new}: keep one.")
    return values


def parse_names(text: str) -> dict[int, str]:
    """{1: "liver", 2: "tumour"} from "1=liver,2=tumour".

    Raises:
        UserError: not of this form, or one value or name twice.
    """
    pairs = [_pair(part, "--names", "1=liver") for part in text.split(",") if part.strip()]
    names = {int(value): name for value, name in pairs}
    if len(names) != len(pairs) or len(set(names.values())) != len(pairs) or not all(names.values()):
        raise UserError(f'--names "{text}" has an empty name, or a value or name twice: write "1=liver,2=tumour".')
    return names


def _pair(text: str, option: str, example: str) -> tuple[int, str]:
    match = re.fullmatch(r"\s*(-?[0-9]{1,9})\s*=(.*)", text)
    if match is None:
        raise UserError(f'{option} "{text}" is not of the form {example}: write {option} "{example}".')
    return int(match[1]), match[2].strip()
