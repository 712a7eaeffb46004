"""Evaluate predictions against references: pair the files, check them, score every case and class, keep the result.

Label volumes are (*S) in the files' axis order. Rules and conventions: docs/metrics.md.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.atomic import check_writable, write_json, write_text
from crossmatch.dataset.layout import IGNORE, read_description
from crossmatch.dataset.orientation import difference, grid_beside, put_onto, read_beside, turn_onto
from crossmatch.errors import UserError, listed
from crossmatch.formats import Array, Grid, Volume
from crossmatch.scoring.classes import scored_classes
from crossmatch.scoring.largest import largest_components_of
from crossmatch.scoring.mask_files import edited, origin_of
from crossmatch.scoring.metrics import counted, dice, jaccard, surface_distances, threshold_jaccard
from crossmatch.scoring.recorded_files import rewritten_scans
from crossmatch.scoring.results_folder import name_of, refuse_others
from crossmatch.scoring.scored_files import SCANS_WRITTEN, contents_beside, digest_of, places_of
from crossmatch.scoring.scores import DISTANCES, THRESHOLDED, ClassScores, Evaluation, load_evaluation
from crossmatch.scoring.stored import Prediction

__all__ = ["Evaluation", "evaluate", "load_evaluation"]

WORKERS = min(4, os.cpu_count() or 1)  # cases in memory at a time; SciPy's searches run in parallel


def evaluate(
    pred: str | os.PathLike[str],
    ref: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    labels: Mapping[str, int] | None = None,
    partial: bool = False,
    largest_component: bool = False,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> Evaluation:
    """Compare predicted label volumes with their references.

    Args:
        pred: a folder with one file a case, named after it, or one file. Any format is taken.
        ref: a folder with files of the same names, or one file.
        out: folder for cases.csv and summary.json; nothing is written without it. Those of an earlier evaluation of
            the same folders are replaced.
        labels: class -> value. Default: the dataset.json beside the reference folder, else the references' values.
            Voxels whose reference has the value of ``ignore`` are left out of every score.
        partial: evaluate the cases that have a prediction when some have none.
        largest_component: score of each predicted class only its largest component, see `largest.py`.
        progress: called with (cases done, cases in all) after each case.
        warn: called with what the user should know about the files.

    Raises:
        UserError: nothing to compare, missing predictions without `partial`, a prediction on another grid than its
            reference, label values outside `labels`, `labels` that do not number classes, files that cannot be read,
            other results in `out`. An error in the voxels of a file is raised when its turn comes, all others before.
    """
    pred, ref, out = Path(pred), Path(ref), None if out is None else Path(out)
    prediction, written = origin_of(pred)
    if out is not None:
        refuse_others(out, pred, ref, prediction, largest_component)
        check_writable(out)
    pairs, missing, extra = _pairs(pred, ref)
    if missing and (not partial or not pairs):
        way_out = "predict them" + (", or evaluate the others with --partial" if pairs else "")
        raise UserError(f"{pred} has no prediction for {len(missing)} cases of {ref}: {listed(missing)}; {way_out}.")
    grids = {case: _grid_of_both(predicted, reference) for case, (predicted, reference) in pairs.items()}
    for files in zip(*pairs.values(), strict=True):
        if mixed := formats.mixed_palettes(files):
            raise UserError(f"{mixed[0]}.")
    for doubt in formats.doubts((case, grid.doubt) for case, grid in grids.items()):
        warn(doubt)
    if scans := rewritten_scans({case: predicted for case, (predicted, _) in pairs.items()}):
        warn(f"{SCANS_WRITTEN} ({len(scans)}): {listed(scans)}. To score masks of these scans, predict again")
    digests, of_references = (
        {case: digest_of(both[k]) for case, both in pairs.items()} for k in (0, 1)
    )  # not read yet
    folder = (ref if ref.is_dir() else ref.parent).resolve()
    dataset = threshold = None
    if (folder.parent / "dataset.json").is_file():
        description = read_description(folder.parent)
        dataset, labels = description.name, description.drawn if labels is None else labels
        threshold = description.jaccard_threshold
    if labels is None:
        labels = {f"label {value}": value for value in _values(reference for _, reference in pairs.values())}
    classes = scored_classes(labels)
    _refuse_other_values(classes, prediction, pred)
    if not classes:
        raise UserError(f"{ref} has no label but background: name the classes in dataset.json beside the folder.")

    rows: list[ClassScores] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        ignore = labels.get(IGNORE)
        cases = pool.map(lambda case: _rows(case, *pairs[case], classes, ignore, threshold, largest_component), pairs)
        for done, found in enumerate(cases, start=1):
            rows += found
            if progress is not None:
                progress(done, len(pairs))
    evaluation = Evaluation(
        rows=tuple(rows),
        labels=classes,
        predictions=name_of(pred),
        references=name_of(ref),
        dataset=dataset,
        missing=tuple(missing),
        extra=tuple(extra),
        prediction=prediction,
        largest_component=largest_component,
        jaccard_threshold=threshold,
        masks_sha256=digests,
        references_sha256=of_references,
        edited=edited({case: predicted for case, (predicted, _) in pairs.items()}, digests, written),
        contents=contents_beside(ref, pairs),
        places=None if out is None else places_of(out, pred, ref),
    )
    if out is not None:
        write_json(out / "summary.json", evaluation.to_json())
        write_text(out / "cases.csv", evaluation.to_csv())
    return evaluation


def _refuse_other_values(classes: Mapping[str, int], prediction: Prediction | None, pred: Path) -> None:
    """A UserError where a class has another value in the masks than in the references: scores would be another's."""
    own = None if prediction is None else prediction.get("data", {}).get("labels")
    wrong = [name for name, value in classes.items() if isinstance(own, dict) and own.get(name, value) != value]
    if wrong:
        told = f"{listed(wrong)} in the masks of {pred} have other values than in the references"
        raise UserError(f"{told}: number the classes in both dataset.json alike.")


def _pairs(pred: Path, ref: Path) -> tuple[dict[str, tuple[Path, Path]], list[str], list[str]]:
    """Case -> (prediction, reference), then the names of missing and of extra predictions; all sorted."""
    for path in (pred, ref):
        if not path.exists():
            raise UserError(f"{path} does not exist: name a folder with one file a case, or one file.")
    if pred.is_dir() != ref.is_dir():
        raise UserError(f"{pred} and {ref} are a file and a folder: name two folders, or two files.")
    if not ref.is_dir():
        return {formats.stem(ref) or ref.name: (pred, ref)}, [], []
    predictions, references = _files(pred), _files(ref)
    pairs = {name: (predictions[name], references[name]) for name in sorted(references) if name in predictions}
    return pairs, sorted(set(references) - set(predictions)), sorted(set(predictions) - set(references))


def _files(folder: Path) -> dict[str, Path]:
    """The scans of a folder by case; an error if there is none, or two of one case."""
    files: dict[str, Path] = {}
    for case, path in formats.files_in(folder):
        other = files.setdefault(case, path)
        if other is not path:
            raise UserError(f"{folder} has {other.name} and {path.name} for one case: remove the one you don't mean.")
    if not files:
        kinds = " or ".join(formats.endings())
        raise UserError(f"{folder} has no file that ends in {kinds}: name the folder that holds one file a case.")
    return files


def _grid_of_both(predicted: Path, reference: Path) -> Grid:
    """The one voxel grid that both files lie on, as the reference gives it; no voxel is read."""
    formats.refuse_other_turn(predicted, reference)
    theirs = grid_beside(reference, formats.read_grid(predicted))
    ours = grid_beside(predicted, theirs)
    if turn_onto(theirs, ours) is None:
        raise UserError(f"{predicted} lies on another grid than {reference}: {difference(theirs, ours)}.")
    return theirs


def _read_labels(path: Path, other: Grid | Volume | None, classes: Mapping[str, int]) -> tuple[Volume, Array]:
    """A label volume and its voxels as integers (*S).

    Args:
        other: the file that it is compared with. A volume's axes are those of the result; a grid's are not.
    """
    volume = formats.read_label(path, None, classes) if other is None else read_beside(path, other, classes)
    if isinstance(other, Volume):
        volume = put_onto(other, volume, path, "its reference")
    voxels = volume.voxels
    if voxels.dtype.kind == "f":
        if not np.isfinite(voxels).all() or not (voxels == np.round(voxels)).all():
            raise UserError(f"{path} holds fractions or NaN: labels are whole numbers, threshold or export it again.")
        voxels = voxels.astype(np.int64)
    return volume, voxels


def _values(paths: Iterable[Path]) -> list[int]:
    """The values in label volumes, without background."""
    return sorted({int(value) for path in paths for value in np.unique(_read_labels(path, None, {})[1])} - {0})


def _rows(
    case: str,
    predicted: Path,
    reference: Path,
    classes: Mapping[str, int],
    ignore: int | None,
    threshold: float | None,
    largest: bool,
) -> list[ClassScores]:
    """The rows of one case; voxels whose reference is `ignore` are left out. `threshold`: the dataset's for Jaccard."""
    named = classes if ignore is None else {**classes, IGNORE: ignore}
    theirs, drawn = _read_labels(reference, formats.read_grid(predicted), named)
    found = _read_labels(predicted, theirs, classes)[1]
    if largest:
        found = largest_components_of(found, classes.values())
    ignored = None if ignore is None else drawn == ignore
    found, drawn = counted(found, drawn, ignore)
    for path, voxels in ((predicted, found), (reference, drawn)):
        unknown = sorted({int(value) for value in np.unique(voxels)} - {0, *classes.values()})
        if unknown:
            known = ", ".join(f"{value} {name}" for name, value in classes.items())
            raise UserError(
                f"{path} holds the label values {unknown}, known are 0 background, {known}: name all classes."
            )
    spacings = {"voxels": None, "mm": theirs.spacing_mm}
    rows = []
    for name, value in classes.items():
        pred, ref = found == value, drawn == value
        scores = {"dice": dice(pred, ref), "jaccard": jaccard(pred, ref)}
        if threshold is not None:
            scores[THRESHOLDED] = threshold_jaccard(pred, ref, threshold=threshold)
        for unit, spacing in spacings.items():
            if unit == "voxels" or spacing is not None:
                distances = surface_distances(pred, ref, spacing, ignored)
                scores |= {f"{kind}_{unit}": float(getattr(distances, kind)) for kind in DISTANCES}
        rows.append(ClassScores(case, name, value, scores, not (pred.any() or ref.any())))
    return rows
