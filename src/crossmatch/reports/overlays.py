"""Grey slices with the outlines of prediction and reference: up to three of a stack, or three orthogonal planes.

Shapes: (x, y, z) volumes in the file's axis order; I slices of (h, w) as they are shown, rows downwards.
"""

import base64
from html import escape

import numpy as np

from crossmatch.batches.intensity import scale
from crossmatch.formats import Array, Volume
from crossmatch.reports.curves import COLOURS
from crossmatch.reports.slices import crop, outline, planes, png, upright
from crossmatch.scoring.metrics import dice


def stack_figures(
    image: Volume, reference: Array, prediction: Array, labels: dict[str, int], slice_axis: int
) -> list[str]:
    """At most three slices of a scan that was learned slice by slice."""
    stack, pixel = upright(image, slice_axis)
    grey, reference, prediction = stack(_grey(image)), stack(reference), stack(prediction)
    part = crop((reference > 0) | (prediction > 0), pixel)
    figures = []
    for n, reason in chosen_slices(reference, prediction).items():
        where = f"Slice {n + 1} of {len(grey)}" if len(grey) > 1 else ""
        svg = _svg(grey[n][part], reference[n][part], prediction[n][part], labels, pixel)
        figures.append(_figure(svg, where, slice_dice(reference[n], prediction[n]), reason if where else ""))
    return figures


def plane_figures(image: Volume, reference: Array, prediction: Array, labels: dict[str, int]) -> list[str]:
    """The slice of a 3D scan that matters along each axis: the axial, the coronal and the sagittal plane."""
    voxels = _grey(image)
    figures = []
    for name, axis in planes(image).items():
        stack, pixel = upright(image, axis)
        grey, ours, theirs = stack(voxels), stack(prediction), stack(reference)
        n, reason = chosen_plane(theirs, ours)
        part = crop((theirs > 0) | (ours > 0), pixel)
        svg = _svg(grey[n][part], theirs[n][part], ours[n][part], labels, pixel)
        figures.append(_figure(svg, f"{name}, {n + 1} of {len(grey)}", slice_dice(theirs[n], ours[n]), reason))
    return figures


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


def chosen_plane(reference: Array, prediction: Array) -> tuple[int, str]:
    """The slice of (I, h, w) masks with most wrong voxels, else the largest reference, else the middle; and why."""
    wrong, area = (reference != prediction).sum((1, 2)), (reference > 0).sum((1, 2))
    if wrong.any():
        return int(wrong.argmax()), "most wrong voxels"
    if area.any():
        return int(area.argmax()), "largest reference, no wrong voxel"
    return len(reference) // 2, "the middle, no label"


def slice_dice(reference: Array, prediction: Array) -> float:
    """Mean Dice over the classes that a slice has in either mask; 1 if it has none."""
    classes = np.union1d(reference, prediction)
    scores = [dice(prediction == value, reference == value) for value in classes[classes > 0]]
    return float(np.mean(scores)) if scores else 1.0


def _grey(image: Volume) -> Array:
    return np.round(255 * scale(image.voxels, "percentile")).astype(np.uint8)


def _figure(svg: str, where: str, score: float, reason: str) -> str:
    text = f"{where}{', ' if where else ''}Dice {100 * score:.0f} %{f' ({reason})' if reason else ''}"
    return f"<figure>{svg}<figcaption>{text}</figcaption></figure>"


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
