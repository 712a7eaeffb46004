"""The same slices of a case side by side: the scan, each run's mask, the reference; and surfaces of a 3D case.

A false island is a part of a mask that touches no voxel of the reference's class; voxels that meet at a corner belong
together. Islands are marked in red. Shapes: (x, y, z) volumes in the frame of the first run's dataset.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from crossmatch.errors import UserError
from crossmatch.formats import Array, Volume
from crossmatch.reports.cases import case_row
from crossmatch.reports.overlays import Layer, View, figure, largest_slice, slice_dice
from crossmatch.reports.pairs import Compared
from crossmatch.reports.renderings import island_surfaces
from crossmatch.reports.scans import case_of_dataset, mask_of, open_scan, scored_pair
from crossmatch.reports.slices import planes


class Beside(NamedTuple):
    """A case as several runs segment it, on one grid."""

    image: Volume
    reference: Array
    masks: dict[str, Array]  # run -> labels


def beside_rows(
    runs: Sequence[Compared], labels: Mapping[str, int], chosen: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Case -> its pictures, and a sentence for each case that cannot be shown.

    Args:
        runs: evaluated ones; labels: class -> value; chosen: case -> why.
    """
    rows, notes = {}, []
    for case, reason in chosen.items():
        try:
            found = read_beside_runs(runs, case)
        except UserError as error:
            notes.append(f"No picture of {case} ({reason}): {error}")
        else:
            rows[case] = case_row(f"{reason.capitalize()}: <b>{escape(case)}</b>", _pictures(runs[0], labels, found))
    return rows, notes


def read_beside_runs(runs: Sequence[Compared], case: str) -> Beside:
    """The scan, the reference and every run's mask of a case.

    Raises:
        UserError: a file is gone, or a mask is not the one that was evaluated.
    """
    first = runs[0].run
    files = case_of_dataset(Path(first.data["root"]), case)
    scan = open_scan(files.images, first.frame)
    masks, reference = {}, np.zeros(0)
    for run in runs:
        assert run.evaluation is not None
        assert run.masks is not None
        reference, masks[run.name] = scored_pair(scan, files, mask_of(run.masks, case), run.evaluation, case)
    return Beside(scan.image, reference, masks)


def _pictures(first: Compared, labels: Mapping[str, int], found: Beside) -> str:
    islands = {name: false_islands(mask, found.reference, labels) for name, mask in found.masks.items()}
    if first.run.recipe.dims == 2:
        return "".join(_slices(found, islands, labels, first.run.data["slice_axis"], "Slice", 2))
    name, axis = next(iter(planes(found.image).items()))
    rows = _slices(found, islands, labels, axis, name, 1)
    surfaces, how_seen = island_surfaces(found.image, found.reference, found.masks, islands, labels)
    return "".join([*rows, *surfaces]) + f'<p class="aside">{how_seen}</p>'


def _slices(
    found: Beside, islands: Mapping[str, Array], labels: Mapping[str, int], axis: int, name: str, most: int
) -> list[str]:
    """A row for each of at most `most` slices: where runs differ most, and the largest cut of the reference."""
    names = list(found.masks)
    volumes = [found.reference, *found.masks.values(), *islands.values()]
    view = View.along(found.image, volumes, axis)
    reference, masks = view.masks[0], dict(zip(names, view.masks[1 : len(names) + 1], strict=True))
    marked = dict(zip(names, view.masks[len(names) + 1 :], strict=True))
    chosen = {differing_slice(reference, list(masks.values())): "the runs differ most"}
    if most > 1:
        chosen.setdefault(largest_slice(reference), "largest reference")
    rows = []
    for n in sorted(chosen):
        where = f"{name} {n + 1} of {len(reference)}, {chosen[n]}" if len(reference) > 1 else "scan"
        figures = [figure(view.svg(n, [], labels), where)]
        for run, mask in masks.items():
            layers = [Layer("area", mask[n]), Layer("island", marked[run][n])]
            text = f"{escape(run)}: Dice {100 * slice_dice(reference[n], mask[n]):.0f} %"
            figures.append(figure(view.svg(n, layers, labels), text))
        figures.append(figure(view.svg(n, [Layer("area", reference[n])], labels), "reference"))
        rows.append(f'<div class="beside">{"".join(figures)}</div>')
    return rows


def differing_slice(reference: Array, masks: Sequence[Array]) -> int:
    """The slice of (I, h, w) labels in which the runs' numbers of wrong voxels lie farthest apart."""
    wrong = np.array([(mask != reference).sum((1, 2)) for mask in masks])
    spread = wrong.max(0) - wrong.min(0)
    return int(spread.argmax()) if spread.any() else largest_slice(reference)


def false_islands(mask: Array, reference: Array, labels: Mapping[str, int]) -> Array:
    """Labels (*S) of the parts of a mask (*S) that touch no voxel of the reference's class; 0 elsewhere."""
    found = np.zeros_like(mask)
    for value in labels.values():
        parts, count = ndimage.label(mask == value, np.ones((3,) * mask.ndim))
        there = np.unique(parts[reference == value])
        alone = np.setdiff1d(np.arange(1, count + 1), there)
        found[np.isin(parts, alone)] = value
    return found
