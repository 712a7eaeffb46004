"""Slices of a scan with the outlines or areas of masks: up to three of a stack, or three orthogonal planes.

Shapes: (x, y, z) volumes in the file's axis order; I slices of (h, w) as they are shown, rows downwards.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from crossmatch.formats import Array, Volume
from crossmatch.reports.curves import COLOURS
from crossmatch.reports.slices import crop, eight_bits, embedded, outline, planes, upright
from crossmatch.scoring.metrics import dice

SHOWN = 3  # slices of a stack


class Layer(NamedTuple):
    """A mask over a slice: labels (h, w), and how they are drawn: a class of style.css."""

    kind: str  # reference, prediction: outlines; area: filled; island: the outline of what is not there
    mask: Array


class View(NamedTuple):
    """Slices of one scan along one axis, the right way up and cropped around its masks."""

    pixels: Array  # (I, h, w), or (I, h, w, 3) in colours
    masks: list[Array]  # (I, h, w) labels, in the order given
    pixel: tuple[float, float]  # height and width

    @classmethod
    def along(cls, image: Volume, masks: Sequence[Array], axis: int) -> "View":
        """The slices across an axis (the axes of the picture in 2D)."""
        stack, pixel = upright(image, axis)
        pixels, shown = eight_bits(image, stack), [stack(mask) for mask in masks]
        part = (slice(None), *crop(np.any([mask > 0 for mask in shown], axis=0), pixel))
        return cls(pixels[part], [mask[part] for mask in shown], pixel)

    def svg(self, n: int, layers: Sequence[Layer], labels: Mapping[str, int]) -> str:
        """Slice n under layers."""
        return slice_svg(self.pixels[n], layers, labels, self.pixel)


def stack_figures(
    image: Volume, reference: Array, prediction: Array, labels: Mapping[str, int], slice_axis: int
) -> list[str]:
    """At most three slices of a scan that was learned slice by slice, with reference and prediction."""
    view = View.along(image, [reference, prediction], slice_axis)
    return _bare(view, labels) + [
        _scored_figure(view, n, labels, f"Slice {n + 1} of {len(view.pixels)}" if len(view.pixels) > 1 else "", reason)
        for n, reason in chosen_slices(*view.masks).items()
    ]


def plane_figures(image: Volume, reference: Array, prediction: Array, labels: Mapping[str, int]) -> list[str]:
    """The slice of a 3D scan that matters along each axis: the axial, the coronal and the sagittal plane."""
    figures = []
    for name, axis in planes(image).items():
        view = View.along(image, [reference, prediction], axis)
        n, reason = chosen_plane(*view.masks)
        figures.append(_scored_figure(view, n, labels, f"{name}, {n + 1} of {len(view.pixels)}", reason))
    return figures


def _bare(view: View, labels: Mapping[str, int]) -> list[str]:
    """Of a scan that is one picture: the picture without masks."""
    return [figure(view.svg(0, [], labels), "scan")] if len(view.pixels) == 1 else []


def _scored_figure(view: View, n: int, labels: Mapping[str, int], where: str, reason: str) -> str:
    reference, prediction = (mask[n] for mask in view.masks)
    layers = [Layer("reference", reference), Layer("prediction", prediction)]
    score = f"{where}{', ' if where else ''}Dice {100 * slice_dice(reference, prediction):.0f} %"
    return figure(view.svg(n, layers, labels), f"{score} ({reason})" if where and reason else score)


def unscored_figures(image: Volume, prediction: Array, labels: Mapping[str, int], slice_axis: int | None) -> list[str]:
    """Slices with the prediction alone: three over its extent, or (slice_axis None) its largest cut in each plane."""
    figures = []
    if slice_axis is None:
        for name, axis in planes(image).items():
            view = View.along(image, [prediction], axis)
            n = largest_slice(view.masks[0])
            figures.append(_unscored_figure(view, n, labels, f"{name}, {n + 1} of {len(view.pixels)}"))
        return figures
    view = View.along(image, [prediction], slice_axis)
    figures += _bare(view, labels)
    for n in spread_slices(view.masks[0]):
        where = f"Slice {n + 1} of {len(view.pixels)}" if len(view.pixels) > 1 else ""
        figures.append(_unscored_figure(view, n, labels, where))
    return figures


def _unscored_figure(view: View, n: int, labels: Mapping[str, int], where: str) -> str:
    found = view.masks[0][n]
    return figure(view.svg(n, [Layer("prediction", found)], labels), where if found.any() else f"{where}: no label")


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
        if len(reasons) < SHOWN:
            reasons.setdefault(n, ["next lowest Dice" if wrong[n] else "no wrong voxel"])
    return {n: ", ".join(reasons[n]) for n in sorted(reasons)}


def chosen_plane(reference: Array, prediction: Array) -> tuple[int, str]:
    """The slice of (I, h, w) masks with most wrong voxels, else the largest reference, else the middle; and why."""
    wrong = (reference != prediction).sum((1, 2))
    if wrong.any():
        return int(wrong.argmax()), "most wrong voxels"
    if reference.any():
        return largest_slice(reference), "largest reference, no wrong voxel"
    return len(reference) // 2, "the middle, no label"


def largest_slice(mask: Array) -> int:
    """The slice of (I, h, w) labels with most labelled voxels; the middle one if there is none."""
    area = (mask > 0).sum((1, 2))
    return int(area.argmax()) if area.any() else len(mask) // 2


def spread_slices(mask: Array) -> list[int]:
    """At most three slices of (I, h, w) labels, at a sixth, the half and five sixths of where labels are."""
    found = np.flatnonzero(mask.any((1, 2)))
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, len(mask) - 1)
    return sorted({first + (last + 1 - first) * (2 * n + 1) // (2 * SHOWN) for n in range(SHOWN)})


def slice_dice(reference: Array, prediction: Array) -> float:
    """Mean Dice over the classes that a slice has in either mask; 1 if it has none."""
    classes = np.union1d(reference, prediction)
    scores = [dice(prediction == value, reference == value) for value in classes[classes > 0]]
    return float(np.mean(scores)) if scores else 1.0


def figure(svg: str, text: str) -> str:
    """A picture and what stands below it, HTML."""
    return f"<figure>{svg}<figcaption>{text}</figcaption></figure>"


def slice_svg(pixels: Array, layers: Sequence[Layer], labels: Mapping[str, int], pixel: tuple[float, float]) -> str:
    """A slice (h, w) or (h, w, 3), in its true proportions, under masks (h, w); drawn in pixel coordinates."""
    (h, w), (down, across) = pixels.shape[:2], pixel
    drawn = "".join(f'<g class="{kind}">{_paths(mask, labels, kind)}</g>' for kind, mask in layers)
    return (
        f'<svg class="overlay{" colour" * (pixels.ndim == 3)}" viewBox="0 0 {w * across:.6g} {h * down:.6g}">'
        f'<g transform="scale({across:.6g} {down:.6g})">'
        f'<image width="{w}" height="{h}" preserveAspectRatio="none" href="{embedded(pixels)}"/>'
        f"{drawn}</g></svg>"
    )


def _paths(mask: Array, labels: Mapping[str, int], kind: str) -> str:
    return "".join(
        f'<path class="k{place % COLOURS}" d="{path}"><title>{escape(name)}, {kind}</title></path>'
        for place, (name, value) in enumerate(labels.items())
        if (path := outline(mask == value))
    )
