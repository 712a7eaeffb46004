"""Segments with names, of formats that store them (3D Slicer, DICOM SEG): which label value each one has."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from crossmatch.errors import UserError

_NAMELESS = re.compile(r"segment[ _]?\d*|(?:label[ _]?)?(\d*)")  # what programs write where nobody gave a name


class Segment(NamedTuple):
    """One segment, as the file has it."""

    name: str
    value: int  # in its layer; segments on other layers may have the same
    layer: int


def values_of(path: Path, segments: Sequence[Segment], labels: Mapping[str, int]) -> list[int]:
    """The label value of each segment.

    A segment has the value of the label of its name, in any case of letters. Where no segment (Segment_1) has a name
    or no label (label_1) has one, each segment keeps its own value.

    Args:
        path: of the file, for messages; labels: name -> value.

    Raises:
        UserError: a segment has a name that no label has, or two have one value.
    """
    known = {name.strip().casefold(): value for name, value in labels.items()}
    named = [known.get(segment.name.strip().casefold()) for segment in segments]
    by_number = all(_is_nameless(segment.name, segment.value) for segment in segments)
    by_number |= all(_is_nameless(name, value) for name, value in labels.items() if value != 0)
    strange = [segment.name for segment, value in zip(segments, named, strict=True) if value is None]
    if strange and (len(strange) < len(named) or not by_number):
        raise UserError(
            f"{path} has the segments {', '.join(strange)}, which are no labels ({', '.join(labels)}): rename or "
            "remove them in 3D Slicer, or give the labels these names in dataset.json."
        )
    values = [segment.value if value is None else value for segment, value in zip(segments, named, strict=True)]
    for n, value in enumerate(values):
        if value in values[:n]:
            first, second = segments[values.index(value)].name, segments[n].name
            raise UserError(
                f"{path} has the segments {first} and {second} with one label value, {value}: give every segment the "
                f"name of its label{' (' + ', '.join(labels) + ')' if labels else ''}, or another value."
            )
    return values


def _is_nameless(name: str, value: int) -> bool:
    """Whether a name says nothing beyond a number; that of a label is its value."""
    found = _NAMELESS.fullmatch(name.strip().casefold())
    return found is not None and (not found[1] or int(found[1]) == value)
