"""Which voxels are looked at where a scan has too many of them."""

import numpy as np
from numpy.typing import NDArray

SEED = 0


def spread(count: int, most: int) -> NDArray[np.intp]:
    """Positions (P,) in 0 ... count - 1, rising, at most `most` of them: all where there are no more.

    Otherwise the range is cut into `most` equal parts, and of each one position is drawn. The draws are the same in
    every call. Steps of equal length would not do: where one is a multiple of the length of a scan's last axis, all
    positions lie in a single slice.
    """
    if count <= most:
        return np.arange(count, dtype=np.intp)
    ends = np.arange(most + 1, dtype=np.int64) * count // most
    return np.random.default_rng(SEED).integers(ends[:-1], ends[1:]).astype(np.intp)
