"""The cases on which estimates are fitted, because their true Dice is known: predicted once, and kept in the run.

These are the run's validation cases. Without any they are its labelled cases, on which the network was trained: there
it is surer of itself than anywhere else, so intervals are made wider. Of several runs they are the
validation cases that none of them learned from with labels, and they are kept in the first run.

What is kept is valid for these weights, settings and files. With another checkpoint or list of cases, or if an image or
label was changed since, they are predicted again. A file that `check` would refuse by now is refused here too.
"""

import contextlib
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # as pydantic asks for before Python 3.12
)

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from crossmatch import formats
from crossmatch.atomic import parse_json, read_json, write_json
from crossmatch.dataset.dataset import Case, Dataset, open_dataset
from crossmatch.dataset.orientation import read_label
from crossmatch.dataset.voxels import count_labels
from crossmatch.errors import UserError
from crossmatch.formats import Volume
from crossmatch.inference.estimates import Reliability
from crossmatch.inference.fitted_files import digest_of_files, state_of
from crossmatch.inference.inputs import usable_scans
from crossmatch.inference.predictor import Predictor
from crossmatch.inference.reliability import Voxels, reliability, voxels_around
from crossmatch.inference.scan_files import read_image
from crossmatch.inference.shape import MaskShape, shapes_in
from crossmatch.runs.record import ever_labelled
from crossmatch.runs.run import CALIBRATIONS, Run
from crossmatch.scoring.metrics import counted, dice_per_class

FORM = 3  # of what is kept
MOST = 40  # cases; more are left out evenly

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class KnownCases(TypedDict):
    """What is kept. N cases, L classes without background."""

    weights_sha256: str
    files: str  # digest of the names, sizes and times of the cases' files
    views: list[str]
    method: Literal["validation", "labelled"]
    cases: list[str]  # N names
    agreement: list[list[_Share | None]]  # (N, L); null: neither mask nor decoding has the class
    soft_dice: list[list[_Share | None]]  # (N, L); null: the mask does not have it
    border_entropy: list[list[_Share | None]]  # (N, L); null: no border
    masks: list[list[MaskShape]]  # (N, L)
    dice: list[list[_Share | None]]  # (N, L); null: neither mask nor reference has it
    references: dict[str, list[MaskShape]]  # L each, of all labelled and validation cases
    reliability: Reliability | None
    reference_files: NotRequired[str]  # as `files`, of all whose shapes are in `references`; earlier versions knew none
    content: NotRequired[str]  # digest of the content of the same files, which copies share
    again: NotRequired[bool]  # an earlier fit for these weights and settings found others in changed files


def known_cases(
    runs: Sequence[Run], predictor: Predictor, weights_sha256: str, progress: Callable[[int, int], None]
) -> KnownCases | str:
    """Read what the first run keeps, or predict the cases and keep them.

    Args:
        runs: whose networks predict together.
        predictor: of the runs, with `views`.
        weights_sha256: of their networks.
        progress: called with cases done and in all, where they are predicted.

    Returns:
        The cases; or one sentence why there are none.

    Raises:
        UserError: a file of a case was changed since the training, and cannot be used any more.
    """
    run = runs[0]
    path, kept = _place(run, predictor, weights_sha256), kept_cases(run, predictor, weights_sha256)
    if any(one.is_packed for one in runs):
        fitted = "`crossmatch predict RUN SCANS MASKS --quality` fits it in the run; pack that then"
        return kept or f"A packed model has no data, and none was fitted for these weights and settings: {fitted}."
    if any(Path(one.data["root"]).resolve() != Path(run.data["root"]).resolve() for one in runs):
        return "The runs were trained on data of different folders, so nothing could be fitted."
    try:
        dataset = open_dataset(Path(run.data["root"]), ("train", "val"))
    except UserError:
        return kept or f"The data of the training are not in {run.data['root']} any more, so nothing could be fitted."
    by_name = {case.id: case for case in dataset.cases if case.label is not None}
    learned = dict.fromkeys(name for one in runs for name in one.data["labelled"])
    known = {name for one in runs for name in ever_labelled(one.data)}
    held_out = dict.fromkeys(name for one in runs for name in one.data["validation"] if name not in known)
    validation, labelled = ([by_name[name] for name in names if name in by_name] for names in (held_out, learned))
    chosen = validation or labelled
    names = (list(run.data["labels"]), list(run.data["channels"]))
    if not chosen or (list(dataset.labels), list(dataset.channels)) != names:
        return kept or "The data of the training have other cases, labels or channels now, so nothing could be fitted."
    files, reference_files = state_of(chosen), state_of(labelled + validation)
    if kept is not None and (kept["files"], kept.get("reference_files")) == (files, reference_files):
        return kept
    content = digest_of_files(labelled + validation)
    if kept is not None and (kept["method"], kept.get("content")) == (_method(validation), content):  # copied files
        kept["files"], kept["reference_files"] = files, reference_files
        _keep(path, kept)
        return kept
    try:
        usable_scans({case.id: case.images for case in labelled + validation}, run, predictor.recipe, lambda told: None)
        found = _predict(run, predictor, dataset, chosen, labelled + validation, progress)
    except UserError as error:
        raise UserError(f"Quality is estimated from cases of {dataset.root}, which were changed: {error}") from error
    found["weights_sha256"], found["files"], found["reference_files"] = weights_sha256, files, reference_files
    found["content"], found["method"] = content, _method(validation)
    fits = [(one["dice"], one["references"]) for one in (found, kept) if one is not None]
    found["again"] = fits[0] != fits[-1]
    _keep(path, found)
    return found


def _method(validation: Sequence[Case]) -> Literal["validation", "labelled"]:
    return "validation" if validation else "labelled"


def _keep(path: Path, found: KnownCases) -> None:
    with contextlib.suppress(UserError):  # a run that may only be read; the next call finds it again
        write_json(path, found)


def kept_cases(run: Run, predictor: Predictor, weights_sha256: str) -> KnownCases | None:
    """What the run keeps of its cases; None where they were not predicted yet. Arguments as of `known_cases`."""
    path = _place(run, predictor, weights_sha256)
    origin, way_out = str(path), "remove it, and it is made again"
    if run.is_packed:
        packed = run.record["packed"].get("calibrations", {}).get(path.stem)
        origin, way_out = f"The calibration in {run.folder}", "pack the run again"
        found = None if packed is None else parse_json(json.dumps(packed), KnownCases, origin, way_out)
    else:
        found = read_json(path, KnownCases, way_out) if path.is_file() else None
    if found is not None:
        _check(found, origin, way_out, run.classes - 1)
    return found


def _place(run: Run, predictor: Predictor, weights_sha256: str) -> Path:
    """The file of what these weights and settings give."""
    assert predictor.views is not None
    settings = [
        FORM,
        weights_sha256,
        predictor.views.names,
        predictor.flips,
        predictor.bf16,
        predictor.recipe.predict.model_dump(mode="json"),
    ]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
    return run.folder / CALIBRATIONS / f"{key}.json"


def _check(found: KnownCases, origin: str, way_out: str, classes: int) -> None:
    """A UserError where what is kept is damaged."""
    of_cases = (found["agreement"], found["soft_dice"], found["border_entropy"], found["masks"], found["dice"])
    rows: list[list[Any]] = [row for table in of_cases for row in table] + list(found["references"].values())
    if any(len(table) != len(found["cases"]) for table in of_cases) or any(len(row) != classes for row in rows):
        raise UserError(f"{origin} is damaged (not {classes} values for each case): {way_out}.")


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
    assert views is not None
    cases = cases if len(cases) <= MOST else [cases[k * len(cases) // MOST] for k in range(MOST)]
    predictor = replace(predictor, probabilities=True)
    found: dict[str, list[Any]] = defaultdict(list)
    sampled: list[Voxels] = []
    for done, case in enumerate(cases):
        progress(done, len(cases))
        volumes = read_image(case.images)
        reference = _reference(case, volumes[0], dataset)
        views.start()
        labels, maps = predictor(volumes, case.images[0])
        assert maps is not None
        mask, truth = counted(labels, reference.voxels, dataset.ignore)
        dice = dice_per_class(mask, truth, run.classes)
        there = [bool((mask == k).any() or (truth == k).any()) for k in range(1, run.classes)]
        sums = views.sums()
        found["agreement"].append(_listed(sums.agreement[1:]))
        found["soft_dice"].append(_listed(sums.soft_dice[1:].clip(max=1)))
        found["border_entropy"].append(_listed(sums.border_entropy[1:].clip(max=1)))
        found["dice"].append([float(value) if known else None for value, known in zip(dice, there, strict=True)])
        found["masks"].append(shapes_in(run, labels, volumes[0]))
        sampled.append(voxels_around(maps[: run.classes], reference.voxels, dataset.ignore))
    shapes = {}
    for case in references:
        grid = formats.read_channels(case.images)[0]
        shapes[case.id] = shapes_in(run, _reference(case, grid, dataset).voxels, grid)
    progress(len(cases), len(cases))
    return KnownCases(
        weights_sha256="",
        files="",
        views=views.names,
        method="validation",
        cases=[case.id for case in cases],
        agreement=found["agreement"],
        soft_dice=found["soft_dice"],
        border_entropy=found["border_entropy"],
        dice=found["dice"],
        masks=found["masks"],
        references=shapes,
        reliability=reliability(sampled),
    )


def _reference(case: Case, grid: Volume, dataset: Dataset) -> Volume:
    """The label of a case on its image's grid; a UserError where it holds other values than the dataset declares."""
    assert case.label is not None
    found = read_label(case.label, grid, dataset.drawn)
    problems: list[str] = []
    if count_labels(case.label, found.voxels, dataset.drawn, problems) is None:
        raise UserError(f"{problems[0]}.")
    return found


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    """For JSON: NaN as null."""
    return [None if np.isnan(value) else float(value) for value in values]
