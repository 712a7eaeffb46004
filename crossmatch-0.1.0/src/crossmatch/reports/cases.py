"""The best, the median and the worst case of an evaluation: which cases, and their pictures with the reference."""

from html import escape
from pathlib import Path
from typing import NamedTuple

from crossmatch.errors import UserError
from crossmatch.formats import Array, Volume
from crossmatch.reports.overlays import plane_figures, stack_figures
from crossmatch.reports.renderings import surface_rows
from crossmatch.reports.scans import case_of_dataset, mask_of, open_scan, scored_pair
from crossmatch.reports.viewer import Viewer
from crossmatch.runs.run import Run
from crossmatch.scoring.scores import Evaluation


class ScoredScan(NamedTuple):
    """One evaluated case in the frame of the run's dataset; all three lie on one grid."""

    image: Volume
    reference: Array
    prediction: Array


def chosen_cases(evaluation: Evaluation) -> dict[str, str]:
    """Case -> why it is shown: the best, the median (of an even number the better of the middle two), the worst."""
    means = evaluation.case_means()
    return ranked_choice(sorted(means, key=lambda case: (-means[case], case)), ("best", "median", "worst"))


def ranked_choice(ranked: list[str], names: tuple[str, str, str]) -> dict[str, str]:
    """The first, the middle and the last of a ranking -> why they are chosen; no middle of fewer than three."""
    chosen: dict[str, list[str]] = {}
    for place, name in zip((0, (len(ranked) - 1) // 2, len(ranked) - 1), names, strict=True):
        if name != names[1] or len(ranked) > 2:
            chosen.setdefault(ranked[place], []).append(name)
    return {case: " and ".join(names) if len(ranked) > 1 else "the only one" for case, names in chosen.items()}


def case_figures(
    run: Run, evaluation: Evaluation, predictions: Path, viewer: Viewer | None = None
) -> tuple[dict[str, str], list[str]]:
    """Case -> a row of pictures, for each chosen case, and a sentence for each case that cannot be shown.

    Args:
        viewer: takes the cases in, too.
    """
    figures, notes = {}, []
    for case, reason in chosen_cases(evaluation).items():
        try:
            scan = read_scan(run, evaluation, predictions, case)
        except UserError as error:
            notes.append(f"No picture of {case} ({reason}): {error}")
        else:
            score = f"Dice {100 * evaluation.case_means()[case]:.1f} %"
            head = f"{reason.capitalize()}: <b>{escape(case)}</b>, {score}"
            masks = {"prediction": scan.prediction, "reference": scan.reference}
            place = "" if viewer is None else viewer.add(case, scan.image, masks)
            figures[case] = case_row(head, place + _pictures(run, evaluation, scan))
    return figures, notes


def case_row(head: str, pictures: str) -> str:
    """A case's heading (HTML) over its pictures."""
    return f'<div class="case"><h3>{head}</h3>{pictures}</div>'


def read_scan(run: Run, evaluation: Evaluation, predictions: Path, case: str) -> ScoredScan:
    """Image (its first channel), reference and prediction of a case.

    Raises:
        UserError: a file is gone, or the masks are not those that were evaluated.
    """
    files, mask = case_of_dataset(Path(run.data["root"]), case), mask_of(predictions, case)
    scan = open_scan(files.images, run.frame)
    return ScoredScan(scan.image, *scored_pair(scan, files, mask, evaluation, case))


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
