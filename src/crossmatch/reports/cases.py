"""The best, the median and the worst case of an evaluation: which cases, their files, their pictures.

Shapes: (x, y, z) volumes in the frame of the run's dataset.
"""

from html import escape
from pathlib import Path
from typing import NamedTuple

from crossmatch import formats
from crossmatch.dataset.layout import list_cases, read_description
from crossmatch.dataset.orientation import read_label, turn_into, turn_volume
from crossmatch.errors import UserError
from crossmatch.formats import Array, Volume
from crossmatch.reports.overlays import plane_figures, stack_figures
from crossmatch.reports.renderings import surface_rows
from crossmatch.runs.run import Run
from crossmatch.scoring.metrics import counted, dice
from crossmatch.scoring.scores import Evaluation


class ScoredScan(NamedTuple):
    """The files of one evaluated case; all three lie on one grid."""

    image: Volume
    reference: Array
    prediction: Array


def chosen_cases(evaluation: Evaluation) -> dict[str, str]:
    """Case -> why it is shown: the best, the median (of an even number the better of the middle two), the worst."""
    means = evaluation.case_means()
    ranked = sorted(means, key=lambda case: (-means[case], case))
    chosen: dict[str, list[str]] = {}
    for place, name in ((0, "best"), ((len(ranked) - 1) // 2, "median"), (len(ranked) - 1, "worst")):
        if name != "median" or len(ranked) > 2:
            chosen.setdefault(ranked[place], []).append(name)
    return {case: " and ".join(names) if len(ranked) > 1 else "the only one" for case, names in chosen.items()}


def case_figures(run: Run, evaluation: Evaluation, predictions: Path) -> tuple[list[str], list[str]]:
    """A row of pictures for each chosen case, and a sentence for each case that cannot be shown."""
    figures, notes = [], []
    for case, reason in chosen_cases(evaluation).items():
        try:
            scan = read_scan(run, evaluation, predictions, case)
        except UserError as error:
            notes.append(f"No picture of {case} ({reason}): {error}")
        else:
            score = f"Dice {100 * evaluation.case_means()[case]:.1f} %"
            head = f"{reason.capitalize()}: <b>{escape(case)}</b>, {score}"
            figures.append(f'<div class="case"><h3>{head}</h3>{_pictures(run, evaluation, scan)}</div>')
    return figures, notes


def read_scan(run: Run, evaluation: Evaluation, predictions: Path, case: str) -> ScoredScan:
    """Image (its first channel), reference and prediction of a case.

    Raises:
        UserError: a file is gone, or the masks are not those that were evaluated.
    """
    root = Path(run.data["root"])
    if not (root / "dataset.json").is_file():
        raise UserError(f"the dataset is not at {root} any more.")
    description = read_description(root)
    listing = list_cases(root, description)
    if case not in listing.images or case not in listing.labels:
        raise UserError(f"the dataset {root} has no image or no label of that name.")
    mask = dict(formats.files_in(predictions)).get(case) if predictions.is_dir() else None
    if mask is None:
        raise UserError(f"there is no mask of {case} in {predictions}.")
    image = formats.read_channels(listing.images[case][:1])[0]
    turn = turn_into(run.frame, image)
    reference, prediction = (
        turn_volume(read_label(path, image, description.drawn), turn) for path in (listing.labels[case], mask)
    )
    image = turn_volume(image, turn)
    for row in evaluation.rows:
        if row.case == case:
            ours, theirs = counted(prediction.voxels, reference.voxels, description.ignore)
            now = dice(ours == row.value, theirs == row.value)
            if abs(now - row.scores["dice"]) > 1e-6:
                raise UserError(f"{mask} and {listing.labels[case]} are not what was evaluated; evaluate again.")
    return ScoredScan(image, reference.voxels, prediction.voxels)


def _pictures(run: Run, evaluation: Evaluation, scan: ScoredScan) -> str:
    """Slices of a case, and its surfaces if the network is 3D."""
    if run.recipe.dims == 2:
        slices = stack_figures(*scan, evaluation.labels, run.data["slice_axis"])
        return f'<div class="slices">{"".join(slices)}</div>'
    planes = plane_figures(*scan, evaluation.labels)
    surfaces, how_seen = surface_rows(*scan, evaluation.labels, _mean_distances(evaluation, scan.image))
    return f'<div class="slices">{"".join(planes)}</div>{"".join(surfaces)}<p class="aside">{how_seen}</p>'


def _mean_distances(evaluation: Evaluation, image: Volume) -> dict[str, float]:
    """Class -> mean HD95 over cases in the unit of `image`; 1 where there is none above 0."""
    metric = "hd95_mm" if image.spacing_mm else "hd95_voxels"
    known = {name: evaluation.statistics(name).get(metric) for name in evaluation.labels}
    return {name: found.mean if found and found.mean > 0 else 1.0 for name, found in known.items()}
