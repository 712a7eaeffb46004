"""Styles of scanners for the phantoms: ranges for the grey values of the tissues and for the faults of the image.

Grey values are shares of full scale. A case draws each number from the range of its style. The ranges of styles
overlap, so do those of tissues within a style, and every split mixes all styles.
"""

from typing import NamedTuple

Range = tuple[float, float]


class HeartStyle(NamedTuple):
    """A kind of scanner that takes hearts in short-axis slices: ranges of grey values and of image faults."""

    blood: Range
    myo: Range
    fat: Range
    liver: Range
    lung: Range
    noise: Range  # standard deviation, share of full scale
    bias: Range  # largest log gain
    gamma: Range
    blur: Range  # pixels


HEART_STYLES = {
    "steady state: bright blood, dark muscle": HeartStyle(
        blood=(0.60, 0.80),
        myo=(0.22, 0.34),
        fat=(0.65, 0.90),
        liver=(0.20, 0.40),
        lung=(0.03, 0.10),
        noise=(0.02, 0.04),
        bias=(0.10, 0.30),
        gamma=(0.85, 1.10),
        blur=(0.5, 0.8),
    ),
    "gradient echo: flatter contrast, grey fat": HeartStyle(
        blood=(0.54, 0.72),
        myo=(0.26, 0.38),
        fat=(0.50, 0.75),
        liver=(0.25, 0.50),
        lung=(0.06, 0.14),
        noise=(0.02, 0.05),
        bias=(0.10, 0.30),
        gamma=(0.80, 1.10),
        blur=(0.6, 0.9),
    ),
    "after contrast agent: bright muscle and liver": HeartStyle(
        blood=(0.60, 0.76),
        myo=(0.32, 0.43),
        fat=(0.68, 0.90),
        liver=(0.35, 0.55),
        lung=(0.05, 0.15),
        noise=(0.02, 0.04),
        bias=(0.10, 0.35),
        gamma=(0.90, 1.25),
        blur=(0.5, 0.8),
    ),
    "low field: dim, noisy, soft": HeartStyle(
        blood=(0.46, 0.62),
        myo=(0.20, 0.30),
        fat=(0.50, 0.80),
        liver=(0.18, 0.40),
        lung=(0.03, 0.10),
        noise=(0.03, 0.05),
        bias=(0.15, 0.40),
        gamma=(0.80, 1.00),
        blur=(0.6, 0.9),
    ),
}


class AtriumStyle(NamedTuple):
    """A kind of scan of the left atrium: ranges of grey values and of image faults."""

    blood: Range
    right: Range  # blood of the right heart and pulmonary arteries, share of the left's
    muscle: Range
    fat: Range
    lung: Range
    wall: Range  # added to the atrial wall where it has taken up contrast agent
    noise: Range  # standard deviation, share of full scale
    bias: Range  # largest log gain
    gamma: Range
    blur: Range  # voxels


ATRIUM_STYLES = {
    "late enhancement: grey blood, dark muscle, bright scars in the wall": AtriumStyle(
        blood=(0.45, 0.65),
        right=(0.75, 1.05),
        muscle=(0.10, 0.26),
        fat=(0.25, 0.55),
        lung=(0.03, 0.12),
        wall=(0.05, 0.35),
        noise=(0.02, 0.045),
        bias=(0.10, 0.30),
        gamma=(0.85, 1.15),
        blur=(0.5, 0.8),
    ),
    "angiography: bright left heart, fat suppressed": AtriumStyle(
        blood=(0.65, 0.90),
        right=(0.50, 0.95),
        muscle=(0.12, 0.30),
        fat=(0.10, 0.26),
        lung=(0.03, 0.10),
        wall=(0.00, 0.05),
        noise=(0.015, 0.04),
        bias=(0.10, 0.25),
        gamma=(0.85, 1.20),
        blur=(0.5, 0.8),
    ),
    "steady state: bright blood, bright fat": AtriumStyle(
        blood=(0.55, 0.80),
        right=(0.75, 1.05),
        muscle=(0.20, 0.38),
        fat=(0.50, 0.90),
        lung=(0.03, 0.12),
        wall=(0.00, 0.05),
        noise=(0.015, 0.04),
        bias=(0.10, 0.30),
        gamma=(0.80, 1.10),
        blur=(0.4, 0.8),
    ),
    "low field: dim, noisy, soft": AtriumStyle(
        blood=(0.40, 0.60),
        right=(0.75, 1.05),
        muscle=(0.14, 0.30),
        fat=(0.25, 0.60),
        lung=(0.04, 0.14),
        wall=(0.00, 0.15),
        noise=(0.03, 0.055),
        bias=(0.15, 0.35),
        gamma=(0.80, 1.05),
        blur=(0.6, 0.9),
    ),
}


class SkinStyle(NamedTuple):
    """A kind of device that takes pictures of skin: ranges of colour cast, light and image faults."""

    cast: tuple[Range, Range, Range]  # gain of red, green and blue
    exposure: Range
    saturation: Range
    gamma: Range
    vignette: Range  # loss of light in the corners
    slope: float  # spread of a gradient of light
    blur: Range  # pixels of a picture 600 pixels wide at its smaller side
    noise: Range  # standard deviation, share of full scale
    quality: tuple[int, int]  # of JPEG
    gel: float  # how often gel bubbles are seen
    tube: float  # how often the rim of the field of view is seen
    glare: float  # how often the skin shines


SKIN_STYLES = {
    "polarised: neutral, sharp": SkinStyle(
        cast=((0.97, 1.05), (0.97, 1.03), (0.95, 1.05)),
        exposure=(0.95, 1.15),
        saturation=(0.9, 1.2),
        gamma=(0.85, 1.05),
        vignette=(0.0, 0.15),
        slope=0.03,
        blur=(0.3, 0.8),
        noise=(0.005, 0.012),
        quality=(85, 96),
        gel=0.0,
        tube=0.05,
        glare=0.05,
    ),
    "contact plate with gel: warm, bubbles, dark corners": SkinStyle(
        cast=((1.02, 1.12), (0.92, 1.0), (0.80, 0.95)),
        exposure=(0.9, 1.1),
        saturation=(0.9, 1.3),
        gamma=(0.9, 1.15),
        vignette=(0.2, 0.5),
        slope=0.04,
        blur=(0.4, 1.2),
        noise=(0.005, 0.015),
        quality=(80, 95),
        gel=0.7,
        tube=0.6,
        glare=0.05,
    ),
    "telephone with a lens: blue, soft, shining": SkinStyle(
        cast=((0.85, 0.98), (0.95, 1.03), (1.0, 1.15)),
        exposure=(0.85, 1.2),
        saturation=(0.8, 1.2),
        gamma=(0.75, 1.0),
        vignette=(0.1, 0.4),
        slope=0.12,
        blur=(0.8, 2.0),
        noise=(0.008, 0.02),
        quality=(70, 88),
        gel=0.1,
        tube=0.3,
        glare=0.4,
    ),
    "old camera: pale, greenish, noisy": SkinStyle(
        cast=((0.90, 1.0), (0.98, 1.08), (0.88, 1.0)),
        exposure=(0.75, 1.05),
        saturation=(0.5, 0.85),
        gamma=(0.8, 1.1),
        vignette=(0.1, 0.35),
        slope=0.08,
        blur=(0.6, 1.6),
        noise=(0.015, 0.035),
        quality=(75, 92),
        gel=0.4,
        tube=0.15,
        glare=0.15,
    ),
}
