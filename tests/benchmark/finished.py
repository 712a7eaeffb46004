"""Finished cells of a benchmark with scores written by hand, as `crossmatch evaluate` would have found them."""

import math
from collections.abc import Mapping
from typing import Any

from crossmatch.benchmark.results import GridPoint, Result
from crossmatch.scoring.scores import ClassScores, Evaluation

VOXEL_MM = 2.0  # distances in mm are twice those in voxels


def result(
    method: str,
    dice: Mapping[str, float],
    *,
    labelled: str = "3",
    seed: int = 0,
    grid: GridPoint = (),
    hd95: float = 4.0,
    mm: bool = True,
    patients: Mapping[str, str] | None = None,
    fingerprint: str = "f0",
    dataset: str = "Blocks",
    checkpoint: str = "last",
    **training: Any,
) -> Result:
    """A cell of one class: Dice by case, one HD95 (voxels) for all; ASD is a quarter of it, Jaccard half the Dice.

    `training` holds seconds, parameters, peak_memory_bytes, validation_dice. Without `patients` each case is one.
    """
    rows = []
    for case, value in dice.items():
        distances = {"hd95": hd95, "asd": hd95 / 4, "assd": hd95 / 4}
        scores = {"dice": value, "jaccard": value / 2} | {f"{name}_voxels": d for name, d in distances.items()}
        if mm:
            scores |= {f"{name}_mm": d * VOXEL_MM for name, d in distances.items()}
        rows.append(ClassScores(case, "block", 1, scores))
    prediction = {
        "checkpoint": checkpoint,
        "step": 100,
        "recipe": {"method": {"name": method, "threshold": 0.5}},
        "data": {"name": dataset, "fingerprint": fingerprint},
        "training": {
            "seconds": 60.0,
            "code": {"crossmatch": "0.1.0", "commit": "0123456789ab"},
            "device": {"type": "cpu", "name": "some CPU", "precision": "float32"},
            "versions": {"torch": "2.8"},
            **training,
        },
    }
    evaluation = Evaluation(tuple(rows), {"block": 1}, "test", "labelsTs", dataset, (), (), prediction)
    return Result(method, labelled, seed, grid, evaluation, dict(patients or {case: case for case in dice}))


def cases(*dice: float) -> dict[str, float]:
    """Dice of the cases a, b, c, ..."""
    return {chr(ord("a") + place): value for place, value in enumerate(dice)}


NAN = math.nan
