"""CUDA graphs: a training step is recorded once and then replayed, without the host's work for each kernel.

A graph runs the same kernels on the same memory again. So everything that changes from step to step must be in tensors
on the device: what was drawn, progress, learning rate, and the state of PyTorch's generator.
"""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from crossmatch.batches.views import Drawn
from crossmatch.errors import UserError

WARM_UP = 3  # plain steps before a capture, as PyTorch's documentation of CUDA graphs has them

Terms = dict[str, Tensor]
Work = Callable[[], Terms]
Capture = Callable[[Work], tuple[Terms, Callable[[], object]]]


class GraphedStep:
    """A step that is captured once and then replayed: new inputs are copied into the memory of the captured ones.

    Args:
        work: the step, a function of tensors alone.
        capture: records the step without running it; gives its result and a function that runs it, see `CudaGraphs`.
        aside: runs the plain steps before the capture.
    """

    def __init__(self, work: Callable[[Drawn], Terms], capture: Capture, aside: Callable[[Work], Terms]) -> None:
        self.work, self.capture, self.aside = work, capture, aside
        self.kind: Hashable = None
        self._forget()

    def _forget(self) -> None:
        """Free the memory of a graph."""
        self.plain = 0  # plain steps of this kind
        self.inputs: Drawn | None = None
        self.terms: Terms = {}
        self.replay: Callable[[], object] = lambda: None

    def __call__(self, drawn: Drawn, kind: Hashable) -> Terms:
        """Take a step. Each `kind` has its own graph; the next step overwrites the terms that this one gives."""
        if kind != self.kind:
            self._forget()
            self.kind = kind
        if self.plain < WARM_UP:
            self.plain += 1
            return self.aside(lambda: self.work(drawn))
        if self.inputs is None:
            inputs: Drawn = pytree.tree_map_only(Tensor, torch.clone, drawn)
            self.terms, self.replay = self.capture(lambda: self.work(inputs))
            self.inputs = inputs
        else:
            torch._foreach_copy_(_tensors(self.inputs), _tensors(drawn))
        self.replay()
        return self.terms


class CudaGraphs:
    """Runs and captures work on a separate stream of the current device."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def aside(self, work: Work) -> Terms:
        """Run work on that stream, in order with the work of the current stream."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = work()
        current.wait_stream(self.stream)
        return result

    def capture(self, work: Work) -> tuple[Terms, Callable[[], object]]:
        """Record work as a graph, see `Capture`.

        Seeding PyTorch's generator also works for replays. Other threads may pin memory during the capture.

        Raises:
            UserError: the step contains something that a graph cannot record.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                terms = work()
        except RuntimeError as error:
            cause = error.__context__ if isinstance(error.__context__, torch.OutOfMemoryError) else error
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            raise UserError(
                f"--graphs failed ({str(error).strip().splitlines()[0]}): train without it. A method of your own must "
                "neither wait for the device nor copy to it from the host."
            ) from error
        return terms, graph.replay


def _tensors(drawn: Drawn) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(drawn) if isinstance(leaf, Tensor)]
