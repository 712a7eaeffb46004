"""Lesions of the skin phantom: their border, and the pigment and blood within.

Positions are in units of half the picture's smaller side, from its middle; arrays are (x, y) float32. A lesion is
star-shaped about its centre before its plane is warped, so that label and picture come from one description. `skin.py`
turns pigment and blood into colours.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from crossmatch.phantom.heart_anatomy import Floats
from crossmatch.phantom.styles import Range


class Plane:
    """The pixels' positions in a picture of (width, height) pixels.

    Attributes:
        x, y: of pixel centres, (width, 1) and (1, height), in halves of the smaller side.
        pixel: side of a pixel in that unit.
    """

    def __init__(self, width: int, height: int) -> None:
        self.shape = (width, height)
        self.pixel = 2 / min(width, height)
        self.x = ((np.arange(width) + 0.5 - width / 2) * self.pixel).astype(np.float32)[:, None]
        self.y = ((np.arange(height) + 0.5 - height / 2) * self.pixel).astype(np.float32)[None]

    def noise(self, rng: np.random.Generator, length: float) -> Floats:
        """A smooth random field (x, y) of standard deviation about 1 whose hills are about `length` wide."""
        step = max(1.0, length / self.pixel / 2)
        knots = [int(np.ceil(n / step)) + 4 for n in self.shape]
        grid = rng.standard_normal(knots, np.float32)
        if step == 1.0:
            return grid[: self.shape[0], : self.shape[1]]
        offset = rng.uniform(1, 2, 2)
        rows, columns = (np.arange(n) / step + o for n, o in zip(self.shape, offset, strict=True))
        # a separable cubic B-spline through the knots, as matrices: far quicker than a look-up for each pixel
        fine: Floats = np.asarray(_spline(rows, knots[0]) @ grid @ _spline(columns, knots[1]).T, np.float32)
        return fine * np.float32(1.6)


def _spline(places: npt.NDArray[np.float64], knots: int) -> Floats:
    """Weights (places, knots) of the uniform cubic B-spline."""
    distance = np.abs(places[:, None] - np.arange(knots)[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


@dataclass(frozen=True)
class LesionKind:
    """A kind of lesion: ranges from which a case draws."""

    melanin: Range  # added to the skin's
    blood: Range  # added to the skin's
    uneven: Range  # relative spread of pigment over the lesion
    irregular: Range  # of the border: share of the radius
    soft: Range  # width of the border, share of the radius
    network: Range  # relative depth of the pigment network
    veil: float  # how often a blue-white veil lies over a part
    pale: float  # how often a part has lost its pigment
    dots: float  # how often it has dots or globules


LESIONS = {
    "naevus: even, soft": LesionKind(
        (0.3, 1.1), (0.0, 0.2), (0.1, 0.3), (0.02, 0.07), (0.1, 0.5), (0.0, 0.5), 0, 0.1, 0.3
    ),
    "melanoma: uneven, several colours": LesionKind(
        (0.4, 1.9), (0.0, 0.4), (0.3, 0.7), (0.07, 0.2), (0.06, 0.5), (0.1, 0.6), 0.5, 0.5, 0.6
    ),
    "keratosis: sharp, waxy": LesionKind(
        (0.15, 0.9), (0.0, 0.15), (0.15, 0.45), (0.04, 0.14), (0.03, 0.12), (0.0, 0.2), 0.1, 0.2, 0.5
    ),
    "pink: little pigment": LesionKind(
        (-0.03, 0.2), (0.15, 0.6), (0.2, 0.5), (0.04, 0.14), (0.15, 0.6), (0.0, 0.15), 0.05, 0.3, 0.3
    ),
}
KIND_SHARES = (0.4, 0.25, 0.15, 0.2)


@dataclass(frozen=True)
class Lesion:
    """A lesion of a picture: all of (x, y)."""

    label: npt.NDArray[np.uint8]  # 1 inside its border
    melanin: Floats  # added to the skin's
    blood: Floats  # added to the skin's
    veil: Floats  # share of blue-white veil, 0 to 1


def draw_lesion(rng: np.random.Generator, plane: Plane) -> Lesion:
    """Draw a lesion of any kind: 9 to 40 % of the smaller side in radius, near the middle, seldom cut by the edge."""
    kind = tuple(LESIONS.values())[rng.choice(len(LESIONS), p=KIND_SHARES)]
    radius = float(np.exp(rng.uniform(np.log(0.18), np.log(0.8))))
    border = _border(rng, plane, kind, radius)
    label = _one_piece(border < 0)
    width = np.float32(rng.uniform(*kind.soft)) * np.exp(np.float32(0.5) * plane.noise(rng, radius))
    share: Floats = 1 / (1 + np.exp(np.clip(4 * border / width, -30, 30)))
    depth = np.clip(-border, 0, 1)  # 0 at the border, 1 at the centre
    pigment = 1 + np.float32(rng.uniform(*kind.uneven)) * (
        plane.noise(rng, 0.7 * radius) + 0.6 * plane.noise(rng, 0.25 * radius)
    )
    pigment *= 1 + np.float32(rng.uniform(-0.3, 0.5)) * depth
    pigment *= 1 + np.float32(rng.uniform(*kind.network)) * _network(rng, plane)
    if rng.random() < kind.pale:
        pigment *= 1 - np.float32(rng.uniform(0.4, 1.0)) * _part(plane.noise(rng, radius), rng.uniform(0.3, 1.0))
    if rng.random() < kind.dots:
        dots = _part(plane.noise(rng, rng.uniform(0.02, 0.05)), rng.uniform(1.2, 1.8))
        pigment += np.float32(rng.uniform(0.3, 1.2)) * dots * (plane.noise(rng, radius) > 0)
    veil = np.zeros(plane.shape, np.float32)
    if rng.random() < kind.veil:
        veil = np.float32(rng.uniform(0.2, 0.7)) * _part(plane.noise(rng, radius), rng.uniform(0.2, 0.9)) * share
    melanin = np.float32(rng.uniform(*kind.melanin)) * np.clip(pigment, 0, 3)
    blood = np.float32(rng.uniform(*kind.blood)) * np.clip(1 + 0.5 * plane.noise(rng, 0.5 * radius), 0, 3)
    return Lesion(label, melanin * share, blood * share, veil)


def _border(rng: np.random.Generator, plane: Plane, kind: LesionKind, radius: float) -> Floats:
    """Signed distance from the border in radii, negative inside (x, y)."""
    half = np.array(plane.shape) / min(plane.shape)
    centre = rng.normal(0, 0.16, 2) * half
    irregular = rng.uniform(*kind.irregular)
    warp = np.float32(irregular * radius)
    x = plane.x - np.float32(centre[0]) + warp * plane.noise(rng, 0.6 * radius)
    y = plane.y - np.float32(centre[1]) + warp * plane.noise(rng, 0.6 * radius)
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.7) ** 0.5
    along = (x * np.cos(turn) + y * np.sin(turn)) / stretch
    across = (y * np.cos(turn) - x * np.sin(turn)) * stretch
    angle = np.arctan2(across, along)
    outline = np.ones_like(angle)
    for wave in range(2, 9):
        outline += irregular * rng.uniform(0, 2 / wave) * np.cos(wave * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    fine = 0.3 * irregular * plane.noise(rng, 0.2 * radius)
    border: Floats = (np.hypot(along, across) / radius / np.clip(outline, 0.4, None) - 1 + fine).astype(np.float32)
    return border


def _one_piece(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The largest component, its holes filled."""
    parts, count = ndimage.label(inside)
    if count > 1:
        inside = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    filled: npt.NDArray[np.uint8] = ndimage.binary_fill_holes(inside).astype(np.uint8)
    return filled


def _network(rng: np.random.Generator, plane: Plane) -> Floats:
    """A pigment network: a mesh of lines, up to 1, round pale holes, down to -1."""
    mesh = rng.uniform(0.025, 0.06)
    lines = 1 - np.clip(np.abs(plane.noise(rng, mesh)) * 1.5, 0, 2)
    strength = np.clip(0.5 + 0.5 * plane.noise(rng, 0.4), 0, 1)
    net: Floats = lines * strength
    return net


def _part(field: Floats, level: float) -> Floats:
    """1 where a field is above a level, 0 below, with a soft border."""
    share: Floats = np.clip((field - np.float32(level)) / 0.3 + 0.5, 0, 1)
    return share
