"""The phantom of skin: synthetic dermoscopy pictures in colour, each with one lesion.

`draw_case` draws one picture; `phantom.make_phantom` writes a dataset of them. Pictures are (3, x, y), red, green and
blue, labels (x, y), x being the column. What a seed draws changes only together with `SKIN_VERSION`.

Colours come from what skin is made of: light is absorbed by melanin and by blood, each with its own strength for red,
green and blue (Beer-Lambert), so that tones of skin and colours of lesions vary together as they do in people.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from crossmatch.phantom.heart_anatomy import Floats
from crossmatch.phantom.skin_clutter import add_bubbles, add_hair, add_ink, add_ruler
from crossmatch.phantom.skin_lesion import Lesion, Plane, draw_lesion
from crossmatch.phantom.styles import SKIN_STYLES, SkinStyle

SKIN_VERSION = 1
SKIN_LABELS = {"background": 0, "lesion": 1}
MELANIN = np.array([0.75, 1.25, 1.85], np.float32)
"""Absorption of one unit of melanin in red, green and blue."""
BLOOD = np.array([0.12, 1.05, 0.80], np.float32)
"""Absorption of one unit of blood."""
DERMIS = np.array([0.97, 0.88, 0.83], np.float32)
"""What skin without melanin and blood sends back."""
VEIL = np.array([0.45, 0.50, 0.60], np.float32)
"""Colour of a blue-white veil."""


def draw_case(rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], int]:
    """Draw one picture: image (3, x, y), label (x, y), and the quality (0 to 100) of its JPEG.

    400 to 1000 pixels wide, 60 to 100 % of it high, at least 400. Labels as in `SKIN_LABELS`.
    """
    width = int(rng.integers(400, 1001))
    height = max(400, round(width * rng.uniform(0.6, 1.0)))
    plane = Plane(width, height)
    style = tuple(SKIN_STYLES.values())[rng.integers(len(SKIN_STYLES))]
    lesion = draw_lesion(rng, plane)
    image = paint_skin(rng, plane, lesion)
    for often, add in ((1.0, add_hair), (0.15, add_ruler), (style.gel, add_bubbles), (0.12, add_ink)):
        if rng.random() < often:
            add(rng, image, plane)
    return photograph(rng, image, plane, style), lesion.label, int(rng.integers(*style.quality))


def paint_skin(rng: np.random.Generator, plane: Plane, lesion: Lesion) -> Floats:
    """Skin with freckles, vessels and pores, and the lesion in it: (3, x, y) in [0, 1]."""
    tone = float(
        rng.choice([rng.uniform(0.05, 0.25), rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.9)], p=[0.55, 0.35, 0.1])
    )
    melanin = tone * (1 + 0.12 * plane.noise(rng, 0.5) + 0.08 * plane.noise(rng, 0.05))
    if rng.random() < 0.4:  # freckles: pigment that is no lesion
        freckles = np.clip((plane.noise(rng, rng.uniform(0.06, 0.2)) - rng.uniform(1.2, 2.2)) / 0.5, 0, 1)
        melanin += np.float32(rng.uniform(0.1, 0.45)) * freckles
    flush = rng.uniform(0.05, 0.3)
    blood = flush * (1 + 0.25 * plane.noise(rng, 0.6) + 0.12 * plane.noise(rng, 0.08))
    if rng.random() < 0.3:  # a reddened patch that is no lesion
        blood += np.float32(rng.uniform(0.1, 0.35)) * np.clip(plane.noise(rng, 0.8), 0, 2)
    pores = 1 + np.float32(rng.uniform(0.01, 0.04)) * plane.noise(rng, 0.02)
    melanin, blood = melanin + lesion.melanin, blood + lesion.blood
    absorbed = MELANIN[:, None, None] * np.clip(melanin, 0, 4) + BLOOD[:, None, None] * np.clip(blood, 0, 3)
    image: Floats = DERMIS[:, None, None] * np.exp(-absorbed) * pores
    image += lesion.veil * (VEIL[:, None, None] - image)
    return image.astype(np.float32)


def photograph(rng: np.random.Generator, image: Floats, plane: Plane, style: SkinStyle) -> npt.NDArray[np.uint8]:
    """What a device makes of it: light, vignette, colour cast, blur, noise, 8 bits; (3, x, y)."""
    reach = np.hypot(plane.x, plane.y) / np.float32(np.hypot(*plane.shape) / min(plane.shape))  # 1 in the corners
    slope = rng.normal(0, style.slope, 2).astype(np.float32)
    light = (1 + slope[0] * plane.x + slope[1] * plane.y) * (1 - np.float32(rng.uniform(*style.vignette)) * reach**2)
    cast = np.array([rng.uniform(*gain) for gain in style.cast], np.float32) * np.float32(rng.uniform(*style.exposure))
    image = np.clip(image * light * cast[:, None, None], 0, 1.2)
    if rng.random() < style.glare:
        shine = np.clip((plane.noise(rng, 0.06) + 0.7 * plane.noise(rng, 0.6) - 2.2) / 0.4, 0, 1)
        image += np.float32(rng.uniform(0.2, 0.5)) * shine
    if rng.random() < style.tube:  # the rim of a round field of view, black outside
        rim = np.float32(rng.uniform(0.75, 0.98) * np.hypot(*plane.shape) / min(plane.shape))
        image *= np.clip((rim - np.hypot(plane.x, plane.y)) / np.float32(rng.uniform(0.01, 0.08)) + 0.5, 0.03, 1)
    grey = image.mean(axis=0)
    image = grey + np.float32(rng.uniform(*style.saturation)) * (image - grey)
    image = np.clip(image, 0, 1) ** np.float32(rng.uniform(*style.gamma))
    blur = rng.uniform(*style.blur) / plane.pixel / 300
    image = ndimage.gaussian_filter(image, (0, blur, blur), truncate=3.0)
    image += np.float32(rng.uniform(*style.noise)) * rng.standard_normal(image.shape, np.float32)
    bits: npt.NDArray[np.uint8] = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return bits
