"""What runs must have in common whose networks see the same images: those of an ensemble, a teacher and its student."""

from typing import Any

import numpy as np

from crossmatch.dataset.orientation import UNTURNED, turn_into
from crossmatch.formats import Grid
from crossmatch.runs.differences import changes
from crossmatch.runs.run import Run

_PREPARING = ("normalise", "sampling", "interpolation", "size", "spacing_mm")  # of `DataSettings`: what a network sees


def differences(first: Run, other: Run) -> list[str]:
    """In words, how labels, channels or the preparation of scans differ: ``labels.RV is 1 and 2``."""
    differing = changes(_preparation(first, first), _preparation(other, first))
    return [text.replace(" was ", " is ").replace(", now ", " and ") for text in differing]


def _preparation(run: Run, first: Run) -> dict[str, Any]:
    data, recipe = run.data, run.recipe
    return {
        "labels": sorted(data["labels"].items(), key=lambda item: item[1]),
        "channels": data["channels"],
        "slice_axis": data["slice_axis"] if recipe.dims == 2 else None,
        "orientation": _axes(run, first),
        "data": {key: getattr(recipe.data, key) for key in _PREPARING},
        "predict.resize": recipe.predict.resize,
    }


def _axes(run: Run, first: Run) -> str:
    """Whether the frame has the axes of the first run's: frames of folds come from different scans."""
    if run.frame is None or first.frame is None:
        return "none" if run.frame is None else "that of the training scans"
    turn = turn_into(first.frame, Grid((1, 1, 1), np.array(run.frame), (1.0, 1.0, 1.0)))
    return "that of the training scans" if turn == UNTURNED else f"turned, {turn.axes} flipped {turn.flipped}"
