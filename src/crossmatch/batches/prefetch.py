"""Prefetching: threads look up the voxels of coming steps while the device computes the current one.

This pays off for voxels in a file: drawing then means millions of look-ups and waiting for a disk. With voxels in
memory it takes one or two milliseconds, and no thread is used (speed/data.py measures both).
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

WORKERS = 4  # threads at most; look-ups and waiting for a disk release Python's lock
AHEAD = 2  # prefetched steps for each thread, so that no thread waits for the loop


@contextmanager
def drawing(batches: Batches, stop: int) -> Iterator[Callable[[int], Drawn]]:
    """Gives a function of the step that draws as `Batches.draw`, and moves the result to the device.

    What is drawn for a step depends on its number alone, whether it was prefetched or not.

    Args:
        batches: draw the steps.
        stop: the first step that is never asked for.
    """
    if not batches.store.mapped:
        yield lambda step: to_device(batches.draw(step), batches.device)
        return
    own, pinned = threading.local(), batches.device.type == "cuda"

    def draw(step: int) -> Drawn:
        if not hasattr(own, "batches"):
            own.batches = _with_own_passes(batches)
        drawn: Drawn = own.batches.draw(step)
        if pinned:  # pinning copies, so it is done here and not in the loop
            drawn = tree_map_only(Tensor, Tensor.pin_memory, drawn)
        return drawn

    with Prefetch(draw, stop, min(WORKERS, os.cpu_count() or 1)) as ahead:
        yield lambda step: to_device(ahead(step), batches.device)


class Prefetch(Generic[T]):
    """Computes `work(step)` in threads ahead of time. Call it with consecutive steps, starting at any one.

    An error of `work` is raised by the call for its step. At the end of the block each thread finishes its current
    step, and the threads end.

    Args:
        work: a function of the step that several threads may call at once.
        stop: the first step that is not computed.
        workers: threads; PyTorch uses one core in each, because they share the machine with the training step.
    """

    def __init__(self, work: Callable[[int], T], stop: int, workers: int) -> None:
        self.work, self.stop, self.ahead = work, stop, AHEAD * workers
        self.threads = torch.get_num_threads()  # read before the pool sets another number, to restore it
        self.pool = ThreadPoolExecutor(workers, "prefetch", initializer=torch.set_num_threads, initargs=(1,))
        self.futures: dict[int, Future[T]] = {}

    def __enter__(self) -> Self:
        return self

    def __call__(self, step: int) -> T:
        """`work(step)`; waits until it is ready."""
        for other in range(step, min(step + self.ahead, self.stop)):
            if other not in self.futures:
                self.futures[other] = self.pool.submit(self.work, other)
        return self.futures.pop(step).result()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(self.threads)  # for threads that start later


def _with_own_passes(batches: Batches) -> Batches:
    """The same batches with their own copies of the shuffled passes, which keep state: one copy for each thread."""
    own = copy.copy(batches)
    own.labelled, own.unlabelled, own.partners = copy.deepcopy((batches.labelled, batches.unlabelled, batches.partners))
    return own
