"""Labels and lines of lists under a name that is nearly right: which case their owner probably meant."""

import re
from collections.abc import Collection
from pathlib import Path

from crossmatch.formats import ending, stem


def label_without_image(path: Path, name: str, images: str, known: Collection[str]) -> str:
    """The problem of a label whose name is that of no image.

    Args:
        path: the label; name: its file name without ending.
        images: the folder that its image should lie in; known: the cases there.
    """
    case = re.sub(r"_\d{4}$", "", name)
    if case != name and case in known:
        return f"{path}: labels have no {name.removeprefix(case)}: rename it to {case}{ending(path)}"
    return f"{path} is a label without an image {images}/{name}_0000{ending(path)}"


def unknown_case(path: Path, name: str, known: Collection[str], why: str) -> str:
    """The problem of a name in a text list that is no case.

    Args:
        path: the list; name: the line; known: the cases that it may name.
        why: what is wrong, where no file name of a case was written instead of the case.
    """
    plain = stem(name) or name
    cases = [case for case in (plain, re.sub(r"_\d{4}$", "", plain)) if case in known]
    return f"{path} names {name}: write {cases[0]}" if cases else f"{path} names {name}, {why}"
