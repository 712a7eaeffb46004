"""Pictures of a class's surface in reference and prediction: from the front, on one scale, side by side.

Shapes: V points (V, 3) and F triangles as in surfaces.py.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

import numpy as np
from scipy.ndimage import label

from crossmatch.formats import Array, Volume
from crossmatch.reports.curves import COLOURS
from crossmatch.reports.slices import orientation
from crossmatch.reports.surfaces import Surface, distances, front_view, surfaces
from crossmatch.scoring.metrics import dice

PIXELS = 560  # side of a picture: half as much again as its column is wide, for fine screens
MARGIN = 0.04  # around what is seen, as a share of its longest side
LIGHT = np.array([-0.42, -0.757, 0.50])  # from the viewer's upper left; of length 1
AMBIENT = 0.35  # brightness of what the light does not reach


def surface_rows(
    image: Volume, reference: Array, prediction: Array, labels: Mapping[str, int], far: Mapping[str, float]
) -> tuple[list[str], str]:
    """A row of pictures of each class, and a sentence about how they are seen.

    The pictures are of the reference, the prediction, and the prediction coloured by its distance to the reference's
    surface. A note stands in the place of an empty mask.

    Args:
        image: gives the grid; reference, prediction: labels (x, y, z) on it.
        labels: class -> value.
        far: class -> distance (mm, or voxels where the spacing is unknown) at which the colour is full.
    """
    view, spacing = front_view(image), image.spacing_mm or (1.0,) * 3
    unit = "mm" if image.spacing_mm else "voxels"
    rows, joined = [], False
    for place, (name, value) in enumerate(labels.items()):
        masks = [reference == value, prediction == value]
        (theirs, ours), block = surfaces(masks, spacing, view)
        joined |= bool(block.max() > 1)
        score, scale = f", Dice {100 * dice(*masks):.1f} %", f"{far[name]:.3g} {unit}"
        colour = picture_colour(f"c{place % COLOURS}")
        shown = [surface for surface in (theirs, ours) if surface is not None]
        figures = []
        for surface, kind, more in ((theirs, "reference", ""), (ours, "prediction", score)):
            if surface is None:
                figures.append(_note(f"{name}: the {kind} has no voxel of it{more}."))
            else:
                stored = picture(surface, np.tile(colour, (len(surface.points), 1)), *frame(shown))
                figures.append(_figure(stored, f"{name}, {kind}", more))
        if theirs is not None and ours is not None:
            shares = np.clip(distances(ours, theirs) / far[name], 0, 1)[:, None]
            stored = picture(
                ours, (1 - shares) * picture_colour("near") + shares * picture_colour("far"), *frame(shown)
            )
            title = f"{name}, distance to the reference"
            figures.append(_figure(stored, title, f': 0 <i class="scale"></i> {scale} and more'))
        rows.append(f'<div class="slices surfaces">{"".join(figures)}</div>')
    full = "A distance has its full colour at the class's mean HD95, or at 1 where that is 0 or undefined."
    return rows, f"{_seen_from(image, joined)} {full}"


def prediction_surfaces(image: Volume, prediction: Array, labels: Mapping[str, int]) -> str:
    """A row with the surface of each class that a prediction has, and a sentence about how they are seen, HTML.

    Args:
        image: gives the grid; prediction: labels (x, y, z) on it; labels: class -> value.
    """
    view, spacing = front_view(image), image.spacing_mm or (1.0,) * 3
    found, block = surfaces([prediction == value for value in labels.values()], spacing, view)
    shown = [surface for surface in found if surface is not None]
    figures = []
    for place, (name, surface) in enumerate(zip(labels, found, strict=True)):
        if surface is None:
            figures.append(_note(f"{name}: no voxel of it."))
        else:
            colours = np.tile(picture_colour(f"c{place % COLOURS}"), (len(surface.points), 1))
            figures.append(_figure(picture(surface, colours, *frame(shown)), name, ""))
    row = f'<div class="slices surfaces">{"".join(figures)}</div>'
    return f'{row}<p class="aside">{_seen_from(image, bool(block.max() > 1))}</p>' if shown else row


def island_surfaces(
    image: Volume, reference: Array, masks: Mapping[str, Array], islands: Mapping[str, Array], labels: Mapping[str, int]
) -> tuple[list[str], str]:
    """A row for each class: the surface in each run's mask, its false islands in red, and in the reference.

    Args:
        image: gives the grid; reference: labels (x, y, z) on it; masks, islands: run -> labels.
        labels: class -> value.
    """
    view, spacing = front_view(image), image.spacing_mm or (1.0,) * 3
    rows, joined = [], False
    red = picture_colour("far")
    for place, (name, value) in enumerate(labels.items()):
        parts = [reference == value]
        for run, mask in masks.items():
            alone = islands[run] == value
            parts += [(mask == value) & ~alone, alone]
        (theirs, *ours), block = surfaces(parts, spacing, view)
        joined |= bool(block.max() > 1)
        shown = [surface for surface in (theirs, *ours) if surface is not None]
        colour = picture_colour(f"c{place % COLOURS}")
        figures = []
        for n, (run, mask) in enumerate(masks.items()):
            count = int(label(islands[run] == value, np.ones((3, 3, 3)))[1])
            what = f", {count} false island{'s' * (count != 1)}" if count else ""
            coloured = [(ours[2 * n], colour), (ours[2 * n + 1], red)]
            score = f", Dice {100 * dice(mask == value, reference == value):.1f} %{what}"
            figures.append(_coloured(f"{name}, {run}", score, coloured, shown))
        figures.append(_coloured(f"{name}, reference", "", [(theirs, colour)], shown))
        rows.append(f'<div class="beside surfaces">{"".join(figures)}</div>')
    return rows, _seen_from(image, joined)


def _coloured(title: str, more: str, parts: Sequence[tuple[Surface | None, Array]], shown: Sequence[Surface]) -> str:
    """One picture of surfaces, each in a colour; a note where there is none."""
    there = [(surface, colour) for surface, colour in parts if surface is not None]
    if not there:
        return _note(f"{title}: no voxel of it{more}.")
    starts = np.cumsum([0, *(len(surface.points) for surface, _ in there)])
    joined = Surface(
        np.concatenate([surface.points for surface, _ in there]),
        np.concatenate([surface.faces + start for (surface, _), start in zip(there, starts[:-1], strict=True)]),
    )
    colours = np.concatenate([np.tile(colour, (len(surface.points), 1)) for surface, colour in there])
    return _figure(picture(joined, colours, *frame(shown)), title, more)


def _seen_from(image: Volume, joined: bool) -> str:
    where = (
        "along the second axis, the first to the right and the third downwards (the orientation is unknown)"
        if "?" in orientation(image)
        else "from the front, the patient's right on the left"
    )
    large = " Large masks are drawn from blocks of voxels." if joined else ""
    return f"Surfaces {where}, smoothed within a voxel.{large}"


def picture_colour(name: str) -> Array:
    """A colour of the pictures in style.css: red, green, blue in [0, 1]."""
    style = resources.files("crossmatch.reports").joinpath("style.css").read_text(encoding="utf-8")
    rule = style[style.index(".pictures {") :]
    found = re.search(rf"--{name}: #(\w{{6}});", rule)
    assert found is not None
    return np.frombuffer(bytes.fromhex(found[1]), np.uint8) / 255


def _figure(stored: bytes, title: str, more: str) -> str:
    data = base64.b64encode(stored).decode()
    return (
        f'<figure><img alt="{escape(title)}" src="data:image/png;base64,{data}"/>'
        f"<figcaption>{escape(title)}{more}</figcaption></figure>"
    )


def _note(text: str) -> str:
    return f'<figure class="none"><figcaption>{escape(text)}</figcaption></figure>'


def frame(shown: Sequence[Surface]) -> tuple[Array, float]:
    """Lower left corner (2,) and side of the square, in mm, that holds surfaces with a margin."""
    points = np.concatenate([surface.points[:, [0, 2]] for surface in shown])
    low, high = points.min(0), points.max(0)
    side = float((high - low).max()) * (1 + 2 * MARGIN)
    return (low + high - side) / 2, side


def picture(surface: Surface, colours: Array, corner: Array, side: float) -> bytes:
    """A PNG of `PIXELS` x `PIXELS`, transparent around the surface, without perspective.

    Args:
        surface: what is drawn.
        colours: (V, 3) red, green, blue in [0, 1] before shading.
        corner, side: of the square that is shown, as `frame` gives them.
    """
    from matplotlib.collections import PolyCollection  # here: only the report of a 3D run needs it
    from matplotlib.figure import Figure
    from matplotlib.transforms import IdentityTransform

    corners = surface.points[surface.faces]
    order = np.argsort(-corners[:, :, 1].mean(1))  # the farthest first, hidden by what is nearer
    shaded = (colours * _brightness(surface, corners)[:, None])[surface.faces].mean(1)
    flat: Any = (corners[:, :, [0, 2]] - corner) * (PIXELS / side)  # Any: typed as lists, but arrays are drawn faster
    dpi = 100
    figure = Figure(figsize=(PIXELS / dpi, PIXELS / dpi), dpi=dpi)
    drawn = PolyCollection(flat[order], facecolors=shaded[order], linewidths=0, antialiaseds=False)
    drawn.set_transform(IdentityTransform())
    figure.add_artist(drawn)
    stored = io.BytesIO()
    figure.savefig(stored, format="png", dpi=dpi, transparent=True, metadata={"Software": None})
    return stored.getvalue()


def _brightness(surface: Surface, corners: Array) -> Array:
    """Diffuse light on each point (V,), from the mean normal of the faces around it, turned to the viewer."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # as long as the face is large
    around = np.zeros_like(surface.points)
    for n in range(3):
        np.add.at(around, surface.faces[:, n], normals)
    around *= np.where(around[:, 1:2] > 0, -1, 1) / np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1e-12)
    lit: Array = AMBIENT + (1 - AMBIENT) * np.clip(around @ LIGHT, 0, 1)
    return lit
