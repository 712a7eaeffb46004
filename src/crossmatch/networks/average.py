"""An exponential moving average of a network's weights."""

import copy

import torch
from torch import Tensor, nn

from crossmatch.networks.segmenter import Segmenter


class Average(nn.Module):
    """Follows a network: its parameters are a moving average of the network's.

    Buffers (BatchNorm statistics) are copied from the network, or left alone. An average that only predicts needs the
    copy. A teacher that sees images in train mode gathers statistics of its own, which fit its weights: while the
    network still moves fast, the network's do not.

    Args:
        source: the network to follow; the average begins as a copy of it.
        decay: share of the old average kept at each update, in [0, 1).
        copies_buffers: whether an update copies the buffers.
    """

    def __init__(self, source: Segmenter, decay: float, copies_buffers: bool = True) -> None:
        super().__init__()
        self.decay, self.copies_buffers = decay, copies_buffers
        self.network = copy.deepcopy(source).requires_grad_(False)

    @torch.no_grad()
    def update(self, source: nn.Module, decay: float | None = None) -> None:
        """average = decay * average + (1 - decay) * source; a `decay` given here holds for this update alone."""
        ours: list[Tensor] = list(self.network.parameters())
        theirs: list[Tensor] = list(source.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - (self.decay if decay is None else decay))
        if self.copies_buffers:
            for mine, other in zip(self.network.buffers(), source.buffers(), strict=True):
                mine.copy_(other)

    def predictor(self) -> Segmenter:
        """The averaged network."""
        return self.network
