"""Prefetching: threads look up the voxels of coming steps while the device computes the current one.

This pays off for voxels in a file: drawing then means millions of look-ups and waiting for a disk. With voxels in
memory it takes one or two milliseconds, and no thread is used (speed/data.py measures both).
"""

import copy
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.utils._pytree import tree_map_only

from crossmatch.batches.ahead import WORKERS, Prefetch
from crossmatch.batches.views import Batches, Drawn, to_device


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


def _with_own_passes(batches: Batches) -> Batches:
    """The same batches with their own copies of the shuffled passes, which keep state: one copy for each thread."""
    own = copy.copy(batches)
    own.labelled, own.unlabelled, own.partners = copy.deepcopy((batches.labelled, batches.unlabelled, batches.partners))
    return own
