"""Shapes of the cardiac phantom: one random chest, drawn as continuous functions of position.

Everything is in millimetres and NumPy arrays of shape (x, y, z) float32. `s` is the position along the heart's long
axis: 0 at the valve plane (base), 1 at the outer apex. The heart is star-shaped about the axis of the left ventricle:
its borders are radii as functions of the angle and of `s`, so labels and images come from one description. `phantom.py`
turns the result into a noisy integer image.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossmatch.phantom.styles import Range

Floats = npt.NDArray[np.float32]

RV, MYO, LV = 1, 2, 3
MIN_RADIUS = 5.0
"""Outer radius of the left ventricle in mm below which the apex is taken to have ended."""
MAX_TURN = np.deg2rad(40.0)
"""Largest in-plane rotation of the heart about its mean pose, radians."""


def soft_inside(distance: Floats, width: float) -> Floats:
    """Share of a voxel inside a border, 0 to 1, from a signed distance (negative inside) and a border width in mm."""
    share: Floats = np.clip(0.5 - distance / width, 0.0, 1.0)
    return share


def paint(image: Floats, share: Floats, value: float | Floats) -> None:
    """Lay a tissue of grey `value` over `image` in place, `share` (0 to 1) being its part of each voxel."""
    image += share * (value - image)


@dataclass(frozen=True)
class Heart:
    """One patient's heart in one phase of the cycle; lengths in mm, angles in radians."""

    endo: float  # radius of the left cavity at the base
    wall: float  # mean wall thickness at the base
    rv_width: float  # greatest width of the right ventricle
    length: float  # base to outer apex
    taper: float  # exponent of the long-axis profile
    rv_end: float  # s at which the right ventricle ends
    rv_half_angle: float  # half of the angle over which it wraps the septum, at the base
    rv_skew: float  # how far the outflow leans to the front at the base
    turn: float  # in-plane rotation
    twist: float  # further rotation of the right ventricle from base to apex
    tilt: tuple[float, float]  # shift of the centre from base to apex
    ripples: npt.NDArray[np.float64]  # (6, 2): amplitude and phase of the angular deviations


def draw_heart(rng: np.random.Generator) -> Heart:
    """Draw a heart: normal, dilated, hypertrophic or with a large right ventricle, filled or contracted."""
    size = rng.uniform(0.85, 1.12)
    kind = rng.choice(["normal", "dilated", "hypertrophic", "right"], p=[0.4, 0.2, 0.2, 0.2])
    contracted = rng.random() < 0.45
    squeeze = (rng.uniform(0.8, 0.95) if kind == "dilated" else rng.uniform(0.6, 0.8)) if contracted else 1.0
    thicken = rng.uniform(1.2, 1.45) if contracted else 1.0
    cavity = {"dilated": 1.3, "hypertrophic": 0.88}.get(kind, 1.0)
    thickness = {"dilated": 0.82, "hypertrophic": 1.5}.get(kind, 1.0)
    amplitudes = rng.uniform(0.0, [0.09, 0.05, 0.3, 0.15, 1.0, 1.0])
    return Heart(
        endo=rng.uniform(19, 24) * size * cavity * squeeze,
        wall=rng.uniform(7.0, 9.5) * size * thickness * thicken,
        rv_width=rng.uniform(21, 31) * size * (1.4 if kind == "right" else 1.0) * (0.5 + 0.5 * squeeze),
        length=rng.uniform(70, 88) * size * (0.6 + 0.4 * squeeze),
        taper=rng.uniform(2.0, 3.0),
        rv_end=rng.uniform(0.68, 0.92),
        rv_half_angle=np.deg2rad(rng.uniform(58, 80)),
        rv_skew=rng.uniform(0.1, 0.5),
        turn=rng.uniform(-MAX_TURN, MAX_TURN),
        twist=rng.uniform(-0.35, 0.35),
        tilt=(rng.uniform(-9, 9), rng.uniform(-9, 9)),
        ripples=np.stack([amplitudes, rng.uniform(0, 2 * np.pi, 6)], axis=1),
    )


@dataclass(frozen=True)
class HeartBorders:
    """Signed distances (mm, negative inside) to the borders of a heart on one grid; arrays broadcast to (x, y, z)."""

    endo: Floats
    epi: Floats
    rv: Floats
    rv_wall: Floats
    fat: Floats
    base: Floats  # negative below the valve plane
    polar: tuple[Floats, Floats]  # radius in mm and angle from the left ventricle's axis
    endo_radius: Floats  # (1, 1, z)

    def label(self) -> npt.NDArray[np.uint8]:
        """Return the label map at the voxel centres: 0 background, 1 RV, 2 myocardium, 3 LV."""
        below = self.base < 0
        label = np.zeros(np.broadcast_shapes(self.epi.shape, below.shape), np.uint8)
        label[(self.rv < 0) & below] = RV
        label[(self.epi < 0) & below] = MYO
        label[(self.endo < 0) & below] = LV
        return label


def heart_borders(heart: Heart, x: Floats, y: Floats, s: Floats) -> HeartBorders:
    """Evaluate a heart on a grid: `x`, `y` in mm from its base centre, `s` along the long axis, broadcastable."""
    x, y = x - heart.tilt[0] * s, y - heart.tilt[1] * s
    r, angle = np.hypot(x, y), np.arctan2(y, x)

    def ripple(index: int, waves: int) -> Floats:
        amplitude, phase = heart.ripples[index]
        return np.float32(amplitude) * np.cos(waves * angle + np.float32(phase))

    depth = np.clip(s, 0.0, None)
    inner_apex = 1.0 - 0.7 * heart.wall / heart.length
    mean_endo = heart.endo * np.sqrt(np.clip(1 - (depth / inner_apex) ** heart.taper, 0, None))
    mean_epi = (heart.endo + heart.wall) * np.sqrt(np.clip(1 - depth**heart.taper, 0, None))
    mean_epi = np.where(mean_epi > MIN_RADIUS, mean_epi, 0)
    mean_endo = np.where(mean_epi > 0, mean_endo, 0)
    endo = mean_endo * (1 + ripple(0, 2) + ripple(1, 3))
    epi = endo + (mean_epi - mean_endo) * (1 + ripple(2, 1) + ripple(3, 2))
    # The right ventricle: a crescent of width `width` on the outer wall, within `half` of its middle.
    fade = np.clip(1 - (depth / heart.rv_end) ** 2, 0, None)
    outflow = np.exp(-depth / 0.15)
    half = heart.rv_half_angle * (0.55 + 0.45 * fade) * (1 + 0.12 * outflow)
    middle = np.pi + heart.turn + heart.twist * depth
    u = ((angle - middle + np.pi) % (2 * np.pi) - np.pi) / half
    u = u + heart.rv_skew * outflow * np.clip(1 - u**2, 0, None)
    width = heart.rv_width * fade**0.6 * (1 + 0.2 * outflow) * np.clip(1 - np.abs(u) ** 2.5, 0, None) ** 0.65
    width = np.where(width > 1.5, width, 0)
    rv_wall = epi + width + np.clip(0.5 * width, 0, 3.0)
    fat = rv_wall + 7 * np.clip(ripple(4, 1) + ripple(5, 3) - 0.1, 0, 1.2) * (mean_epi > 0)
    return HeartBorders(
        endo=r - endo,
        epi=r - epi,
        rv=np.where(width > 0, np.maximum(epi - r, r - epi - width), np.float32(9.0)),
        rv_wall=r - rv_wall,
        fat=r - fat,
        base=-s * heart.length,
        polar=(r, angle),
        endo_radius=mean_endo,
    )


def paint_chest(
    rng: np.random.Generator, grey: dict[str, float], x: Floats, y: Floats, s: Floats, heart_radius: float
) -> Floats:
    """Draw what surrounds a heart: body wall, lungs, liver, and round decoys (aorta, stomach, bowel, lung vessels).

    `x`, `y`, `s` as in `heart_borders`; `grey` has the tissues' grey values; decoys stay outside `heart_radius` (mm).
    """
    shape = np.broadcast_shapes(x.shape, y.shape, s.shape)
    image = np.zeros(shape, np.float32)
    facing, wall_gap = rng.uniform(-2.7, -0.9), rng.uniform(38, 70)
    body_radius, fat, muscle = rng.uniform(95, 150), rng.uniform(4, 24), rng.uniform(5, 13)
    inner = body_radius - fat - muscle
    away = inner - heart_radius * 0.6 - wall_gap * 0.6
    bx, by = x + away * np.cos(facing), y + away * np.sin(facing)
    r, angle = np.hypot(bx, by), np.arctan2(by, bx)
    body = r - body_radius * (1 + 0.05 * np.cos(2 * angle + rng.uniform(0, 6)) + 0.02 * np.cos(5 * angle))
    ribs = soft_inside(np.cos(angle * rng.uniform(9, 14) + 4 * s + rng.uniform(0, 6)) + 0.5, 0.6)
    paint(image, soft_inside(body, 2.0), grey["fat"])
    paint(image, soft_inside(body + fat, 2.5), grey["muscle"] + ribs * (grey["fat"] * 0.7 - grey["muscle"]))
    cavity = soft_inside(body + fat + muscle, 3.0)
    paint(image, cavity, grey["lung"])
    # Soft tissue on the side of the right ventricle in place of lung.
    if rng.random() < 0.65:
        toward, gap, waves = rng.uniform(1.7, 3.9), heart_radius * rng.uniform(0.6, 1.7), rng.uniform(8, 20, 2)
        border = (
            gap - x * np.cos(toward) - y * np.sin(toward) + 3 * np.sin(x / waves[0]) + 3 * np.cos(y / waves[1] + 3 * s)
        )
        tissue = grey["muscle"] * rng.uniform(0.8, 1.5) if rng.random() < 0.5 else grey["fat"] * rng.uniform(0.5, 0.9)
        paint(image, cavity * soft_inside(border, 4.0), tissue)
    # The diaphragm rises towards the apex; below it liver, with brighter vessels.
    level, rise, slope, bend = rng.uniform(28, 62), rng.uniform(0, 26), rng.uniform(-0.25, 0.25), rng.uniform(0, 0.006)
    diaphragm = level - rise * s + slope * x + bend * (x + rng.uniform(-20, 20)) ** 2
    veins = np.sin(x / rng.uniform(5, 9) + 2 * s + rng.uniform(0, 6)) * np.sin(
        y / rng.uniform(5, 9) + rng.uniform(0, 6)
    )
    paint(image, cavity * soft_inside(diaphragm - y, 4.0), grey["liver"] * (1 + 0.35 * np.clip(veins - 0.6, 0, 1)))

    def decoy(
        radius: Range, toward: Range, gap: Range, rim: Range, content: float, rim_grey: float, reach: Range
    ) -> None:
        size, direction, thick = rng.uniform(*radius), rng.uniform(*toward), rng.uniform(*rim)
        far = heart_radius + size + rng.uniform(*gap)
        lean, centre_s, extent = rng.uniform(-10, 10, 2), rng.uniform(0, 1), rng.uniform(*reach)
        cx, cy = far * np.cos(direction) + lean[0] * s, far * np.sin(direction) + lean[1] * s
        dx, dy, flat = x - cx, y - cy, rng.uniform(-0.2, 0.2)
        rr = np.hypot(dx * (1 + flat), dy * (1 - flat))
        border = rr - size * np.sqrt(np.clip(1 - ((s - centre_s) / extent) ** 2, 0, None))
        paint(image, cavity * soft_inside(border, 2.0), rim_grey)
        paint(image, cavity * soft_inside(border + thick, 2.5), content)

    for _ in range(rng.integers(2, 8)):  # lung vessels
        decoy((1.5, 4.5), (-3.1, 3.1), (3, 45), (0.2, 0.8), grey["lv"] * rng.uniform(0.6, 1), grey["lung"], (0.2, 0.9))
    contents = [grey["lv"], grey["rv"], grey["fat"], grey["lung"], grey["liver"]]
    for _ in range(rng.integers(0, 4)):  # stomach and bowel: rings that resemble a left ventricle
        content = float(rng.choice(contents, p=[0.35, 0.2, 0.15, 0.15, 0.15])) * rng.uniform(0.8, 1.1)
        rim_grey = grey["myo"] * rng.uniform(0.75, 1.4)
        decoy((8, 21), (-0.3, 2.4), (0, 22), (1.5, 8), content, rim_grey, (0.35, 1.2))
    if rng.random() < 0.85:  # descending aorta
        decoy((7, 13), (0.2, 1.6), (2, 24), (0.8, 2.0), grey["lv"] * rng.uniform(0.85, 1.15), grey["lung"], (3, 4))
    return image


def paint_heart(
    rng: np.random.Generator, image: Floats, grey: dict[str, float], heart: Heart, b: HeartBorders, s: Floats
) -> None:
    """Draw the heart over the chest in place: fat, ventricles, papillary muscles, and the atria above the base."""
    edge = rng.uniform(1.5, 3.5)
    below = soft_inside(b.base, 6.0)
    r, angle = b.polar
    # Above the valve plane: atria and outflow, blood without a label and nearly without a wall.
    above = np.clip(-s, 0, None)
    for centre, radius, blood in ((0.1, 0.95, "lv"), (heart.endo + heart.wall, 0.8, "rv")):
        turn = np.pi + heart.turn + rng.uniform(-0.5, 0.5)
        dx, dy = r * np.cos(angle) - centre * np.cos(turn), r * np.sin(angle) - centre * np.sin(turn)
        atrium = np.hypot(dx, dy) - radius * rng.uniform(0.7, 1.0) * heart.endo - 20 * above
        paint(image, (1 - below) * soft_inside(atrium - 2.5, edge), grey["rim"])
        paint(image, (1 - below) * soft_inside(atrium, edge), grey[blood])
    paint(image, below * soft_inside(b.fat, edge), grey["fat"] * rng.uniform(0.6, 1.0))
    paint(image, below * soft_inside(b.rv_wall, edge), grey["rim"])
    paint(image, below * soft_inside(b.rv, edge), grey["rv"])
    paint(image, below * soft_inside(b.epi, edge), grey["myo"])
    cavity = below * soft_inside(b.endo, edge)
    paint(image, cavity, grey["lv"])
    # Papillary muscles and trabeculae: dark inside the cavity, still labelled LV.
    strength = rng.uniform(0.3, 1.0)
    for place in (rng.uniform(-0.4, 0.6), rng.uniform(1.6, 2.6)):
        depth, size = rng.uniform(0.55, 0.8), rng.uniform(0.1, 0.24)
        px, py = np.cos(place + heart.turn), np.sin(place + heart.turn)
        gap = np.hypot(r * np.cos(angle) - depth * b.endo_radius * px, r * np.sin(angle) - depth * b.endo_radius * py)
        belly = np.clip(1 - ((s - 0.5) / 0.35) ** 2, 0, None)
        paint(
            image, strength * cavity * soft_inside(gap - size * b.endo_radius * belly, 2.5) * (belly > 0), grey["myo"]
        )
    if rng.random() < 0.4:  # flow: a bright or dark jet in the blood of a few slices
        where, at, amount = rng.uniform(-1, 1, 2) * heart.endo, rng.uniform(0, 0.8), rng.uniform(-0.45, 0.3)
        jet = np.exp(
            -((r * np.cos(angle) - where[0]) ** 2 + (r * np.sin(angle) - where[1]) ** 2) / rng.uniform(40, 200)
        )
        image *= 1 + amount * jet * np.exp(-(((s - at) / 0.15) ** 2)) * np.maximum(
            cavity, soft_inside(b.rv, edge) * below
        )
