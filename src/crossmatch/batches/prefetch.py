"""What steps to come are drawn from, looked up in threads while the device computes the step in hand.

Worth it where voxels lie in a file: drawing is then millions of look-ups, and waiting for a disk. Of a store in memory
it is one or two milliseconds, spent where they are needed (speed/data.py measures both).
"""

import copy
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from crossmatch.batches.views import Batches, Drawn, to_device

T = TypeVar("T")

WORKERS = 4  # threads at most: look-ups and waiting for a disk leave Python's lock
AHEAD = 2  # steps drawn or being drawn a thread, so that none waits for the loop


@contextmanager
def drawing(batches: Batches, stop: int) -> Iterator[Callable[[int], Drawn]]:
    """Gives the function that draws a step's batch, as `Batches.draw`, moved to the device that makes it.

    Whatever happens ahead, each step is drawn by its number: the same batches, from whichever step on.

    Args:
        batches: draw; stop: the first step that is never asked for.
    """
    if not batches.store.mapped:
        yield lambda step: to_device(batches.draw(step), batches.device)
        return
    own, pinned = threading.local(), batches.device.type == "cuda"

    def draw(step: int) -> Drawn:
        if not hasattr(own, "batches"):
            own.batches = _with_own_passes(batches)
        drawn: Drawn = own.batches.draw(step)
        if pinned:  # which takes a copy, so not in the loop
            drawn = tree_map_only(Tensor, Tensor.pin_memory, drawn)
        return drawn

    with Prefetch(draw, stop, min(WORKERS, os.cpu_count() or 1)) as ahead:
        yield lambda step: to_device(ahead(step), batches.device)


class Prefetch(Generic[T]):
    """Call with one step after the other, from any one on, to get `work(step)`, computed in threads meanwhile.

    An error of `work` is raised by the call for its step. The block ends without a thread, once the steps being worked
    at, one a thread, are done.

    Args:
        work: a function of the step that several threads may call at once; stop: the first step not to work at.
        workers: threads. PyTorch computes on one core in each: they share the machine with each other and the step.
    """

    def __init__(self, work: Callable[[int], T], stop: int, workers: int) -> None:
        self.work, self.stop, self.ahead = work, stop, AHEAD * workers
        self.threads = torch.get_num_threads()  # asked for before: else this thread would take on the workers' number
        self.pool = ThreadPoolExecutor(workers, "prefetch", initializer=torch.set_num_threads, initargs=(1,))
        self.futures: dict[int, Future[T]] = {}

    def __enter__(self) -> Self:
        return self

    def __call__(self, step: int) -> T:
        """`work(step)`; waits for it where it is not ready."""
        for other in range(step, min(step + self.ahead, self.stop)):
            if other not in self.futures:
                self.futures[other] = self.pool.submit(self.work, other)
        return self.futures.pop(step).result()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(self.threads)  # of threads to come


def _with_own_passes(batches: Batches) -> Batches:
    """The same batches from the same store; shuffled passes keep the one in hand, so each thread has its own."""
    own = copy.copy(batches)
    own.labelled, own.unlabelled, own.partners = copy.deepcopy((batches.labelled, batches.unlabelled, batches.partners))
    return own
