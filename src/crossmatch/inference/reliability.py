"""Whether probabilities are calibrated: the expected calibration error, and the temperature that reduces it.

Shapes: K classes, V voxels.
Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.optimize import minimize_scalar

from crossmatch.dataset.spread import spread
from crossmatch.inference.estimates import Reliability, ReliabilityBin

BINS = 15
AROUND = 5  # voxels around mask and reference that count: elsewhere background is too easy to say anything
MOST = 50_000  # voxels of a case, at most
Voxels = tuple[NDArray[np.float32], NDArray[np.intp]]  # log probabilities (K, V), and the true classes (V,)


def voxels_around(probabilities: NDArray[np.float32], reference: NDArray[Any], ignore: int | None = None) -> Voxels:
    """What a case contributes: voxels from all over the box around its mask and its reference.

    Args:
        probabilities: (K, *S).
        reference: (*S), the true classes as whole numbers.
        ignore: the value in the reference of voxels that do not count, if there is one. They contribute nothing, and
            what the mask shows there does not widen the box.
    """
    shown = (probabilities.argmax(0) > 0) | (reference > 0)
    if ignore is not None:
        shown &= reference != ignore
    places = find_objects(shown.astype(np.uint8))
    if not places:
        return np.empty((len(probabilities), 0), np.float32), np.empty(0, np.intp)
    box = tuple(slice(max(0, part.start - AROUND), part.stop + AROUND) for part in places[0])
    truth = reference[box].ravel()
    if ignore is None:
        chosen = spread(len(truth), MOST)
    else:
        drawn = np.flatnonzero(truth != ignore)
        chosen = drawn[spread(len(drawn), MOST)]
    values = probabilities[(slice(None), *box)].reshape(len(probabilities), -1)[:, chosen]
    return np.log(np.clip(values, 1e-7, 1)), truth[chosen].astype(np.intp)


def reliability(cases: Sequence[Voxels]) -> Reliability | None:
    """The temperature of all cases, and the error before and after, where each case has the temperature of the others.

    None where no case shows anything, or there is only one.
    """
    shown = [case for case in cases if len(case[1])]
    if len(shown) < 2:
        return None
    after = []
    for left_out, (logs, truth) in enumerate(shown):
        others = [case for number, case in enumerate(shown) if number != left_out]
        after.append((logs / _temperature(others), truth))
    before_error, before_bins = _error(shown)
    after_error, after_bins = _error(after)
    return Reliability(
        temperature=_temperature(shown),
        ece_before=before_error,
        ece_after=after_error,
        bins_before=before_bins,
        bins_after=after_bins,
    )


def _temperature(cases: Sequence[Voxels]) -> float:
    """The temperature with the least cross-entropy, each case counting alike."""

    def loss(log_temperature: float) -> float:
        return float(np.mean([_cross_entropy(logs / np.exp(log_temperature), truth) for logs, truth in cases]))

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.2), np.log(10)), method="bounded").x))


def _cross_entropy(logits: NDArray[np.float32], truth: NDArray[np.intp]) -> float:
    total = np.log(np.exp(logits).sum(0))
    return float((total - logits[truth, np.arange(len(truth))]).mean())


def _error(cases: Sequence[Voxels]) -> tuple[float, list[ReliabilityBin]]:
    """The expected calibration error of the predicted class, and its bins of equal width that hold voxels."""
    confidence, right, weight = [], [], []
    for logs, truth in cases:
        values = np.exp(logs)
        values /= values.sum(0)
        confidence.append(values.max(0))
        right.append(values.argmax(0) == truth)
        weight.append(np.full(len(truth), 1 / len(truth) / len(cases)))
    sure, correct, share = np.concatenate(confidence), np.concatenate(right), np.concatenate(weight)
    number = np.minimum((sure * BINS).astype(int), BINS - 1)
    error, bins = 0.0, []
    for one in np.unique(number):
        inside = number == one
        part = float(share[inside].sum())
        mean, accuracy = (float(np.average(each[inside], weights=share[inside])) for each in (sure, correct))
        error += part * abs(mean - accuracy)
        bins.append(ReliabilityBin(confidence=min(1.0, mean), accuracy=accuracy, share=min(1.0, part)))
    return min(1.0, error), bins
