"""A small picture of a case: the slice where most was found, under the outlines of the prediction.

Shapes: (x, y, z) volumes or (x, y) pictures in the file's axis order; slices (h, w) as they are shown.
"""

import base64
from collections import OrderedDict

import numpy as np

from crossmatch.formats import Array, Volume, picture_bytes
from crossmatch.reports.curves import COLOURS
from crossmatch.reports.slices import outline, planes, upright
from crossmatch.review.case_voxels import OpenCase

THICK = 2  # slices are far apart where one axis has so many times the finest spacing
_STROKE = 'vector-effect="non-scaling-stroke"'
SIDE = 144  # pixels of the longer side, about
KEPT = 4000  # pictures in memory, of some kilobytes each
PALETTE = ("#e69f00", "#56b4e9", "#ef86c1", "#00c795", "#ff6a33", "#b7a6ff", "#f0e442")  # as in the report's pictures


class Thumbnails:
    """The pictures made last."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def get(self, ident: str, state: str) -> bytes | None:
        """The picture of a case while its mask is in a state."""
        return self._made.get((ident, state))

    def keep(self, ident: str, state: str, picture: bytes) -> None:
        """Remember a picture; the oldest is forgotten."""
        self._made[ident, state] = picture
        while len(self._made) > KEPT:
            self._made.popitem(last=False)


def colour_of(value: int, labels: dict[str, int]) -> str:
    """The colour of a label value, the same as in the report."""
    place = list(labels.values()).index(value)
    return PALETTE[(place - 1) % COLOURS]


def thumbnail(case: OpenCase, mask: Array | None, slice_axis: int) -> bytes:
    """An SVG picture.

    Args:
        mask: (*S) label values on the image's grid, or None.
        slice_axis: across which volumes are cut where their orientation is unknown.
    """
    grid = case.grid
    axis = slice_axis if case.flat else _across(grid, slice_axis)
    stack, (down, across) = upright(grid, axis)
    masks = stack(mask) if mask is not None else None
    count = len(stack(grid.voxels))
    chosen = int((masks > 0).sum((1, 2)).argmax()) if masks is not None and masks.any() else count // 2
    shown = [_grey(stack(each.voxels)[chosen], case.window(k)) for k, each in _shown(case)]
    h, w = shown[0].shape
    step = max(1, round(max(h, w) / SIDE))
    pixels = np.stack([each[::step, ::step] for each in shown], -1).squeeze()
    paths = ""
    if masks is not None:
        small = masks[chosen][::step, ::step]
        paths = "".join(
            f'<path d="{outline(small == value)}" stroke="{colour_of(value, case.labels)}" {_STROKE}/>'
            for value in case.labels.values()
            if value and (small == value).any()
        )
    data = base64.b64encode(picture_bytes(pixels)).decode()
    height, width = pixels.shape[:2]
    scale = SIDE / max(height * down, width * across)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'width="{width * across * scale:.0f}" height="{height * down * scale:.0f}">'
        f'<image width="{width}" height="{height}" preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
        f'<g fill="none" stroke-width="1.4" stroke-linejoin="round">{paths}</g></svg>'
    ).encode()


def _across(grid: Volume, slice_axis: int) -> int:
    """The axis across the slices that are shown: that of thick slices, else from foot to head."""
    if grid.spacing_mm is None:
        return slice_axis
    thick = max(grid.spacing_mm) >= THICK * min(grid.spacing_mm)
    return int(np.argmax(grid.spacing_mm)) if thick else planes(grid).get("Axial", slice_axis)


def _shown(case: OpenCase) -> list[tuple[int, Volume]]:
    return list(enumerate(case.channels if case.colours() else case.channels[:1]))


def _grey(plane: Array, window: dict[str, float]) -> Array:
    share = (plane.astype(np.float32) - window["low"]) / (window["high"] - window["low"])
    grey: Array = np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)
    return grey
