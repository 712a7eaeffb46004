"""Scans that look like masks: perhaps labels that an import did not know as such."""

import numpy as np

from crossmatch.dataset.fingerprint import CasePrint, Intensity
from crossmatch.errors import listed

_HIGHEST = 16  # labels of a mask go hardly beyond
_SCAN = 100  # scans of whole numbers go beyond this
_CLOSE = 1e-6  # relative: statistics are rounded


def like_masks(cases: tuple[CasePrint, ...]) -> list[str]:
    """Warn of cases whose images hold two values, or a few whole ones where most others hold many."""
    usual = float(np.median([one.max - one.min for case in cases for one in case.intensity])) if cases else 0.0
    few = [case.id for case in cases if all(_two_values(one) or _like_labels(one, usual) for one in case.intensity)]
    if not few or len(few) == len(cases):
        return []
    return [
        f"images that look like masks, as they hold a few values: {listed(few)}; if they are labels, name them as "
        "their images with _seg or _mask, or say --labels when you import, and import again"
    ]


def _two_values(image: Intensity) -> bool:
    """Whether every voxel is the lowest or the highest: then, and only then, the deviation is as large as it can be."""
    largest, ends = (image.mean - image.min) * (image.max - image.mean), {image.min, image.max}
    as_large = abs(largest - image.std**2) <= _CLOSE * (image.max - image.min) ** 2
    return as_large and {image.p00_5, image.p99_5} <= ends  # a single voxel far from all others makes it as large too


def _like_labels(image: Intensity, usual: float) -> bool:
    """Whether the values lie as those of labels do, far below those of the usual scan."""
    return image.min == 0 and image.max <= _HIGHEST and image.max == round(image.max) and usual >= _SCAN
