"""The result of an evaluation: a row for each case and class, statistics over cases, table, JSON and CSV.

Distances are in voxels, and in millimetres where the reference's spacing is known. Conventions: docs/metrics.md.
"""

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from crossmatch.atomic import read_json
from crossmatch.errors import UserError, listed, no_formula, visible
from crossmatch.scoring.statistic import Statistic, plain, statistic_of
from crossmatch.scoring.stored import CONVENTIONS, FORMAT, FolderPlaces, Prediction, StoredEvaluation, StoredScores

DISTANCES = ("hd95", "asd", "assd")
THRESHOLDED = "threshold_jaccard"  # only where the dataset states a threshold
SHARES = ("dice", "jaccard", THRESHOLDED)  # between 0 and 1, shown in percent
METRICS = (*SHARES, *(f"{name}_{unit}" for unit in ("voxels", "mm") for name in DISTANCES))
MILLIMETRES = "hd95_mm"  # a case has it, and the other distances in mm, where its voxel size is known


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class of one case."""

    case: str
    name: str  # of the class
    value: int  # of the class in the label volumes
    scores: dict[str, float]  # by METRICS; NaN: undefined; absent: in mm without a spacing, without a threshold
    empty: bool = False  # neither mask shows the class, which counts as agreement


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found; `load_evaluation` reads it back from summary.json."""

    rows: tuple[ClassScores, ...]
    labels: dict[str, int]  # class -> value, without background
    predictions: str  # the folder's name only, so that results can be shared
    references: str
    dataset: str | None  # name in the references' dataset.json
    missing: tuple[str, ...]  # references without a prediction, left out
    extra: tuple[str, ...]  # predictions without a reference, left out
    prediction: Prediction | None  # prediction.json of the predictions: which run and checkpoint made them
    largest_component: bool = False  # of each predicted class, only this one was scored
    jaccard_threshold: float | None = None  # of the dataset, below which `THRESHOLDED` is 0
    masks_sha256: Mapping[str, str] = field(default_factory=dict)  # case -> digest of its mask; empty: not known
    references_sha256: Mapping[str, str] = field(default_factory=dict)  # the same of its reference
    edited: tuple[str, ...] = ()  # cases whose masks are not as predict wrote them
    contents: Mapping[str, str] = field(default_factory=dict)  # case -> `content_of` its image, where that is known
    places: FolderPlaces | None = field(default=None, compare=False)  # of both folders, where results were written

    @property
    def of_what(self) -> str:
        """Words that a heading adds where other voxels were scored than those predicted."""
        largest = ", of each predicted class the largest component" * self.largest_component
        return largest + ", of masks changed after predict wrote them" * bool(self.edited)

    @property
    def otherwise(self) -> str:
        """Words that a heading adds where scores are not those of the masks that a run makes by itself."""
        return self.of_what + ", of masks averaged over mirror images" * bool((self.prediction or {}).get("flips"))

    def case_means(self, metric: str = "dice") -> dict[str, float]:
        """Case -> mean of one of METRICS over the case's defined classes; NaN if none is, no entry if unknown."""
        scores: dict[str, list[float]] = {}
        for row in self.rows:
            if metric in row.scores:
                scores.setdefault(row.case, []).append(row.scores[metric])
        return {case: statistic_of(found).mean for case, found in scores.items()}

    def statistics(self, name: str | None = None) -> dict[str, Statistic]:
        """Metric -> statistic over cases: of one class, or of the cases' means over classes (None).

        A metric that some cases lack, as those of unknown voxel size lack millimetres, is left out.
        """
        found: dict[str, Statistic] = {}
        for metric in METRICS:
            if not self.rows or any(metric not in row.scores for row in self.rows):
                continue
            rows = [row for row in self.rows if name in (None, row.name)]
            if name is None:
                undefined = {row.case for row in rows if math.isnan(row.scores[metric])}
                found[metric] = statistic_of(self.case_means(metric).values())._replace(undefined=len(undefined))
            else:
                found[metric] = statistic_of(row.scores[metric] for row in rows)
        return found

    def notes(self) -> list[str]:
        """Lines for missing, additional and edited predictions, means in mm that cannot be, and absent classes."""
        kinds = {"without a reference, not evaluated": self.extra, "missing, their references left out": self.missing}
        found = [f"Predictions {what} ({len(names)}): {listed(names)}" for what, names in kinds.items() if names]
        blind = list(dict.fromkeys(row.case for row in self.rows if MILLIMETRES not in row.scores))
        if any(MILLIMETRES in row.scores for row in self.rows) and blind:
            found.append(f"Of unknown voxel size, so there are no means in mm ({len(blind)}): {listed(blind)}")
        if self.edited:
            way_out = "To score the network, remove these masks, predict and evaluate again"
            found.append(f"Masks not as predict wrote them ({len(self.edited)}): {listed(self.edited)}. {way_out}")
        if absent := self.absent():
            counts = listed(f"{name} in {count} of {len(self.case_means())} cases" for name, count in absent.items())
            found.append(f"Neither mask nor reference shows a class, which counts as Dice 1: {counts}")
        return found

    def absent(self) -> dict[str, int]:
        """Class -> in how many cases neither mask shows it; without those of none, and of files that do not say."""
        return dict(Counter(row.name for row in self.rows if row.empty))

    def table(self) -> Table:
        """Mean and standard deviation over cases per class; overlap in percent, undefined (NaN) cases counted."""
        cases = len({row.case for row in self.rows})
        table = Table(
            title=Text(visible(f"{self.predictions} against {self.references}: {cases} cases{self.of_what}")),
            caption="mean over cases, ± standard deviation; NaN: cases without distances: one mask has no surface",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        known = self.statistics()
        table.add_column("Class", overflow="fold")
        for metric in known:
            name, _, unit = metric.partition("_")
            header = f"{metric.title().replace('_', ' ')}\n%" if metric in SHARES else f"{name.upper()}\n{unit}"
            table.add_column(header, justify="right", no_wrap=True)
        table.add_column("NaN", justify="right", no_wrap=True)
        for label in (*self.labels, None) if len(self.labels) > 1 else self.labels:
            found = self.statistics(label)
            cells = [_cell(found[metric], 100 if metric in SHARES else 1) for metric in known]
            if label is None:
                table.add_section()
            table.add_row(Text(visible(label or "mean")), *cells, str(found["hd95_voxels"].undefined))
        return table

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values: undefined numbers are null."""
        return {
            "format": FORMAT,
            "predictions": self.predictions,
            "references": self.references,
            "dataset": self.dataset,
            "jaccard_threshold": self.jaccard_threshold,
            "labels": self.labels,
            "largest_component": self.largest_component,
            "missing": list(self.missing),
            "extra": list(self.extra),
            "summary": {
                "classes": {name: plain(self.statistics(name)) for name in self.labels},
                "mean": plain(self.statistics()),
            },
            "cases": [
                {"case": row.case, "class": row.name, "value": row.value, **plain(row.scores), "empty": row.empty}
                for row in self.rows
            ],
            "conventions": CONVENTIONS,
            "versions": {package: version(package) for package in ("crossmatch", "numpy", "scipy")},
            "prediction": self.prediction,
            "masks_sha256": dict(self.masks_sha256),
            "references_sha256": dict(self.references_sha256),
            "edited": list(self.edited),
            "contents": dict(self.contents),
            "places": self.places,
        }

    def to_csv(self) -> str:
        """A line per case and class, columns as METRICS: undefined numbers are nan, unknown millimetres empty.

        Without a threshold its column is left out.
        """
        columns = [metric for metric in METRICS if metric != THRESHOLDED or self.jaccard_threshold is not None]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("case", "class", "value", *columns))
        for row in self.rows:
            names = no_formula(row.case), no_formula(row.name)
            writer.writerow((*names, row.value, *(row.scores.get(metric, "") for metric in columns)))
        return text.getvalue()


def load_evaluation(path: str | os.PathLike[str]) -> Evaluation:
    """Read an evaluation back from its summary.json, or from the folder that holds one.

    Raises:
        UserError: no such file, or one that `crossmatch evaluate` did not write.
    """
    path = Path(path)
    path = path / "summary.json" if path.is_dir() else path
    if not path.exists():
        raise UserError(f"{path} does not exist: make it with `crossmatch evaluate PRED REF --out DIR`.")
    return evaluation_of(read_json(path, StoredEvaluation, "run `crossmatch evaluate` again"))


def evaluation_of(stored: StoredEvaluation) -> Evaluation:
    """An evaluation from what is stored of it."""
    return Evaluation(
        rows=tuple(ClassScores(row.case, row.name, row.value, _known(row), row.empty) for row in stored.cases),
        labels=stored.labels,
        predictions=stored.predictions,
        references=stored.references,
        dataset=stored.dataset,
        missing=stored.missing,
        extra=stored.extra,
        prediction=stored.prediction,
        largest_component=stored.largest_component,
        jaccard_threshold=stored.jaccard_threshold,
        masks_sha256=stored.masks_sha256,
        references_sha256=stored.references_sha256,
        edited=stored.edited,
        contents=stored.contents,
        places=stored.places,
    )


def _known(row: StoredScores) -> dict[str, float]:
    """Metric -> value, NaN where undefined."""
    found = {metric: getattr(row, metric) for metric in METRICS if metric in row.model_fields_set}
    return {metric: math.nan if value is None else value for metric, value in found.items()}


def _cell(statistic: Statistic, scale: float = 1) -> str:
    if math.isnan(statistic.mean):
        return "NaN"
    mean = f"{statistic.mean * scale:.2f}"
    return mean if math.isnan(statistic.std) else f"{mean}\n±{statistic.std * scale:.2f}"
