"""A test of paired scores: are two methods' differences on the same cases more than chance?"""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata


def exact_p(differences: npt.NDArray[np.float64]) -> float:
    """Two-sided p of the signed-rank sum of differences other than 0, if both signs are equally likely.

    Exact for any number of differences; equal sizes share their mean rank (Wilcoxon, Biometrics Bulletin 1, 1945).
    """
    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(np.int64)  # doubled, because mean ranks may be halves
    positive = int(ranks[differences > 0].sum())
    smaller = min(positive, int(ranks.sum()) - positive)
    chance = np.zeros(smaller + 1)  # of each sum of positive ranks up to the one that was found
    chance[0] = 1
    for rank in ranks:
        with_it = chance[:-rank].copy()
        chance /= 2
        chance[rank:] += with_it / 2
    return min(1.0, 2 * float(chance.sum()))
