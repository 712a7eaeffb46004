"""Codes of structures in DICOM segmentations: a small table by name, and codes that the user gives.

A code has a value, a scheme and a meaning (DICOM PS3.3, 8.8; the usual scheme SCT is SNOMED CT).
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydicom.sr.codedict import codes

from crossmatch.errors import UserError

# Names of labels, in lower case -> their keywords in SNOMED CT. Others get a code of our own, made of the name.
_STRUCTURES = {
    "adrenal gland": "AdrenalGland",
    "left atrium": "LeftAtrium",
    "left ventricle": "LeftVentricle",
    "right ventricle": "RightVentricle",
    **{name: name.title() for name in ("aorta", "bladder", "brain", "colon", "duodenum", "esophagus", "gallbladder")},
    **{name: name.title() for name in ("heart", "kidney", "liver", "lung", "pancreas", "prostate", "spleen")},
}
_FINDINGS = {"lesion": "Lesion", "tumor": "Neoplasm", "tumour": "Neoplasm"}
_OWN_SCHEME = "99CROSSMATCH"  # of private codes: names begin with 99
_LONGEST = {"value": 16, "scheme": 16, "meaning": 64}  # characters, of the types SH and LO


class SegmentCode(NamedTuple):
    """What a segment shows, and whether that is a finding, not a part of the body."""

    value: str
    scheme: str
    meaning: str
    finding: bool


def code_of(name: str, given: Mapping[str, SegmentCode]) -> SegmentCode:
    """The code of a label: the one that is given, that of the table, or one of our own."""
    if name in given:
        return given[name]
    key = name.strip().lower().replace("_", " ")
    keyword = _STRUCTURES.get(key) or _FINDINGS.get(key)
    if keyword is None:
        return SegmentCode(name[: _LONGEST["value"]], _OWN_SCHEME, name[: _LONGEST["meaning"]], False)
    found = getattr(codes.SCT, keyword)
    return SegmentCode(found.value, found.scheme_designator, found.meaning, key in _FINDINGS)


def parse_codes(texts: Sequence[str], labels: Mapping[str, int]) -> dict[str, SegmentCode]:
    """{"liver": ...} from ["liver=SCT:10200004:Liver"]; with "finding:" before the scheme it is a finding.

    Args:
        labels: name -> value, of the labels that may be named.

    Raises:
        UserError: of another form, an unknown label, one label twice, or a part that DICOM cannot hold.
    """
    found: dict[str, SegmentCode] = {}
    for text in texts:
        match = re.fullmatch(r"(.+)=(finding:)?([^:]+):([^:]+):(.+)", text)
        if match is None:
            raise UserError(f'--code "{text}" is not LABEL=SCHEME:VALUE:MEANING, as in liver=SCT:10200004:Liver.')
        name, finding, scheme, value, meaning = match.groups()
        if name not in labels or labels[name] == 0:
            known = ", ".join(label for label, number in labels.items() if number)
            raise UserError(f'--code "{text}": {name} is no label of the run, which has {known}.')
        if name in found:
            raise UserError(f"--code gives {name} two codes: keep one.")
        for part, what in ((value, "value"), (scheme, "scheme"), (meaning, "meaning")):
            if len(part) > _LONGEST[what]:
                raise UserError(f'--code "{text}": the {what} has more than {_LONGEST[what]} characters.')
        found[name] = SegmentCode(value, scheme, meaning, finding is not None)
    return found
