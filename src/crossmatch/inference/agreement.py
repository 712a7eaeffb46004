"""How far further masks of a scan agree with its mask, and how sure the network is at the mask's border.

This file counts. The further masks come from `feature_views.py` (features of one network, decoded again with parts
dropped) and `member_views.py` (the runs of an ensemble). `inference/quality.py` turns the counts into estimates.

Shapes: B images (slices or windows), K classes, *N an image as the network sees it.
Source: agreement between sampled masks as a measure of quality is from Roy et al., "Bayesian QuickNAT",
NeuroImage 195, 2019.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Sums(NamedTuple):
    """What was counted in one scan."""

    agreement: NDArray[np.float64]  # (K,), mean Dice of the views against the mask; NaN where a class is in none
    soft_dice: NDArray[np.float64]  # (K,), Dice of the mask with its own probabilities; NaN: not in the mask
    border_entropy: NDArray[np.float64]  # (K,), mean entropy of a class's voxels at its border, 1 at most; NaN: none
    features: NDArray[np.float64]  # (C,), mean of the encoder's coarsest feature map; (0,) of an ensemble


class Views(ABC):
    """Further masks of every pass over a scan. `start` before a scan, `look` for each pass, `sums` after it.

    Args:
        classes: K, background included.
        whole: also make a map of uncertainty, whatever it takes.
    """

    def __init__(self, classes: int, whole: bool) -> None:
        self.classes, self.whole = classes, whole
        self.start()

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """What is compared, in words."""

    @abstractmethod
    def look(self, images: Tensor, flips: Sequence[tuple[int, ...]]) -> Tensor:
        """Predict images (B, C, *N) and count what their masks are like.

        Args:
            flips: axes of the mirror images over which is averaged; the first has none.

        Returns:
            Probabilities (B, K, *N), float32; with `whole` followed by the entropy of the mean of all that is compared,
            so (B, K + 1, *N). The entropy is 1 where all classes are alike.
        """

    def start(self) -> None:
        """Forget what was counted."""
        self._overlap: dict[int, Tensor] = {}
        self._soft = torch.zeros(2, self.classes, dtype=torch.float64)
        self._border = torch.zeros(2, self.classes, dtype=torch.float64)

    def sums(self) -> Sums:
        """What has been counted since `start`."""
        counts = torch.stack(list(self._overlap.values())) if self._overlap else torch.zeros(1, 2, self.classes)
        both, either = counts.double().unbind(1)
        agreement = torch.where(either > 0, 2 * both / either, torch.nan).nanmean(0)
        inside, all_of_it = self._soft
        soft = torch.where(inside > 0, 2 * inside / all_of_it, torch.nan)
        entropy, voxels = self._border
        border = torch.where(voxels > 0, entropy / voxels, torch.nan)
        return Sums(agreement.numpy(), soft.numpy(), border.numpy(), self._features().numpy())

    def _features(self) -> Tensor:
        """(C,), float64: of the scan, see `Sums`."""
        return torch.zeros(0, dtype=torch.float64)

    def count(self, view: int, labels: Tensor, reference: Tensor) -> None:
        """Add the voxels of each class that lie in both label maps, and in either."""
        classes = self.classes
        both = torch.bincount(reference[labels == reference], minlength=classes)
        either = torch.bincount(labels.flatten(), minlength=classes)
        either += torch.bincount(reference.flatten(), minlength=classes)
        counted = torch.stack([both, either]).cpu()
        self._overlap[view] = self._overlap[view] + counted if view in self._overlap else counted

    def count_mask(self, probabilities: Tensor) -> Tensor:
        """Add how sure the mask of probabilities (B, K, *N) is, as a whole and at its border.

        Returns:
            The mask (B, *N).
        """
        most, labels = probabilities.max(1)
        inside = torch.bincount(labels.flatten(), most.flatten(), minlength=self.classes)
        everywhere = probabilities.transpose(0, 1).flatten(1).sum(1)
        voxels = torch.bincount(labels.flatten(), minlength=self.classes)
        self._soft += torch.stack([inside, everywhere + voxels]).double().cpu()
        self._count_border(labels, probabilities)
        return labels

    def _count_border(self, labels: Tensor, probabilities: Tensor) -> None:
        """Add the entropy of the voxels that have a neighbour of another class."""
        border = torch.zeros_like(labels, dtype=torch.bool)
        for axis in range(1, labels.ndim):
            n = labels.shape[axis]
            low, high = labels.narrow(axis, 0, n - 1), labels.narrow(axis, 1, n - 1)
            border.narrow(axis, 0, n - 1).logical_or_(low != high)
            border.narrow(axis, 1, n - 1).logical_or_(low != high)
        own = labels[border]
        entropy = entropy_of(probabilities.movedim(1, -1)[border], -1)
        self._border[0] += torch.bincount(own, entropy, minlength=self.classes).double().cpu()
        self._border[1] += torch.bincount(own, minlength=self.classes).double().cpu()


def entropy_of(probabilities: Tensor, axis: int) -> Tensor:
    """Along the axis of K, which is dropped; 1 where all classes are alike."""
    classes = probabilities.shape[axis]
    entropy: Tensor = torch.special.entr(probabilities).sum(axis).clamp_min(0)
    return entropy / math.log(classes)
