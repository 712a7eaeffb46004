"""A CUDA graph's stand-in on CPUs: every operation of a step is written down and done again on the same memory.

Whatever a step computes from Python numbers alone is thus frozen, as it would be in a graph.
"""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

# what makes the host wait: a value, or a count of elements, is wanted
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::unique", "aten::_unique2"}


def _places(tree: object) -> set[int]:
    leaves = pytree.tree_leaves(tree)
    return {leaf.untyped_storage().data_ptr() for leaf in leaves if isinstance(leaf, Tensor)}


def _indexes_by_mask(name: str, args: tuple) -> bool:
    indices = args[1] if name.startswith("aten::index") and len(args) > 1 else []
    return isinstance(indices, list | tuple) and any(
        isinstance(index, Tensor) and index.dtype == torch.bool for index in indices
    )


class Tape(TorchDispatchMode):
    """Notes each operation with its very arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Callable, tuple, dict, object]] = []
        self.copied_from_host = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.copied_from_host += func._schema.name == "aten::lift_fresh"  # torch.tensor(...): a graph cannot hold it
        self.done.append((func, args, kwargs or {}, result))
        return result

    @property
    def waits(self) -> Counter[str]:
        """Operations that would make the host wait for a GPU."""
        called = ((func._schema.name, args) for func, args, *_ in self.done)
        return Counter(name for name, args in called if name in WAITS or _indexes_by_mask(name, args))

    @torch.no_grad()
    def play(self) -> None:
        """All of it again."""
        for func, args, kwargs, result in self.done:
            if _places(result) - _places((args, kwargs)):  # new memory: fill it
                again = func(*args, **kwargs)
                for old, new in zip(pytree.tree_leaves(result), pytree.tree_leaves(again), strict=True):
                    if isinstance(old, Tensor):
                        old.copy_(new)
            elif func._schema.is_mutable:
                func(*args, **kwargs)


def record(work: Callable[[], dict[str, Tensor]]) -> tuple[dict[str, Tensor], Callable[[], None], Tape]:
    """As `step.CudaGraphs.capture`, and the tape. Recording runs the step, so the first replay does nothing."""
    with Tape() as tape:
        result = work()
    plays = iter([lambda: None])
    return result, lambda: next(plays, tape.play)(), tape
