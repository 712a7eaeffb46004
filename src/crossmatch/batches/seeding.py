"""Randomness as a function of (seed, stream, step), so that a resumed run needs no generator state to go on exactly."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

# One stream for each thing that is drawn: two methods with one seed see the same labelled images, views included.
# NETWORK is the last: where ranks train one network, rank r draws its dropout from stream NETWORK + r.
LABELLED, UNLABELLED, PARTNERS, LABELLED_VIEWS, UNLABELLED_VIEWS, NETWORK = range(6)
FOREGROUND = 2**32  # of the classes that labelled images must show; beyond the stream of any rank


def mix(seed: int, stream: int, step: int) -> int:
    """One 63-bit seed out of three numbers; near numbers give unrelated seeds."""
    return int(np.random.SeedSequence([seed, stream, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(seed: int, stream: int, step: int) -> torch.Generator:
    """A CPU generator for one step of one stream."""
    return torch.Generator().manual_seed(mix(seed, stream, step))


class Shuffled:
    """Endless passes over 0..count-1, each in an order of its own; a batch is a function of the step alone.

    Args:
        count: how many there are to choose from, at least 1.
        batch: how many a step takes; a batch may end one pass and begin the next.
    """

    def __init__(self, count: int, batch: int, seed: int, stream: int) -> None:
        self.count, self.batch, self.seed, self.stream = count, batch, seed, stream
        self._orders: dict[int, Tensor] = {}

    def __call__(self, step: int) -> Tensor:
        """The (batch,) int64 indices of a step, counted from 0."""
        return torch.stack([self._order(k // self.count)[k % self.count] for k in self._positions(step)])

    def _positions(self, step: int) -> Iterator[int]:
        return iter(range(step * self.batch, (step + 1) * self.batch))

    def _order(self, turn: int) -> Tensor:
        if turn not in self._orders:
            self._orders = {k: order for k, order in self._orders.items() if k >= turn - 1}
            drawn = generator(self.seed, self.stream, turn)
            self._orders[turn] = torch.randperm(self.count, generator=drawn)
        return self._orders[turn]
