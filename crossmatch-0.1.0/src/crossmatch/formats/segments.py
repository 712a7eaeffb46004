"""Segments with names, of formats that store them (3D Slicer, DICOM SEG): which label value each one has."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from crossmatch.errors import UserError


class Segment(NamedTuple):
    """One segment, as the file has it."""

    name: str
    value: int  # in its layer; segments on other layers may have the same
    layer: int


def values_of(path: Path, segments: Sequence[Segment], labels: Mapping[str, int]) -> list[int]:
    """The label value of each segment.

    A segment has the value of the label of its name, in any case of letters. Where no segment has the name of a label,
    each keeps its own value.

    Args:
        path: of the file, for messages; labels: name -> value.

    Raises:
        UserError: some segments have names of labels and others not, or two have one value.
    """
    known = {name.strip().casefold(): value for name, value in labels.items()}
    named = [known.get(segment.name.strip().casefold()) for segment in segments]
    if any(value is not None for value in named):
        strange = [segment.name for segment, value in zip(segments, named, strict=True) if value is None]
        if strange:
            raise UserError(
                f"{path} has the segments {', '.join(strange)}, which are no labels ({', '.join(labels)}): rename or "
                "remove them in 3D Slicer."
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
