"""Random numbers as a function of seed, stream and step: a resumed run goes on exactly, without stored generators."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

# A stream for each thing that is drawn, so that two methods with one seed see the same labelled images and views.
# NETWORK is the last: rank r draws its dropout from stream NETWORK + r.
LABELLED, UNLABELLED, PARTNERS, LABELLED_VIEWS, UNLABELLED_VIEWS, NETWORK = range(6)
# Beyond the stream of any rank: the classes that labelled images must show, and the augmentation of labelled images.
FOREGROUND, AUGMENTATION = 2**32, 2**32 + 1


def mix(seed: int, stream: int, step: int) -> int:
    """One 63-bit seed from three numbers; similar numbers give unrelated seeds."""
    return int(np.random.SeedSequence([seed, stream, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(seed: int, stream: int, step: int) -> torch.Generator:
    """A CPU generator for one step of one stream."""
    return torch.Generator().manual_seed(mix(seed, stream, step))


class Shuffled:
    """Endless passes over 0..count-1, each newly shuffled; a batch is a function of the step alone.

    Args:
        count: numbers to choose from, at least 1.
        batch: numbers that a step takes; a batch may end one pass and begin the next.
        seed, stream: what the shuffles are drawn from.
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
