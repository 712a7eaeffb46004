"""A test of paired scores: are two methods' differences on the same cases more than chance?"""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata


def exact_p(differences: npt.NDArray[np.float64]) -> float:
    """Two-sided p of the signed-rank sum of differences other than 0, if both signs are equally likely.

    Exact for any number of differences; equal sizes share their mean rank (Wilcoxon, Biometrics Bulletin 1, 1945).
    """
    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(np.int64)  # doubled, because mean ranks may be halves
    if not (ranks % 2).any():
        ranks //= 2
    positive = int(ranks[differences > 0].sum())
    smaller = min(positive, int(ranks.sum()) - positive)
    chance = np.zeros(smaller + 1)  # of each sum of positive ranks up to the one that was found
    chance[0], highest = 1, 0
    for rank in np.sort(ranks).tolist():  # small ones first, so that few sums are possible for long
        top = min(smaller, highest + rank)
        with_it = chance[: max(0, top + 1 - rank)] / 2
        chance[: highest + 1] /= 2
        chance[rank : top + 1] += with_it
        highest = top
    return min(1.0, 2 * float(chance.sum()))
