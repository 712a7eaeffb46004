"""Feature perturbation: drop parts of every feature map between encoder and decoder.

Shapes: B batch, C channels, *S space. Source: paper, section "feature perturbation"; released code
github.com/AiEson/CrossMatch, commit 59772e0: rates 0.25 (weak) and 0.75 (strong) on all levels.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

DropoutKind = Literal["channel", "alpha", "feature_alpha"]

# (features, rate, training) -> features.
# channel: whole channels become 0, the others are scaled by 1 / (1 - rate).
# alpha: single elements are replaced so that mean and variance are kept, for SELU-like statistics.
# feature_alpha: the same for whole channels.
_KINDS: dict[str, Callable[[Tensor, float, bool], Tensor]] = {
    "channel": torch.feature_dropout,
    "alpha": functional.alpha_dropout,
    "feature_alpha": functional.feature_alpha_dropout,
}


class FeaturePerturbation(nn.Module):
    """Dropout of one kind and rate on a list of feature maps. The identity at rate 0 and in eval mode.

    Args:
        kind: what is dropped: ``channel`` (the paper's choice), ``alpha`` or ``feature_alpha``.
        rate: the probability to drop, from 0 to below 1.
    """

    def __init__(self, kind: DropoutKind, rate: float) -> None:
        super().__init__()
        if kind not in _KINDS:
            raise ValueError(f"unknown feature perturbation {kind!r}; there are {', '.join(get_args(DropoutKind))}")
        if not 0 <= rate < 1:
            raise ValueError(f"a dropout rate lies in [0, 1), got {rate}")
        self.kind, self.rate = kind, rate

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps (B, C, *S) of any sizes -> the same, perturbed, each level by draws of its own."""
        if not self.training or self.rate == 0:
            return list(features)
        return [_KINDS[self.kind](level, self.rate, True) for level in features]

    def extra_repr(self) -> str:
        """Kind and rate, for `print(module)`."""
        return f"kind={self.kind!r}, rate={self.rate}"
