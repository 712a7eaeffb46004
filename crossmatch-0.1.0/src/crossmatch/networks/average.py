"""An exponential moving average of a network's weights."""

import copy

import torch
from torch import Tensor, nn

from crossmatch.networks.segmenter import Segmenter


class Average(nn.Module):
    """Follows a network: its parameters are a moving average, its buffers (batch statistics) are copied.

    While the learning rate is high, the copied statistics do not fit the averaged weights, and predictions are worse
    than they will be. Statistics of a teacher's own passes would fit, but those passes may see noisy images.

    Args:
        source: the network to follow; the average begins as a copy of it.
        decay: share of the old average kept at each update, in [0, 1).
        buffers_too: buffers are averaged like parameters instead of copied, for a teacher that gathers statistics in
            passes of its own.
    """

    def __init__(self, source: Segmenter, decay: float, buffers_too: bool = False) -> None:
        super().__init__()
        self.decay, self.buffers_too = decay, buffers_too
        self.network = copy.deepcopy(source).requires_grad_(False)

    @torch.no_grad()
    def update(self, source: nn.Module, taken: Tensor | None = None) -> None:
        """average = (1 - taken) * average + taken * source, where None takes 1 - decay."""
        ours: list[Tensor] = list(self.network.parameters())
        theirs: list[Tensor] = list(source.parameters())
        if taken is None:
            torch._foreach_lerp_(ours, theirs, 1 - self.decay)
        else:
            torch._foreach_mul_(ours, 1 - taken)
            torch._foreach_add_(ours, torch._foreach_mul(theirs, taken))
        for mine, other in zip(self.network.buffers(), source.buffers(), strict=True):
            if self.buffers_too and mine.is_floating_point():
                mine.lerp_(other, 1 - self.decay if taken is None else taken)
            else:
                mine.copy_(other)

    def predictor(self) -> Segmenter:
        """The averaged network."""
        return self.network
