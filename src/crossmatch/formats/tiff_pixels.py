"""Grey pixels of TIFF files that Pillow hands out otherwise than they are meant: signs, and files whose 0 is white."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossmatch.errors import UserError
from crossmatch.formats.volume import Array

WIDTH, LENGTH = 256, 257  # tags
_PHOTOMETRIC, _SAMPLE_FORMAT = 262, 339  # tags
_UNSIGNED, _SIGNED = (1,), (2,)  # values of the second one
_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # with which these files begin


def as_meant(path: Path, pixels: Array, mode: str, tags: Mapping[int, Any]) -> Array:
    """The pixels of a grey picture with the sign that its tags state, and with 0 as black.

    Args:
        path: the file.
        pixels: (rows, columns), as Pillow reads them.
        mode: Pillow's name for their type.
        tags: of the file; empty for other formats than TIFF.

    Raises:
        UserError: fractions of which 0 is white: there is no highest number from which to count.
    """
    white = tags.get(_PHOTOMETRIC) == 0  # Pillow turns these round itself, but only in 8 bits
    signed = tags.get(_SAMPLE_FORMAT)
    if mode == "L" and signed == _SIGNED:
        return pixels.view(np.int8)
    if mode.startswith("I;16"):
        pixels = pixels.astype(np.uint16)
        return 65535 - pixels if white else pixels
    if mode == "F" and white:
        raise UserError(
            f"{path} says that 0 is white, and holds fractions, of which none is black: save it with 0 as black."
        )
    return pixels.view(np.uint32) if mode == "I" and signed == _UNSIGNED else pixels


def refuse_unknown_kind(path: Path) -> None:
    """Refuse a TIFF file in which Pillow found no picture: it may be whole, and of a kind that is not read.

    Raises:
        UserError: the file begins as TIFF does.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start in _MARKS:
        raise UserError(
            f"{path} is damaged, or its pixels are of a kind that is not read (such as float64): copy it again, or "
            "save it as grey of 8 or 16 bits or float32, with 0 as black."
        )
