"""What one step learns from: labelled images with their labels, and unlabelled images in three views.

Shapes: B batch, C channels, *S space.
"""

from typing import NamedTuple

from torch import Tensor


class Unlabelled(NamedTuple):
    """Unlabelled images in three image views, with the CutMix boxes of the two strong ones."""

    weak: Tensor  # (B, C, *S)
    strong: Tensor  # (B, 2, C, *S), not yet mixed
    box: Tensor  # (B, 2, *S) bool, True where the partner goes in


class Batch(NamedTuple):
    """What one step learns from; `u` and `mix` are None for methods that use labelled images only."""

    x: Tensor  # (B, C, *S) labelled images: weak views, which may be augmented
    y: Tensor  # (B, *S) int64
    u: Unlabelled | None
    mix: Unlabelled | None  # the CutMix partners of u
