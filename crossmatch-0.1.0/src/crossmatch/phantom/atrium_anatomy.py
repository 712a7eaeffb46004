"""Shapes of the atrium phantom: one random left atrium with its veins, as continuous functions of position.

Lengths are in mm in the patient's frame: x to the left, y to the back, z to the head, origin at the centre of the
atrial body. Arrays are (x, y, z) float32; borders are signed distances, negative inside, true to first order near the
border. Waves laid over a border are less steep than 1 in sum, so they dent it but tear no islands off.
`atrium.py` paints the shapes and turns the result into a noisy integer image.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossmatch.phantom.heart_anatomy import Floats

Vector = npt.NDArray[np.float64]

VEINS = {  # side of the body from which a pulmonary vein leaves: multiples of the body's radii
    "right superior": (-0.72, 0.38, 0.50),
    "right inferior": (-0.70, 0.55, -0.42),
    "left superior": (0.74, 0.42, 0.48),
    "left inferior": (0.68, 0.62, -0.38),
    "left common": (0.76, 0.55, 0.08),
    "right middle": (-0.80, 0.40, 0.02),
}


def unit(vector: Vector) -> Vector:
    """Scale a vector to length 1."""
    scaled: Vector = vector / np.linalg.norm(vector)
    return scaled


@dataclass(frozen=True)
class VoxelCentres:
    """The voxel centres of a volume in the patient's frame: `origin + axes @ index`."""

    shape: tuple[int, int, int]
    axes: Vector  # (3, 3): a column is the step to the next voxel along one array axis
    origin: Vector  # (3,): the first voxel

    def along(self, direction: Vector, start: Vector) -> Floats:
        """How far each voxel lies from `start` along `direction`: the dot product, (x, y, z)."""
        steps = direction @ self.axes
        x, y, z = (np.arange(n) * step for n, step in zip(self.shape, steps, strict=True))
        x = x + direction @ (self.origin - start)
        ahead: Floats = x.astype(np.float32)[:, None, None] + (y[:, None] + z).astype(np.float32)[None]
        return ahead

    def wave(self, rng: np.random.Generator, length_mm: float) -> Floats:
        """A plane wave of values -1 to 1 with a random direction and phase."""
        direction = unit(rng.standard_normal(3)) * 2 * np.pi / length_mm
        wave: Floats = np.sin(self.along(direction, np.zeros(3)) + np.float32(rng.uniform(0, 2 * np.pi)))
        return wave


def ellipsoid(grid: VoxelCentres, centre: Vector, radii: Vector, frame: Vector) -> Floats:
    """Signed distance to an ellipsoid with `radii` along the rows of the rotation `frame`, to first order."""
    level = np.zeros(grid.shape, np.float32)
    slope = np.zeros(grid.shape, np.float32)
    for direction, radius in zip(frame, radii, strict=True):
        squared = grid.along(direction / radius, centre) ** 2
        level += squared
        slope += squared / np.float32(radius**2)
    level = np.sqrt(level)
    distance: Floats = level * (level - 1) / np.sqrt(slope + 1e-9)
    return distance


def tube(grid: VoxelCentres, start: Vector, direction: Vector, bend: Vector) -> tuple[Floats, Floats]:
    """Distance from the bent line `start + t direction + t^2 bend`, t >= 0, and the t of each voxel.

    `direction` has length 1. The distance is taken across `direction`, so it is somewhat too large where the line
    has turned away from it. `bend` counts only across `direction`.
    """
    bend = bend - direction * (bend @ direction)
    squared = sum(grid.along(axis, start) ** 2 for axis in np.eye(3))
    ahead = grid.along(direction, start)
    t = np.maximum(ahead, 0)
    squared = squared - 2 * t * ahead + t**2
    squared += t**2 * (t**2 * np.float32(bend @ bend) - 2 * grid.along(bend, start))
    return np.sqrt(np.maximum(squared, 0)), ahead


def blend(a: Floats, b: Floats, width: float) -> Floats:
    """Union of two borders with a rounded seam of `width` mm (polynomial smooth minimum)."""
    share = np.clip(0.5 + (b - a) / (2 * width), 0, 1)
    union: Floats = b + (a - b) * share - width * share * (1 - share)
    return union


@dataclass(frozen=True)
class Vein:
    """A pulmonary vein: a bent tube from inside the body, labelled up to `reach` mm from the body's wall."""

    start: Vector
    direction: Vector
    bend: Vector
    radius: float
    reach: float


@dataclass(frozen=True)
class Atrium:
    """One patient's left atrium; lengths in mm."""

    radii: Vector  # of the body
    ripples: tuple[tuple[float, float], ...]  # irregularities of the body: amplitude / wavelength, and wavelength
    valve: Vector  # centre of the mitral valve
    outflow: Vector  # direction from the atrium into the left ventricle, normal of the mitral plane
    appendage: tuple[Vector, Vector, Vector]  # start, direction, bend
    appendage_size: tuple[float, float]  # radius at its mouth, and length
    veins: tuple[Vein, ...]


def draw_atrium(rng: np.random.Generator) -> Atrium:
    """Draw an atrium: normal, dilated or flattened, with three to five pulmonary veins."""
    shape = {"normal": (1.0, 1.0, 1.0), "dilated": (1.05, 1.3, 1.1), "flat": (1.1, 0.82, 1.0)}
    kind = rng.choice(list(shape), p=[0.45, 0.3, 0.25])
    radii = rng.uniform([23, 15, 17], [30, 20, 22]) * shape[str(kind)] * rng.uniform(0.85, 1.15)
    outflow = unit(np.array([0.5, -0.72, -0.45]) + rng.normal(0, 0.12, 3))
    support = np.linalg.norm(radii * outflow)
    valve = radii**2 * outflow / support * rng.uniform(0.62, 0.8)
    chosen = ["right superior", "right inferior", "left superior", "left inferior"]
    pattern = rng.random()
    if pattern < 0.2:
        chosen = [*chosen[:2], "left common"]
    elif pattern < 0.38:
        chosen = [*chosen, "right middle"]
    mouth = np.array([0.62, -0.45, 0.35]) + rng.normal(0, 0.08, 3)
    return Atrium(
        radii=radii,
        ripples=tuple((rng.uniform(0.3, 1.0) / 32, rng.uniform(24, 64)) for _ in range(5)),
        valve=valve,
        outflow=outflow,
        appendage=(
            radii * mouth,
            unit(np.array([0.55, -0.75, 0.2]) + rng.normal(0, 0.25, 3)),
            rng.normal(0, 0.006, 3),
        ),
        appendage_size=(rng.uniform(6, 10), rng.uniform(20, 36)),
        veins=tuple(draw_vein(rng, name, radii) for name in chosen),
    )


def draw_vein(rng: np.random.Generator, name: str, radii: Vector) -> Vein:
    """Draw one pulmonary vein of a body with `radii`; `name` is one of `VEINS`."""
    side = np.array(VEINS[name]) + rng.normal(0, 0.07, 3)
    onwards = unit(side * (1.0, 0.75, 0.7)) + rng.normal(0, 0.15, 3)
    widest = {"left common": (4.2, 5.0), "right middle": (2.5, 3.2)}.get(name, (2.7, 4.8))
    return Vein(
        start=0.75 * radii * side,
        direction=unit(onwards),
        bend=unit(rng.standard_normal(3)) * rng.uniform(0.001, 0.007),
        radius=rng.uniform(*widest),
        reach=rng.uniform(6, 14),
    )


@dataclass(frozen=True)
class AtriumBorders:
    """Signed distances (mm, negative inside) of an atrium on one grid, each (x, y, z)."""

    body: Floats  # body and appendage, closed by the mitral plane
    veins: Floats  # the veins as far as they are seen
    labelled_veins: Floats  # the veins as far as they are labelled
    beyond: Floats  # positive on the ventricle's side of the mitral plane

    def label(self) -> npt.NDArray[np.uint8]:
        """Return the label map at the voxel centres: 0 background, 1 left atrium."""
        inside: npt.NDArray[np.uint8] = (np.minimum(self.body, self.labelled_veins) < 0).astype(np.uint8)
        return inside


def atrium_borders(rng: np.random.Generator, atrium: Atrium, grid: VoxelCentres) -> AtriumBorders:
    """Evaluate an atrium on a grid; `rng` draws the directions of the ripples and the appendage's lobes."""
    body = ellipsoid(grid, np.zeros(3), atrium.radii, np.eye(3))
    for steepness, length_mm in atrium.ripples:
        body += np.float32(steepness * length_mm) * grid.wave(rng, length_mm)
    beyond = grid.along(atrium.outflow, atrium.valve)
    gap, t = tube(grid, *atrium.appendage)
    mouth, length = atrium.appendage_size
    lobe_mm = rng.uniform(8, 14)
    lobes = rng.uniform(0.05, 0.12) * lobe_mm * grid.wave(rng, lobe_mm)
    part = np.clip(t / length, 0, 1)
    appendage = np.maximum(gap - mouth * (1 - 0.45 * part) + lobes * part, t - length)
    veins = np.full(grid.shape, 99.0, np.float32)
    labelled = veins.copy()
    for vein in atrium.veins:
        gap, t = tube(grid, vein.start, vein.direction, vein.bend)
        border = gap - vein.radius * np.clip(1 - t / 160, 0.6, 1)
        veins = np.minimum(veins, border)
        labelled = np.minimum(labelled, np.maximum(border, body - vein.reach))
    closed = blend(np.maximum(body, beyond), appendage, 4.0)
    return AtriumBorders(closed, blend(veins, closed, 2.0), blend(labelled, closed, 2.0), beyond)
