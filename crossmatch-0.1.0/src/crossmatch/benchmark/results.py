"""Finished cells of a benchmark, and the rows of its table: one for each method, number of labels and grid point.

A cell is one run with one seed. Means over seeds are taken of each seed's mean over its test cases. Dice and Jaccard
are fractions here, and percent only where they are shown. Distances are in mm if every cell knows its voxel size.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from crossmatch.errors import UserError, listed
from crossmatch.scoring.scores import THRESHOLDED, Evaluation

GridPoint = tuple[tuple[str, str], ...]  # changed settings: (dotted key, value as text)
Unit = tuple[str, str]  # (fingerprint of the data set, patient)


@dataclass(frozen=True)
class Result:
    """A finished cell. `evaluation` is that of its test cases by its own run."""

    method: str
    labelled: str  # as data.labelled: a number, or "all"
    seed: int
    grid: GridPoint  # () without a grid
    evaluation: Evaluation
    patients: dict[str, str]  # test case -> patient

    def __post_init__(self) -> None:
        """Raise UserError for a scored case whose patient is unknown."""
        if unknown := sorted({row.case for row in self.evaluation.rows} - self.patients.keys()):
            raise UserError(
                f"{self._said} has cases that are no test cases of its dataset: {listed(unknown)}. Put the dataset "
                "back as it was, or remove that cell's folder of predictions and run it again."
            )

    @property
    def conditions(self) -> tuple[int, str]:
        """Seed and content of the data: runs of different rows can be compared if these are equal."""
        return self.seed, self.fingerprint

    @property
    def dataset(self) -> str:
        """The name of the data set that was learned from."""
        return str(self._fact("data", "name"))

    @property
    def fingerprint(self) -> str:
        """The digest of that data set's content."""
        return str(self._fact("data", "fingerprint"))

    @property
    def checkpoint(self) -> str:
        """``last``, ``best`` (of the validations) or a file's name."""
        return str(self._fact("checkpoint"))

    @property
    def step(self) -> int:
        """Steps that the checkpoint has learned for."""
        return int(self._fact("step"))

    @property
    def method_settings(self) -> dict[str, Any]:
        """The method and all its settings."""
        return dict(self._fact("recipe", "method"))

    @property
    def training(self) -> dict[str, Any]:
        """What the run records of its training: seconds, code, device, versions and costs."""
        return dict(self._fact("training"))

    @property
    def seconds(self) -> float:
        """Training time."""
        return float(self._fact("training", "seconds"))

    @property
    def parameters(self) -> int | None:
        """Trained parameters of all networks that learn; None if the run does not record them."""
        return self.training.get("parameters")

    @property
    def peak_memory_bytes(self) -> int | None:
        """Peak memory of the training: tensors on CUDA, the whole process on a CPU; None if it is not recorded."""
        return self.training.get("peak_memory_bytes")

    @property
    def validation_dice(self) -> float | None:
        """Dice of the validation cases by the same checkpoint; None without validation."""
        return self.training.get("validation_dice")

    @property
    def _said(self) -> str:
        return f"The evaluation of {self.method} with {self.labelled} labelled and seed {self.seed}"

    def _fact(self, *path: str) -> Any:
        """A fact that the evaluation keeps about the run that made its masks."""
        found: Any = self.evaluation.prediction
        for key in path:
            if not isinstance(found, dict) or key not in found:
                raise UserError(
                    f"{self._said} does not say {'.'.join(path)} of its run: remove that cell's folder of "
                    "predictions, and run it again."
                )
            found = found[key]
        return found


class OverSeeds(NamedTuple):
    """Mean and standard deviation (ddof 1) over seeds; NaN for the mean of none and the deviation of fewer than two."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Row:
    """A row of the table: cells that differ only in their seed."""

    labelled: str
    method: str
    grid: GridPoint
    results: tuple[Result, ...]  # by seed
    unit: str  # of the distances: "mm" or "voxels"
    validation: OverSeeds  # validation Dice
    dice: OverSeeds
    jaccard: OverSeeds
    threshold_jaccard: OverSeeds  # NaN where the dataset states no threshold
    hd95: OverSeeds
    asd: OverSeeds
    undefined: int  # test cases, summed over seeds, with a class whose distances are undefined

    @property
    def name(self) -> str:
        """The method with its point of the grid."""
        return ", ".join((self.method, *(f"{key}={value}" for key, value in self.grid)))

    @property
    def dataset(self) -> str:
        """The name of the data set; all names if seeds had several."""
        return ", ".join(sorted({result.dataset for result in self.results}))

    @property
    def parameters(self) -> int | None:
        """Trained parameters of a run; None if no run records them."""
        return _largest(result.parameters for result in self.results)

    @property
    def seconds(self) -> float:
        """Training time of a run, mean over seeds."""
        return over_seeds([result.seconds for result in self.results]).mean

    @property
    def peak_memory_bytes(self) -> int | None:
        """The largest peak over the seeds that record it."""
        return _largest(result.peak_memory_bytes for result in self.results)


def aggregate(results: Sequence[Result]) -> list[Row]:
    """Cells to rows, sorted by number of labels (``all`` last), then by Dice, the highest first.

    Distances are in millimetres if every case of every result has them, else all are in voxels.

    Raises:
        UserError: an evaluation that does not say which run made its masks.
    """
    every = (row.scores for result in results for row in result.evaluation.rows)
    unit = "mm" if all("hd95_mm" in scores for scores in every) else "voxels"
    groups: dict[tuple[str, str, GridPoint], list[Result]] = {}
    for result in results:
        groups.setdefault((result.labelled, result.method, result.grid), []).append(result)
    rows = [_row(*key, tuple(sorted(group, key=lambda r: r.seed)), unit) for key, group in groups.items()]
    return sorted(rows, key=lambda row: (label_order(row.labelled), -row.dice.mean, row.method, row.grid))


def patient_dice(results: Sequence[Result]) -> dict[Unit, float]:
    """Patient of a data set -> Dice: mean over the patient's cases, then over the seeds trained on that data set."""
    seeds: dict[Unit, list[float]] = {}
    for result in results:
        cases: dict[str, list[float]] = {}
        for case, dice in result.evaluation.case_means("dice").items():
            cases.setdefault(result.patients[case], []).append(dice)
        for patient, values in cases.items():
            seeds.setdefault((result.fingerprint, patient), []).append(float(np.mean(values)))
    return {unit: float(np.mean(values)) for unit, values in seeds.items()}


def label_order(labelled: str) -> tuple[int, int, str]:
    """Sorts numbers of labels: numbers by size, then other names, ``all`` at the end."""
    if labelled.isdecimal():
        return 0, int(labelled), ""
    return (2 if labelled == "all" else 1), 0, labelled


def over_seeds(values: Sequence[float]) -> OverSeeds:
    """Mean and standard deviation (ddof 1) of the values that are not NaN."""
    known = [value for value in values if not math.isnan(value)]
    mean = float(np.mean(known)) if known else math.nan
    return OverSeeds(mean, float(np.std(known, ddof=1)) if len(known) > 1 else math.nan)


def _row(labelled: str, method: str, grid: GridPoint, results: tuple[Result, ...], unit: str) -> Row:
    found = [result.evaluation.statistics() for result in results]

    def metric_over_seeds(metric: str) -> OverSeeds:
        return over_seeds([statistics[metric].mean for statistics in found])

    return Row(
        labelled=labelled,
        method=method,
        grid=grid,
        results=results,
        unit=unit,
        validation=over_seeds([dice for dice in (result.validation_dice for result in results) if dice is not None]),
        dice=metric_over_seeds("dice"),
        jaccard=metric_over_seeds("jaccard"),
        threshold_jaccard=over_seeds([each[THRESHOLDED].mean for each in found if THRESHOLDED in each]),
        hd95=metric_over_seeds(f"hd95_{unit}"),
        asd=metric_over_seeds(f"asd_{unit}"),
        undefined=sum(statistics[f"hd95_{unit}"].undefined for statistics in found),
    )


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
