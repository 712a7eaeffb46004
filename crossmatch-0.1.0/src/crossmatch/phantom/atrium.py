"""The phantom of a left atrium: synthetic contrast-enhanced MR volumes in 3D, with thin pulmonary veins.

`draw_case` draws one patient; `phantom.make_phantom` writes a dataset of them. Arrays are (x, y, z) in the file's
order. What a seed draws changes only together with `ATRIUM_VERSION`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from crossmatch.phantom.atrium_anatomy import (
    Atrium,
    AtriumBorders,
    Vector,
    VoxelCentres,
    atrium_borders,
    draw_atrium,
    ellipsoid,
    tube,
    unit,
)
from crossmatch.phantom.heart_anatomy import Floats, paint, soft_inside
from crossmatch.phantom.styles import ATRIUM_STYLES, AtriumStyle, Range

ATRIUM_VERSION = 1
ATRIUM_LABELS = {"background": 0, "LA": 1}
MAX_MUSCLE_SHARE = 0.6
"""Muscle is never brighter than this share of the atrium's blood: the wall stays visible."""
MARGIN_MM = 6.0
"""The atrial body keeps this distance from the volume's faces where the volume is large enough."""
EYE = np.eye(3)


def draw_case(
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Draw one synthetic patient: image and label, both (x, y, z), and the affine (4, 4) from voxels to mm.

    64 to 88 x 56 to 80 x 40 to 52 voxels of 1.2 to 1.5 mm. Labels as in `ATRIUM_LABELS`.
    """
    atrium = draw_atrium(rng)
    shape = (int(rng.integers(64, 89)), int(rng.integers(56, 81)), int(rng.integers(40, 53)))
    in_plane_mm, step_mm = rng.uniform(1.2, 1.5, 2)
    spacing_mm = np.array([in_plane_mm, in_plane_mm, step_mm])
    pose = Rotation.from_euler("zxy", rng.uniform(-20, 20, 3), degrees=True).as_matrix()
    axes = pose * spacing_mm
    room = np.clip((np.array(shape) - 1) * spacing_mm / 2 - atrium.radii - MARGIN_MM, 0, 12)
    centre = pose @ (rng.uniform(-1, 1, 3) * room)  # of the volume, in the patient's frame
    grid = VoxelCentres(shape, axes, centre - axes @ (np.array(shape) - 1) / 2)
    borders = atrium_borders(rng, atrium, grid)
    style = tuple(ATRIUM_STYLES.values())[rng.integers(len(ATRIUM_STYLES))]
    grey = draw_grey(rng, style)
    image = paint_chest(rng, grey, grid, atrium.radii)
    paint_heart(rng, image, grey, grid, atrium, borders)
    return degrade(rng, image, grid, style), borders.label(), draw_affine(rng, shape, spacing_mm, pose)


def draw_grey(rng: np.random.Generator, style: AtriumStyle) -> dict[str, float]:
    """Draw the tissues' grey values for one case of a scanner style."""
    blood = rng.uniform(*style.blood)
    muscle = min(rng.uniform(*style.muscle), MAX_MUSCLE_SHARE * blood)
    right = blood * rng.uniform(*style.right)
    return {
        "left": blood,
        "right": right,
        "artery": right * rng.uniform(0.92, 1.08),
        "aorta": blood * rng.uniform(0.8, 1.05),
        "muscle": muscle,
        "wall": muscle * rng.uniform(0.8, 1.2),
        "scar": rng.uniform(*style.wall),
        "fat": rng.uniform(*style.fat),
        "lung": rng.uniform(*style.lung),
        "marrow": muscle * rng.uniform(0.8, 1.7),
    }


def paint_chest(rng: np.random.Generator, grey: dict[str, float], grid: VoxelCentres, radii: Vector) -> Floats:
    """Draw what surrounds the heart: mediastinum, lungs with vessels, back, spine, oesophagus, descending aorta.

    `radii` are those of the atrial body at the grid's origin; `grey` has the tissues' grey values.
    """
    x, y, z = (grid.along(axis, np.zeros(3)) for axis in EYE)
    a, b, _ = radii
    image = np.full(grid.shape, grey["fat"] * rng.uniform(0.6, 1.0), np.float32)
    back = b + rng.uniform(34, 50)
    for side in (-1, 1):
        inward = a + rng.uniform(3, 16) - side * x - rng.uniform(0, 0.5) * y + 4 * grid.wave(rng, 60)
        lung = np.maximum(inward, y - back + 0.006 * (x - side * 45) ** 2)
        paint(image, soft_inside(lung, 2.5), grey["lung"])
    for _ in range(rng.integers(4, 9)):  # lung vessels
        side = rng.choice([-1.0, 1.0])
        start = np.array([side * rng.uniform(a + 6, a + 24), rng.uniform(-20, back - 6), rng.uniform(-25, 25)])
        direction = unit(rng.standard_normal(3) * (0.6, 1.0, 1.0))
        gap, _ = tube(grid, start - 20 * direction, direction, rng.normal(0, 0.006, 3))
        paint(image, soft_inside(gap - rng.uniform(1.5, 4.0), 2.0), grey["artery"] * rng.uniform(0.8, 1.1))
    up = unit(np.array([0, 0, 1]) + rng.normal(0, 0.06, 3))

    def upright(place: tuple[float, float], size: float) -> Floats:
        gap, _ = tube(grid, np.array([*place, 0.0]) - 90 * up, up, np.zeros(3))
        border: Floats = gap - np.float32(size)
        return border

    paint(
        image, soft_inside(back - y - 3 * np.cos(x / rng.uniform(7, 12)), 3.0), grey["muscle"] * rng.uniform(0.8, 1.3)
    )
    middle, size = rng.uniform(-8, 4), rng.uniform(15, 20)
    front = b + rng.uniform(11, 18)  # of the vertebral bodies
    discs = np.cos(z * np.float32(2 * np.pi / rng.uniform(26, 34)) + np.float32(rng.uniform(0, 6)))
    body = upright((middle, front + size), size)
    paint(image, soft_inside(body - 2, 2.0), grey["muscle"] * 0.6)
    paint(image, soft_inside(body, 2.0), grey["marrow"] * (1 - 0.5 * soft_inside(0.8 - discs, 0.3)))
    paint(image, soft_inside(upright((middle, front + 2 * size + 8), 8), 2.0), grey["marrow"] * rng.uniform(0.5, 1.6))
    aorta = rng.uniform(8.5, 13)
    place = (middle + size * 0.5 + aorta * rng.uniform(0.8, 1.1), front + rng.uniform(-2, 8))
    paint(image, soft_inside(upright(place, aorta + 1.5), 2.0), grey["wall"])
    paint(image, soft_inside(upright(place, aorta), 2.0), grey["aorta"])
    gullet, lumen = rng.uniform(5, 8), rng.uniform(1, 3.5)
    place = (rng.uniform(-8, place[0] - aorta), b + gullet + rng.uniform(1, 3))
    paint(image, soft_inside(upright(place, gullet), 2.0), grey["muscle"] * rng.uniform(0.9, 1.5))
    content = rng.choice([grey["lung"], grey["muscle"], grey["left"]], p=[0.4, 0.4, 0.2])
    paint(image, soft_inside(upright(place, lumen), 2.0), float(content))
    return image


def paint_heart(
    rng: np.random.Generator,
    image: Floats,
    grey: dict[str, float],
    grid: VoxelCentres,
    atrium: Atrium,
    b: AtriumBorders,
) -> None:
    """Draw the heart over the chest in place: great vessels and right heart, left ventricle, then the left atrium."""
    edge = rng.uniform(1.5, 2.5)
    rx, ry, rz = atrium.radii
    top = rz + rng.uniform(8, 14)  # height of the pulmonary arteries over the roof
    length, cavity, muscle = rng.uniform(28, 36), rng.uniform(18, 25), rng.uniform(7, 12)
    ventricle = atrium.valve + 0.8 * length * atrium.outflow  # its base is the mitral plane, narrower than its middle

    def vessel(start: Sequence[float], direction: Sequence[float], radius: Range) -> Floats:
        onwards = unit(np.array(direction) + rng.normal(0, 0.1, 3))
        gap, _ = tube(grid, np.array(start), onwards, rng.normal(0, 0.003, 3))
        border: Floats = gap - np.float32(rng.uniform(*radius))
        return border

    def chamber(centre: Sequence[float] | Vector, least: Sequence[float], most: Sequence[float]) -> Floats:
        return ellipsoid(grid, np.array(centre) + rng.normal(0, 2.5, 3), rng.uniform(least, most), EYE)

    def lay(border: Floats, blood: str) -> None:
        paint(image, soft_inside(border - rng.uniform(1.2, 3.0), edge), grey["wall"])
        paint(image, soft_inside(border, edge), grey[blood])

    lay(vessel((22, -ry - 20, 5), (-0.1, 0.45, 0.9), (10, 14)), "artery")  # pulmonary trunk
    lay(vessel((14, -0.4 * ry, top), (-1.0, 0.25, 0.0), (7, 10.5)), "artery")  # right branch, over the roof
    lay(vessel((14, -0.4 * ry, top + 2), (0.8, 0.6, 0.1), (6.5, 9.5)), "artery")  # left branch
    lay(vessel((-rx - rng.uniform(0, 6), -0.5 * ry, -5), (0, 0, 1), (7.5, 10.5)), "right")  # superior vena cava
    lay(chamber((-rng.uniform(0.55, 0.8) * rx - 14, -ry - 9, -8), (18, 16, 20), (26, 22, 27)), "right")  # right atrium
    lay(chamber(ventricle - (26, 12, 6), (24, 18, 22), (32, 24, 28)), "right")  # right ventricle
    frame = np.linalg.svd(atrium.outflow[None])[2]  # an orthonormal frame whose first row is the outflow
    outer = ellipsoid(grid, ventricle, np.array([length, cavity, cavity]) + muscle, frame)
    paint(image, soft_inside(np.maximum(outer, -1 - b.beyond), edge), grey["muscle"])
    lay(vessel((-5, -ry - rng.uniform(9, 13), -9), (-0.25, -0.1, 1.0), (11, 15)), "aorta")  # ascending aorta
    # Atrial wall, partly enhanced; then the blood of atrium, veins and ventricle, without a border between them.
    scar: Floats = np.clip(grid.wave(rng, rng.uniform(20, 40)) + grid.wave(rng, 25), 0, 1) * np.float32(grey["scar"])
    wall = np.minimum(b.body, b.veins) - np.float32(rng.uniform(1.8, 3.2))
    paint(image, soft_inside(wall, edge), grey["wall"] + scar)
    inner: Floats = np.maximum(ellipsoid(grid, ventricle, np.array([length, cavity, cavity]), frame), -1.5 - b.beyond)
    blood: Floats = np.minimum(np.minimum(b.body, b.veins), inner)
    paint(image, soft_inside(blood, edge), grey["left"])
    # Leaflets of the mitral valve: thin and faint, in the ventricle close to the plane.
    depth: Floats = 0.2 * np.clip(-inner, 0, None)
    leaflet = np.abs(b.beyond - depth - np.float32(rng.uniform(1, 3))) - 0.8
    paint(image, rng.uniform(0.15, 0.6) * soft_inside(leaflet, 1.5) * soft_inside(inner, 2.0), grey["muscle"])
    if rng.random() < 0.5:  # flow: brighter or darker blood where it enters
        vein = atrium.veins[rng.integers(len(atrium.veins))]
        jet, ahead = tube(grid, vein.start, -vein.direction, np.zeros(3))
        amount = rng.uniform(-0.35, 0.25) * np.exp(-((jet / 7) ** 2)) * np.exp(-((ahead / 18) ** 2))
        image *= 1 + amount * soft_inside(blood, edge)


def degrade(rng: np.random.Generator, image: Floats, grid: VoxelCentres, style: AtriumStyle) -> npt.NDArray[np.int16]:
    """Turn clean grey values (x, y, z) into an acquired image: texture, bias, blur, Rician noise, integers."""
    texture = ndimage.gaussian_filter(rng.standard_normal(grid.shape, np.float32), 1.2, truncate=2.5)
    image = image * (1 + rng.uniform(0.03, 0.09) / texture.std() * texture)
    field = sum(rng.uniform(0.3, 1) * grid.wave(rng, length) for length in (140.0, 200.0, 260.0))
    log_gain = rng.uniform(*style.bias) * field / np.abs(field).max()
    if rng.random() < 0.3:  # a stripe darkened by the breathing navigator's excitation
        side = unit(np.array([1.0, 0.0, 0.0]) + rng.normal(0, 0.3, 3))
        stripe = grid.along(side, np.array([rng.uniform(-40, 10), 0, 0]))
        log_gain = log_gain - rng.uniform(0.15, 0.45) * np.exp(-((stripe / np.float32(rng.uniform(4, 8))) ** 2))
    image = np.clip(image * np.exp(log_gain), 0, None) ** rng.uniform(*style.gamma)
    image = ndimage.gaussian_filter(image, rng.uniform(*style.blur), truncate=3.0)
    sigma = rng.uniform(*style.noise)
    real, imaginary = sigma * rng.standard_normal((2, *image.shape), np.float32)
    full_scale = np.exp(rng.uniform(np.log(200), np.log(3000)))
    volume: npt.NDArray[np.int16] = np.round(full_scale * np.hypot(image + real, imaginary)).astype(np.int16)
    return volume


def draw_affine(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: Vector, pose: Vector
) -> npt.NDArray[np.float64]:
    """The affine from voxels to mm (to the right-anterior-superior frame of NIfTI) of a volume turned by `pose`."""
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1.0, -1.0, 1.0]) @ pose * spacing_mm
    affine[:3, 3] = rng.uniform(-40, 40, 3) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine
