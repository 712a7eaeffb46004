"""Does work in threads before its results are needed, in order: the draws of coming steps, the pictures of a store."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

import torch

T = TypeVar("T")

WORKERS = 4  # threads at most; look-ups, decompressing and waiting for a disk release Python's lock
AHEAD = 2  # results for each thread, so that no thread waits for the loop


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
