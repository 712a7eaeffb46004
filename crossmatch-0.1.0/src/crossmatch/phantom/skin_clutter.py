"""What lies over the skin in a picture of the skin phantom: hair, a ruler's marks, gel bubbles, ink.

Positions and arrays as in `skin_lesion`; pictures are (3, x, y) float32, red, green and blue in [0, 1].
"""

import numpy as np
from scipy import ndimage

from crossmatch.phantom.heart_anatomy import Floats
from crossmatch.phantom.skin_lesion import Plane


class Strokes:
    """Thin curves, each with a width and a darkness, painted together."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.width = np.zeros(plane.shape, np.float32)  # of the stroke whose middle runs through a pixel; 0: none
        self.dark = np.zeros(plane.shape, np.float32)

    def add(
        self, start: tuple[float, float], bend: tuple[float, float], end: tuple[float, float], width: float, dark: float
    ) -> None:
        """A quadratic Bezier curve. `width` in halves of the smaller side; `dark` 0 to 1, below 0 for a bright one."""
        points = np.array([start, bend, end])
        length = np.abs(np.diff(points, axis=0)).sum() / self.plane.pixel
        t = np.linspace(0, 1, int(2 * length) + 2)[:, None]
        curve = (1 - t) ** 2 * points[0] + 2 * t * (1 - t) * points[1] + t**2 * points[2]
        pixels = np.floor(curve / self.plane.pixel + np.array(self.plane.shape) / 2).astype(int)
        inside = ((pixels >= 0) & (pixels < self.plane.shape)).all(axis=1)
        x, y = pixels[inside].T
        self.width[x, y], self.dark[x, y] = width, dark

    def paint(self, image: Floats, colour: Floats) -> None:
        """Lay the strokes over a picture in place; bright ones are white."""
        if not self.width.any():
            return
        distance, nearest = ndimage.distance_transform_edt(self.width == 0, return_indices=True)
        width, dark = self.width[tuple(nearest)] / self.plane.pixel, self.dark[tuple(nearest)]
        share = np.clip(0.5 + width / 2 - distance, 0, 1).astype(np.float32) * np.abs(dark)
        image += share * (np.where(dark > 0, colour[:, None, None], np.float32(0.9)) - image)


def add_hair(rng: np.random.Generator, image: Floats, plane: Plane) -> None:
    """Between none and 45 hairs, most along one direction, dark or seldom fair, in place."""
    count = int(rng.choice(np.array([0, rng.integers(1, 8), rng.integers(8, 46)]), p=[0.4, 0.35, 0.25]))
    strokes, main = Strokes(plane), rng.uniform(0, 2 * np.pi)
    fair = rng.random() < 0.15
    for _ in range(count):
        angle, length = main + rng.normal(0, 0.5), rng.uniform(0.4, 2.0)
        middle = rng.uniform(-1.4, 1.4, 2)
        along = length / 2 * np.array([np.cos(angle), np.sin(angle)])
        bend = middle + rng.normal(0, 0.18, 2)
        dark = -rng.uniform(0.3, 0.6) if fair else rng.uniform(0.5, 0.95)
        strokes.add(tuple(middle - along), tuple(bend), tuple(middle + along), rng.uniform(0.006, 0.016), dark)
    strokes.paint(image, np.array([0.12, 0.08, 0.07], np.float32) * np.float32(rng.uniform(0.3, 2.0)))


def add_ruler(rng: np.random.Generator, image: Floats, plane: Plane) -> None:
    """Marks of a ruler along one side of the picture, in place: long ones every fifth or tenth."""
    far = rng.uniform(0.6, 0.92) * rng.choice([-1, 1])
    upright, step, every = rng.random() < 0.5, rng.uniform(0.05, 0.13), int(rng.choice([5, 10]))
    tilt, width = rng.normal(0, 0.05), rng.uniform(0.006, 0.012)
    strokes = Strokes(plane)
    for number in range(int(3 / step)):
        along = -1.5 + number * step
        long = 0.16 if number % every == 0 else 0.08
        ends = [(far + tilt * along, along), (far + tilt * along - np.sign(far) * long, along - tilt * long)]
        start, end = ends if upright else [(b, a) for a, b in ends]
        strokes.add(start, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), end, width, 0.8)
    strokes.paint(image, np.array([0.1, 0.1, 0.12], np.float32))


def add_bubbles(rng: np.random.Generator, image: Floats, plane: Plane) -> None:
    """Bubbles in the gel: round rims, bright on one side and dark on the other, in place."""
    for _ in range(rng.integers(2, 14)):
        centre, radius = rng.uniform(-1.2, 1.2, 2), float(np.exp(rng.uniform(np.log(0.02), np.log(0.16))))
        x, y = plane.x - np.float32(centre[0]), plane.y - np.float32(centre[1])
        distance = np.hypot(x, y)
        rim = np.exp(-(((distance - radius) / (0.012 + 0.08 * radius)) ** 2))
        light = rng.uniform(0, 2 * np.pi)
        side = (x * np.cos(light) + y * np.sin(light)) / np.clip(distance, 1e-3, None)
        image += np.float32(rng.uniform(0.1, 0.35)) * rim * (0.4 + side)
        inside = np.clip((radius - distance) / 0.01, 0, 1)
        image += np.float32(rng.uniform(-0.04, 0.06)) * inside


def add_ink(rng: np.random.Generator, image: Floats, plane: Plane) -> None:
    """A mark of a surgeon's pen or a coloured sticker at the rim of the picture, in place."""
    colour = np.array([(0.30, 0.20, 0.55), (0.15, 0.30, 0.60), (0.85, 0.55, 0.15), (0.20, 0.55, 0.35)], np.float32)[
        rng.integers(4)
    ]
    angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.5)
    reach = np.array(plane.shape) / min(plane.shape)
    centre = (np.array([np.cos(angle), np.sin(angle)]) * (reach + 0.4 * radius)).astype(np.float32)
    outside = np.hypot(plane.x - centre[0], plane.y - centre[1]) - radius + 0.06 * plane.noise(rng, 0.4)
    share = np.float32(rng.uniform(0.4, 0.95)) * np.clip(0.5 - outside / 0.03, 0, 1)
    image += share * (colour[:, None, None] - image)
