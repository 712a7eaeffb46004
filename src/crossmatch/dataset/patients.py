"""Who the patient of a case is: as dataset.json says, else by the name of the case.

"patient_of": {"anna_1": "anna", "x7": "anna"}     case by case; written by `import folder` from folders and headers
"patient_regex": "(.+)_[^_]+"                      by the names of the other cases
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from crossmatch.dataset.repetition import nests_repetitions
from crossmatch.errors import UserError
from crossmatch.formats import spelled

_BIDS = re.compile(r"sub-[A-Za-z0-9]+(?![^_])")  # sub-01 of sub-01_ses-02_run-1: bids-specification.readthedocs.io
_REPEAT = re.compile(r"(?:[_-](?:frame|slice|time|timepoint|phase|visit|session|day)[_-]?\d+)+$", re.IGNORECASE)


class Patients(NamedTuple):
    """What dataset.json says of patients."""

    path: Path  # of dataset.json, for messages
    pattern: re.Pattern[str] | None  # patient_regex
    named: Mapping[str, str]  # patient_of

    def of(self, case: str) -> str:
        """The patient of a case. Errors as of `patient_of`."""
        return self.named.get(case) or patient_of(case, self.pattern, self.path)

    def are_stated(self, cases: Iterable[str]) -> bool:
        """Whether dataset.json says the patient of each of these cases; else some are read from names."""
        return self.pattern is not None or (bool(self.named) and all(case in self.named for case in cases))


def read_patients(path: Path, stated: Mapping[str, Any]) -> Patients:
    """What a dataset.json says of patients.

    Args:
        path: of the file; stated: its content.

    Raises:
        UserError: patient_regex or patient_of of another form.
    """
    named = stated.get("patient_of", {})
    if not isinstance(named, dict) or not all(isinstance(each, str) and each for each in named.values()):
        raise UserError(
            f'{path} has patient_of {str(named)[:80]}: write the patient of each case, like {{"anna_1": "anna"}}.'
        )
    pattern = patient_pattern(path, stated.get("patient_regex"))
    return Patients(path, pattern, {spelled(case): patient for case, patient in named.items()})


def patient_of(name: str, pattern: re.Pattern[str] | None, path: Path) -> str:
    """The patient of a case: group 1 of `pattern`, else sub-XX of BIDS, else its name without _frame01, ...

    Args:
        name: of the case.
        pattern: the patient_regex of dataset.json, if it has one; path: of that file, for the message.

    Raises:
        UserError: the pattern does not match.
    """
    if pattern is None:
        subject = _BIDS.match(name)
        return subject[0] if subject else _REPEAT.sub("", name) or name
    match = pattern.search(name)
    if match is None or not match.group(1):
        raise UserError(
            f"patient_regex {pattern.pattern!r} in {path} finds no patient in the case name {name}: write it so that "
            "its first group matches in every case name."
        )
    return match.group(1)


def patient_pattern(path: Path, stated: Any) -> re.Pattern[str] | None:
    """The regular expression that finds the patient in the name of a case; `path` is where it stands."""
    if stated is None:
        return None
    try:
        pattern = re.compile(stated)
    except (TypeError, re.error) as error:
        raise UserError(f"{path} has patient_regex {stated!r}, which is no regular expression ({error}).") from error
    if nests_repetitions(stated):
        raise UserError(
            f"{path} has patient_regex {stated!r}, which repeats a repetition and can take for ever: write, for "
            "example, (patient\\d+) instead of ((patient\\d+)+)."
        )
    if pattern.groups < 1:
        raise UserError(f"{path} has patient_regex {stated!r}: put the patient in a group, such as (patient\\d+)_.*")
    return pattern
