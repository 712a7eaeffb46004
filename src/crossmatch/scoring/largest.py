"""The largest connected component of a predicted mask: what many published figures keep before they are computed."""

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from crossmatch.formats import Array


def largest_component_of(mask: Array) -> Array:
    """Keep the component with most voxels; of equal sizes the one whose first voxel comes first (last axis fastest).

    Voxels are neighbours if they touch, by corners too: 26 neighbours in three axes, as in the test code of BCP, DTC
    and SS-Net for LA. An empty mask stays empty.

    Args:
        mask: (*S) bool, of one class.
    """
    parts, _ = ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, mask.ndim))
    sizes = np.bincount(parts.ravel())[1:]
    kept: Array = mask if len(sizes) < 2 else parts == sizes.argmax() + 1
    return kept


def largest_components_of(labels: Array, values: Iterable[int]) -> Array:
    """Label volumes (*S) with the largest component of each of these values, background in place of the others."""
    for value in values:
        mask = labels == value
        labels = np.where(mask & ~largest_component_of(mask), 0, labels)
    return labels
