"""Slices for pictures: the right way up, cropped, as PNG or JPEG, and outlines of masks.

Shapes: *S is (x, y) or (x, y, z), the file's own axis order; I slices of (h, w) as they are shown, rows downwards.
"""

import base64
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from crossmatch.batches.intensity import colour_windows, scale
from crossmatch.formats import Array, Volume, picture_bytes
from crossmatch.formats.axes import axis_codes

MARGIN = 0.35  # around the labels, as a share of their longest side
MOST_PIXELS = 800  # along the longer side of an embedded picture; larger ones are reduced
_SIDES = (  # of a pixel (row, column): the neighbour beyond it, and its corners, clockwise
    ((-1, 0), (0, 0), (0, 1)),
    ((0, 1), (0, 1), (1, 1)),
    ((1, 0), (1, 1), (1, 0)),
    ((0, -1), (1, 0), (0, 0)),
)
Corner = tuple[int, int]


@dataclass(frozen=True, eq=False)
class ColourPicture(Volume):
    """A picture in colours. As a volume it is its first colour."""

    colours: tuple[Array, ...] = ()  # red, green and blue, (x, y) each


def shown_scan(channels: Sequence[Volume]) -> Volume:
    """What is shown of the channels of a scan's first file: a picture in colours, or the first channel."""
    first = channels[0]
    if len(channels) != 3 or len(first.shape) != 2:
        return first
    colours = tuple(channel.voxels for channel in channels)
    return ColourPicture(**vars(first), colours=colours)


def eight_bits(image: Volume, stack: Callable[[Array], Array]) -> Array:
    """A scan as it is shown: grey (I, h, w), or (I, h, w, 3) in colours, uint8. `stack` is that of `upright`.

    Grey values are spread between their 0.5 and 99.5 percentiles; colours stay as they are.
    """
    if not isinstance(image, ColourPicture):
        return np.round(255 * scale(stack(image.voxels), "percentile")).astype(np.uint8)
    windows = colour_windows(image.colours, "colour")  # one for all: hues stay
    shares = [scale(colour, "colour", one) for colour, one in zip(image.colours, windows, strict=True)]
    return np.round(255 * np.stack([stack(share) for share in shares], axis=-1)).astype(np.uint8)


def orientation(volume: Volume) -> str:
    """Where each axis runs to, of L R A P S I; "?" for each where that is unknown, as in 2D."""
    if len(volume.shape) < 3 or volume.spacing_mm is None:
        return "?" * len(volume.shape)
    return axis_codes(volume.affine)


def planes(volume: Volume) -> dict[str, int]:
    """The name of each orthogonal plane of a 3D scan -> the axis across it; axial first where that is known."""
    codes = orientation(volume)
    if "?" in codes:
        return {f"Across axis {axis + 1}": axis for axis in (2, 1, 0)}
    places = {"LRAPSI".index(code) // 2: axis for axis, code in enumerate(codes)}
    return {name: places[place] for place, name in ((2, "Axial"), (1, "Coronal"), (0, "Sagittal"))}


def upright(volume: Volume, slice_axis: int) -> tuple[Callable[[Array], Array], tuple[float, float]]:
    """How to show a scan as radiologists do: patient's right on the left, front (or head) on top.

    Returns:
        A function (*S) -> (I, h, w), and the height and width of a pixel (mm, or 1 where the spacing is unknown).
        Where the orientation is unknown, the first in-plane axis runs to the right and the second downwards.
    """
    ndim = len(volume.shape)
    slices = [slice_axis] if ndim == 3 else []
    codes = orientation(volume)
    plane = [axis for axis in range(ndim) if axis not in slices]
    across, down = sorted(plane, key=lambda axis: "LRAPSI?".index(codes[axis]) // 2)
    flipped = [axis for axis, wrong in ((across, "RA"), (down, "AS")) if codes[axis] in wrong]

    def stack(voxels: Array) -> Array:
        shown = np.transpose(np.flip(voxels, tuple(flipped)), [*slices, down, across])
        return shown if slices else shown[np.newaxis]

    spacing = volume.spacing_mm or (1.0,) * ndim
    return stack, (spacing[down], spacing[across])


def crop(labelled: Array, pixel: tuple[float, float]) -> tuple[slice, slice]:
    """The part of slices around the labels, as square as the image allows; all of it where there is no label.

    Args:
        labelled: (I, h, w) bool.
        pixel: height and width.
    """
    found: Array = np.any(labelled, axis=0)
    if not found.any():
        return slice(None), slice(None)
    spans = [np.flatnonzero(np.any(found, axis=axis))[[0, -1]] + (0, 1) for axis in (1, 0)]
    side = max((stop - start) * size for (start, stop), size in zip(spans, pixel, strict=True)) * (1 + MARGIN)
    parts = []
    for (start, stop), size, full in zip(spans, pixel, found.shape, strict=True):
        wanted = min(full, round(side / size))
        first = int(np.clip((start + stop - wanted) // 2, 0, full - wanted))
        parts.append(slice(first, first + wanted))
    return parts[0], parts[1]


def outline(mask: Array) -> str:
    """The border of a mask (h, w) bool as an SVG path in pixel coordinates; empty for an empty mask.

    Closed lines through the middles of pixel edges, so corners are cut. Pixels that touch diagonally are not joined.
    """
    return "".join("M" + "L".join(f"{x:g} {y:g}" for y, x in _bends(loop)) + "Z" for loop in _loops(mask))


def embedded(pixels: Array) -> str:
    """(h, w) or (h, w, 3) uint8 as a picture's address within a page: PNG, or JPEG in colours; large ones reduced."""
    step = -(-max(pixels.shape[:2]) // MOST_PIXELS)
    if step > 1:
        h, w = (n // step * step for n in pixels.shape[:2])
        blocks = pixels[:h, :w].reshape(h // step, step, w // step, step, -1).mean(axis=(1, 3))
        pixels = np.round(blocks).astype(np.uint8).reshape(h // step, w // step, *pixels.shape[2:])
    kind, quality = ("png", None) if pixels.ndim == 2 else ("jpeg", 88)
    return f"data:image/{kind};base64,{base64.b64encode(picture_bytes(pixels, quality)).decode()}"


def _loops(mask: Array) -> Iterator[list[Corner]]:
    """The corners along each border of a mask, clockwise around what is inside; the first is repeated at the end."""
    inside = np.pad(mask, 1)
    ways: dict[Corner, list[Corner]] = defaultdict(list)  # corner -> where the border goes on; two where pixels touch
    for beyond, start, stop in _SIDES:
        border = inside & ~np.roll(inside, (-beyond[0], -beyond[1]), (0, 1))
        for y, x in (np.argwhere(border) - 1).tolist():
            ways[y + start[0], x + start[1]].append((y + stop[0], x + stop[1]))
    while ways:
        loop = [next(iter(ways))]
        while len(loop) == 1 or loop[-1] != loop[0]:
            here, before = loop[-1], loop[-2] if len(loop) > 1 else loop[-1]
            to_the_right = (here[0] + here[1] - before[1], here[1] - here[0] + before[0])
            options = ways[here]
            options.remove(chosen := to_the_right if to_the_right in options else options[0])
            if not options:
                del ways[here]
            loop.append(chosen)
        yield loop


def _bends(loop: list[Corner]) -> list[tuple[float, float]]:
    """The middles of a loop's edges, without those on a straight line between their neighbours."""
    middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairwise(loop)]
    around = zip(middles[-1:] + middles[:-1], middles, middles[1:] + middles[:1], strict=True)
    return [b for a, b, c in around if (b[0] - a[0], b[1] - a[1]) != (c[0] - b[0], c[1] - b[1])]
