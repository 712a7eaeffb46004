"""Pictures of the best, the median and the worst case: grey slices with the outlines of prediction and reference.

Shapes: (x, y, z) volumes in the file's axis order; (h, w) slices as they are shown, rows downwards.
"""

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from crossmatch.data.files import ENDINGS, Array, Volume, read_volume, same_grid
from crossmatch.data.intensity import scale
from crossmatch.data.layout import list_cases, read_description
from crossmatch.errors import UserError
from crossmatch.metrics import dice
from crossmatch.report.curves import COLOURS
from crossmatch.report.slices import crop, outline, png, upright
from crossmatch.run import Run
from crossmatch.scores import Evaluation


@dataclass(frozen=True)
class Scan:
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
            pictures = "".join(_pictures(scan, evaluation.labels, run.data["slice_axis"]))
            figures.append(f'<div class="case"><h3>{head}</h3><div class="slices">{pictures}</div></div>')
    return figures, notes


def read_scan(run: Run, evaluation: Evaluation, predictions: Path, case: str) -> Scan:
    """Image (its first channel), reference and prediction of a case.

    Raises:
        UserError: a file is gone, or the masks are not those that were evaluated.
    """
    root = Path(run.data["root"])
    if not (root / "dataset.json").is_file():
        raise UserError(f"the dataset is not at {root} any more.")
    listing = list_cases(root, read_description(root))
    if case not in listing.images or case not in listing.labels:
        raise UserError(f"the dataset {root} has no image or no label of that name.")
    masks = [predictions / f"{case}{ending}" for ending in ENDINGS]
    mask = next((path for path in masks if path.is_file()), None)
    if mask is None:
        raise UserError(f"there is no mask {masks[0]}.")
    image, reference, prediction = map(read_volume, (listing.images[case][0], listing.labels[case], mask))
    if not same_grid(image, reference) or not same_grid(reference, prediction):
        raise UserError(f"{mask}, its image and its label do not lie on one grid.")
    for row in evaluation.rows:
        if row.case == case:
            now = dice(prediction.voxels == row.value, reference.voxels == row.value)
            if abs(now - row.scores["dice"]) > 1e-6:
                raise UserError(f"{mask} and {listing.labels[case]} are not what was evaluated; evaluate again.")
    return Scan(image, reference.voxels, prediction.voxels)


def chosen_slices(reference: Array, prediction: Array) -> dict[int, str]:
    """At most three slices of (I, h, w) masks, in order, and why: largest reference, most wrong voxels, lowest Dice."""
    area = (reference > 0).sum((1, 2))
    wrong = (reference != prediction).sum((1, 2))
    agreement = np.array([slice_dice(r, p) for r, p in zip(reference, prediction, strict=True)])
    ranked = np.lexsort((-area, -wrong, agreement)).tolist()  # by agreement, then by the others
    reasons: dict[int, list[str]] = {int(area.argmax()): ["largest reference"]}
    if wrong.any():
        reasons.setdefault(int(wrong.argmax()), []).append("most wrong voxels")
        reasons.setdefault(ranked[0], []).append("lowest Dice")
    for n in ranked:
        if len(reasons) < 3:
            reasons.setdefault(n, ["next lowest Dice" if wrong[n] else "no wrong voxel"])
    return {n: ", ".join(reasons[n]) for n in sorted(reasons)}


def slice_dice(reference: Array, prediction: Array) -> float:
    """Mean Dice over the classes that a slice has in either mask; 1 if it has none."""
    classes = np.union1d(reference, prediction)
    scores = [dice(prediction == value, reference == value) for value in classes[classes > 0]]
    return float(np.mean(scores)) if scores else 1.0


def _pictures(scan: Scan, labels: dict[str, int], slice_axis: int) -> list[str]:
    stack, pixel = upright(scan.image, slice_axis)
    grey = stack(np.round(255 * scale(scan.image.voxels, "percentile")).astype(np.uint8))
    reference, prediction = stack(scan.reference), stack(scan.prediction)
    part = crop((reference > 0) | (prediction > 0), pixel)
    figures = []
    for n, reason in chosen_slices(reference, prediction).items():
        r, p = reference[n], prediction[n]
        which, why = (f"Slice {n + 1} of {len(grey)}, ", f" ({reason})") if len(grey) > 1 else ("", "")
        svg = _svg(grey[n][part], r[part], p[part], labels, pixel)
        text = f"{which}Dice {100 * slice_dice(r, p):.0f} %{why}"
        figures.append(f"<figure>{svg}<figcaption>{text}</figcaption></figure>")
    return figures


def _svg(grey: Array, reference: Array, prediction: Array, labels: dict[str, int], pixel: tuple[float, float]) -> str:
    """A slice (h, w) in its true proportions under the outlines of two masks (h, w), drawn in pixel coordinates."""
    (h, w), (down, across) = grey.shape, pixel
    data = base64.b64encode(png(grey)).decode()
    outlines = "".join(
        f'<g class="{kind}">{_outlines(mask, labels, kind)}</g>'
        for kind, mask in (("reference", reference), ("prediction", prediction))
    )
    return (
        f'<svg class="overlay" viewBox="0 0 {w * across:.6g} {h * down:.6g}">'
        f'<g transform="scale({across:.6g} {down:.6g})">'
        f'<image width="{w}" height="{h}" preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
        f"{outlines}</g></svg>"
    )


def _outlines(mask: Array, labels: dict[str, int], kind: str) -> str:
    return "".join(
        f'<path class="k{place % COLOURS}" d="{path}"><title>{escape(name)}, {kind}</title></path>'
        for place, (name, value) in enumerate(labels.items())
        if (path := outline(mask == value))
    )
