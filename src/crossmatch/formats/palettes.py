"""Palettes of label pictures: whether a number has the same colour in every file.

Such a picture stores numbers, and a palette with the colour of each. Programs that reduce colours to a palette often
order it anew for every file. The same number then stands for different things.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from crossmatch.errors import UserError
from crossmatch.formats.labels import palette_colours

Colour = tuple[int, int, int]  # red, green, blue


def mixed_palettes(files: Iterable[Path]) -> list[str]:
    """Why the numbers of label pictures cannot be trusted, with the way out: a sentence; none where they can.

    A number with two colours is found, and a colour that has one number in one file and another in another.

    Args:
        files: labels of any format. Those without a palette of colours pass, and those that cannot be read.
    """
    colours: dict[int, tuple[Colour, Path]] = {}
    numbers: dict[Colour, tuple[set[int], Path]] = {}
    for path in files:
        here: dict[Colour, set[int]] = {}
        found: dict[int, Colour] = {}
        with suppress(UserError):
            found = palette_colours(path)
        for number, colour in found.items():
            known, other = colours.setdefault(number, (colour, path))
            if known != colour:
                return _told(f"the number {number} is {_named(known)} in {other} and {_named(colour)} in {path}")
            here.setdefault(colour, set()).add(number)
        for colour, own in here.items():
            before, other = numbers.setdefault(colour, (own, path))
            if not before & own:  # several numbers may have one colour, such as entries that are not set
                return _told(f"{_named(colour)} is {min(before)} in {other} and {min(own)} in {path}")
    return []


def _named(colour: Colour) -> str:
    return f"#{bytes(colour).hex()}"


def _told(difference: str) -> list[str]:
    return [
        f"the palettes of label files differ: {difference}. So a number does not mean the same in both: save the masks "
        "as grey PNG files that hold the values of the labels, or all with one palette"
    ]
