"""Which scans to choose of many: those that are uncertain, and not all alike.

Shapes: N candidates, M scans that are labelled already, C features.
Source: greedy k-centre as a choice of what to label is from Sener and Savarese, "Active Learning for
Convolutional Neural Networks: A Core-Set Approach", ICLR 2018.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ChosenScan(NamedTuple):
    """A candidate that was chosen."""

    number: int  # of the candidate, from 0
    place: int  # by uncertainty, 1 is the most uncertain
    distance: float | None  # of its features to the nearest scan that is labelled or was chosen before; None: no such


def choose(
    uncertainty: NDArray[np.float64],
    features: NDArray[np.float64],
    patients: Sequence[str],
    known: NDArray[np.float64],
    count: int,
    pool: int,
) -> list[ChosenScan]:
    """Choose scans one after the other, each the farthest from all that are labelled or chosen, among the uncertain.

    No patient is chosen twice as long as another one is left.

    Args:
        uncertainty: (N,), larger is more uncertain.
        features: (N, C); known: (M, C), of labelled scans.
        patients: (N,).
        count: how many to choose; fewer where there are fewer candidates.
        pool: how many of the most uncertain are looked at. `count` chooses by uncertainty alone, N by variety alone.

    Returns:
        The choices in the order in which they should be labelled.
    """
    order = np.argsort(-uncertainty, kind="stable")
    place = {int(index): n for n, index in enumerate(order, start=1)}
    scale = np.concatenate([features, known]).std(0)
    scaled, centres = (each / np.where(scale > 0, scale, 1) for each in (features, known))
    apart = np.full(len(features), np.inf)
    for centre in centres:
        apart = np.minimum(apart, _distance(scaled, centre))
    chosen: list[ChosenScan] = []
    while len(chosen) < min(count, len(features)):
        used = {patients[one.number] for one in chosen}
        left = [int(index) for index in order if not any(one.number == index for one in chosen)]
        fresh = [index for index in left if patients[index] not in used] or left
        looked_at = fresh[: max(1, pool - len(chosen))]
        best = max(looked_at, key=lambda index: (apart[index], uncertainty[index]))
        chosen.append(ChosenScan(best, place[best], None if np.isinf(apart[best]) else float(apart[best])))
        apart = np.minimum(apart, _distance(scaled, scaled[best]))
    return chosen


def _distance(features: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) root mean square over the features."""
    found: NDArray[np.float64] = np.sqrt(((features - centre) ** 2).mean(1))
    return found
