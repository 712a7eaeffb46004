"""The runs of an ensemble look at each other: the mask of each, against the mask of their mean. It costs nothing more.

Shapes: B images (slices or windows), C channels, K classes, *N an image as the networks see it.
Source: the disagreement of networks that were trained apart, as a measure of uncertainty, is from Lakshminarayanan et
al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles", NeurIPS 2017.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from crossmatch.inference.agreement import Views, entropy_of
from crossmatch.inference.ensemble import Ensemble


class MemberViews(Views):
    """Watches the passes of an ensemble."""

    def __init__(self, network: Ensemble, whole: bool = False) -> None:
        self.network = network
        super().__init__(network.classes, whole)

    @property
    def names(self) -> list[str]:
        """The masks that are compared, in words."""
        return [f"run {number} of {len(self.network.members)}" for number in range(1, 1 + len(self.network.members))]

    def look(self, images: Tensor, flips: Sequence[tuple[int, ...]]) -> Tensor:
        """See `Views`. Mirror images are averaged for each run, and for their mean."""
        total = torch.zeros((), device=images.device)
        single = [total] * len(self.network.members)
        for axes in flips:
            found = self.network.each(images.flip(axes))
            total = total + self.network.joined(found).float().softmax(1).flip(axes)
            single = [before + one.flip(axes) for before, one in zip(single, found, strict=True)]
        mean = total / len(flips)
        labels = self.count_mask(mean)
        for number, one in enumerate(single):
            self.count(number, one.max(1).indices, labels)
        return torch.cat([mean, entropy_of(mean, 1).unsqueeze(1)], 1) if self.whole else mean
