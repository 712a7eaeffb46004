"""The cases whose Dice a run can know: predicted once, and kept in the run as what estimates are fitted on.

These are its validation cases. Without any they are its labelled ones, on which the network was trained: then the
network is surer of itself there than anywhere else, and intervals are made wider.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch import formats
from crossmatch.atomic import read_json, write_json
from crossmatch.dataset.dataset import Case, Dataset, open_dataset
from crossmatch.dataset.orientation import put_onto, turn_into
from crossmatch.errors import UserError
from crossmatch.inference.agreement import FeatureViews
from crossmatch.inference.estimates import Reliability
from crossmatch.inference.predictor import Predictor
from crossmatch.inference.reliability import Voxels, reliability, voxels_around
from crossmatch.inference.shape import MaskShape, mask_shapes
from crossmatch.runs.run import Run
from crossmatch.scoring.metrics import counted, dice_per_class

FOLDER = "calibration"  # in the run's
MOST = 40  # cases; more are left out evenly

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class KnownCases(TypedDict):
    """What is kept. N cases, L classes without background."""

    weights_sha256: str
    views: list[str]
    method: Literal["validation", "labelled"]
    cases: list[str]  # N names
    agreement: list[list[_Share | None]]  # (N, L); null: neither mask nor decoding has the class
    border_entropy: list[list[_Share | None]]  # (N, L); null: no border
    dice: list[list[_Share | None]]  # (N, L); null: neither mask nor reference has it
    shapes: list[list[MaskShape]]  # (M, L) of all labelled and validation references
    reliability: Reliability | None


def known_cases(
    run: Run, predictor: Predictor, weights_sha256: str, progress: Callable[[int, int], None]
) -> KnownCases | str:
    """Read what the run keeps, or predict its cases and keep it.

    Args:
        predictor: of the run, with `views`.
        weights_sha256: of its network.
        progress: called with cases done and in all, where they are predicted.

    Returns:
        The cases; or one sentence why there are none.
    """
    path = _place(run, predictor, weights_sha256)
    if path.is_file():
        return _read(path)
    try:
        dataset = open_dataset(Path(run.data["root"]), ("train", "val"))
    except UserError:
        return f"The data of the training are not in {run.data['root']} any more, so nothing could be fitted."
    by_name = {case.id: case for case in dataset.cases if case.label is not None}
    validation = [by_name[name] for name in run.data["validation"] if name in by_name]
    labelled = [by_name[name] for name in run.data["labelled"] if name in by_name]
    chosen = validation or labelled
    if not chosen or list(dataset.labels) != list(run.data["labels"]):
        return "The data of the training have other cases or labels now, so nothing could be fitted."
    found = _predict(run, predictor, dataset, chosen, labelled + validation, progress)
    found["weights_sha256"] = weights_sha256
    found["method"] = "validation" if validation else "labelled"
    with contextlib.suppress(UserError):  # a run that may only be read; the next call fits again
        write_json(path, found)
    return found


def kept_cases(run: Run, predictor: Predictor, weights_sha256: str) -> KnownCases | None:
    """What the run keeps of its cases; None where they were not predicted yet. Arguments as of `known_cases`."""
    path = _place(run, predictor, weights_sha256)
    return _read(path) if path.is_file() else None


def _place(run: Run, predictor: Predictor, weights_sha256: str) -> Path:
    """The file of what these weights and settings give."""
    assert predictor.views is not None
    settings = [
        weights_sha256,
        predictor.views.names,
        predictor.flips,
        predictor.bf16,
        predictor.recipe.predict.model_dump(mode="json"),
    ]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
    return run.folder / FOLDER / f"{key}.json"


def _read(path: Path) -> KnownCases:
    return read_json(path, KnownCases, "remove it, and it is made again")


def _predict(
    run: Run,
    predictor: Predictor,
    dataset: Dataset,
    cases: list[Case],
    references: list[Case],
    progress: Callable[[int, int], None],
) -> KnownCases:
    """Agreement, Dice and probabilities of cases, and the shapes of all references."""
    views = predictor.views
    assert isinstance(views, FeatureViews)
    cases = cases if len(cases) <= MOST else [cases[k * len(cases) // MOST] for k in range(MOST)]
    predictor = replace(predictor, probabilities=True)
    rows: list[tuple[list[float | None], ...]] = []
    sampled: list[Voxels] = []
    for done, case in enumerate(cases):
        progress(done, len(cases))
        volumes = formats.read_channels(case.images)
        assert case.label is not None
        drawn = formats.read_label(case.label, volumes[0], dataset.drawn)
        reference = put_onto(volumes[0], drawn, case.label, "its image").voxels
        views.start()
        labels, maps = predictor(volumes, case.images[0])
        assert maps is not None
        mask, truth = counted(labels, reference, dataset.ignore)
        dice = dice_per_class(mask, truth, run.classes)
        there = [bool((mask == k).any() or (truth == k).any()) for k in range(1, run.classes)]
        sums = views.sums()
        rows.append(
            (
                _listed(sums.agreement[1:]),
                _listed(sums.border_entropy[1:].clip(max=1)),
                [float(value) if known else None for value, known in zip(dice, there, strict=True)],
            )
        )
        sampled.append(voxels_around(maps[: run.classes], truth))
    shapes = []
    for case in references:
        assert case.label is not None
        grid = formats.read_channels(case.images)[0]
        drawn = put_onto(grid, formats.read_label(case.label, grid, dataset.drawn), case.label, "its image")
        axis = turn_into(run.frame, grid).axes[run.data["slice_axis"]]
        stack = run.recipe.dims == 2 and len(grid.shape) == 3
        shapes.append(mask_shapes(drawn.voxels, run.classes, grid.spacing_mm, axis if stack else None))
    progress(len(cases), len(cases))
    return KnownCases(
        weights_sha256="",
        views=views.names,
        method="validation",
        cases=[case.id for case in cases],
        agreement=[row[0] for row in rows],
        border_entropy=[row[1] for row in rows],
        dice=[row[2] for row in rows],
        shapes=shapes,
        reliability=reliability(sampled),
    )


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    """For JSON: NaN as null."""
    return [None if np.isnan(value) else float(value) for value in values]
