"""The classes that an evaluation scores: names and values, checked before anything is computed."""

from collections.abc import Mapping

import numpy as np

from crossmatch.dataset.layout import IGNORE
from crossmatch.errors import UserError, listed

HIGHEST = 2**31  # above every label value


def scored_classes(labels: Mapping[str, int]) -> dict[str, int]:
    """Class -> value, without background and ``ignore``.

    Raises:
        UserError: a value that is no whole number from 0 on, one that several names have, or ``ignore`` for background.
    """
    for name, value in labels.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < HIGHEST:
            raise UserError(
                f"{name} has the value {value!r}: label values are whole numbers, 0 for background and more for "
                "classes. Number the classes so, in dataset.json and in the files."
            )
    drawn = {name: int(value) for name, value in labels.items() if value != 0}
    if IGNORE in labels and IGNORE not in drawn:
        raise UserError(f"{IGNORE} has the value 0, that of background: give it one of its own.")
    if alike := [name for name, value in drawn.items() if list(drawn.values()).count(value) > 1]:
        raise UserError(f"{listed(alike)} have the same value: give each class one of its own.")
    return {name: value for name, value in drawn.items() if name != IGNORE}
