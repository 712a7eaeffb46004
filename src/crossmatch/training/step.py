"""One training step: batch, loss, backward, optimiser, averages; plain, compiled, or replayed as a CUDA graph.

All that changes from step to step reaches the device in tensors: what was drawn, progress, learning rate, and the state
of PyTorch's generator. So a graph, which runs the same kernels on the same memory again, does what the plain step does.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from crossmatch.batches import seeding
from crossmatch.batches.views import Batches, Drawn
from crossmatch.errors import UserError
from crossmatch.methods.schedules import poly_decay
from crossmatch.runs.run import Run
from crossmatch.training.state import TrainerState
from crossmatch.training.team import Team

WARM_UP = 3  # plain steps before a capture, as PyTorch's documentation of CUDA graphs has them

Terms = dict[str, Tensor]
Work = Callable[[], Terms]
Capture = Callable[[Work], tuple[Terms, Callable[[], object]]]


class TrainingStep:
    """Call with what was drawn for the state's next step to take it.

    Args:
        run, team, state: whose step; batches: make a batch of what was drawn.
        compiled: compile the loss, encoder and decoder passes included, and the making of views, each as one graph
            without breaks and with fixed shapes.
        graphs: replay the whole step as a CUDA graph.
    """

    def __init__(
        self, run: Run, team: Team, state: TrainerState, batches: Batches, compiled: bool = False, graphs: bool = False
    ) -> None:
        self.run, self.team, self.state = run, team, state
        self.model, self.optimizer = team.fabric.setup(state.method, state.optimizer, move_to_device=False)
        self.make = batches.make
        if compiled:
            state.method.compile(fullgraph=True, dynamic=False)
            self.make = torch.compile(batches.make, fullgraph=True, dynamic=False)
        self.progress = torch.zeros((), device=batches.device)
        self.graph = None
        if graphs:
            cuda = CudaGraphs()
            self.graph = GraphedStep(self._compute, cuda.capture, cuda.aside)

    def __call__(self, drawn: Drawn) -> Terms:
        """Take a step; the terms of its loss, on the device.

        Raises:
            UserError: the step cannot be compiled, or captured, here.
        """
        settings, step, seed = self.run.recipe.train, self.state.step, self.run.recipe.seed
        self.progress.fill_(step / settings.steps)
        self.state.set_learning_rate(self.learning_rate)
        # of dropout, which differs from rank to rank
        torch.manual_seed(seeding.mix(seed, seeding.NETWORK + self.team.place.rank, 1 + step))
        self.model.train()
        self.state.method.before_step(step, settings.steps)
        try:
            terms = self.graph(drawn, self.state.method.stage) if self.graph else self._compute(drawn)
        except (torch._dynamo.exc.TorchDynamoException, torch._dynamo.exc.FailOnRecompileLimitHit) as error:
            raise UserError(
                f"--compile failed ({str(error).strip().splitlines()[0]}): train without it. It needs a C++ compiler "
                "on a CPU and a C compiler on a GPU; a method of your own must not make Python numbers of tensors."
            ) from error
        self.state.step += 1
        return terms

    @property
    def learning_rate(self) -> float:
        """Of the state's next step."""
        settings = self.run.recipe.train
        decay = poly_decay(self.state.step / settings.steps, settings.poly_power, settings.poly_horizon)
        return settings.learning_rate * decay

    def _compute(self, drawn: Drawn) -> Terms:
        """What happens on the device."""
        terms = self.model(self.make(drawn), self.progress)
        self.optimizer.zero_grad()
        self.team.fabric.backward(terms["total"])
        self.optimizer.step()
        self.state.method.after_step()
        if self.state.average:
            self.state.average.update(self.state.method.predictor())
        return {name: value.detach() for name, value in terms.items()}


class GraphedStep:
    """A step that is captured once and then replayed, with other inputs in the same memory.

    Args:
        work: the step, a function of tensors alone.
        capture: records it without running it and gives its result and what runs it, see `CudaGraphs`.
        aside: runs the plain steps before it.
    """

    def __init__(self, work: Callable[[Drawn], Terms], capture: Capture, aside: Callable[[Work], Terms]) -> None:
        self.work, self.capture, self.aside = work, capture, aside
        self.stage: int | None = None
        self._forget()

    def _forget(self) -> None:
        """Give the memory of a graph back."""
        self.plain = 0  # plain steps of this stage
        self.inputs: Drawn | None = None
        self.terms: Terms = {}
        self.replay: Callable[[], object] = lambda: None

    def __call__(self, drawn: Drawn, stage: int) -> Terms:
        """The step's terms; each `stage` has a graph of its own, and terms are overwritten by the next step."""
        if stage != self.stage:
            self._forget()
            self.stage = stage
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
    """Runs and captures work on one stream of its own, of the current device."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def aside(self, work: Work) -> Terms:
        """Run it there, after what was asked for before, and before what is asked for next."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = work()
        current.wait_stream(self.stream)
        return result

    def capture(self, work: Work) -> tuple[Terms, Callable[[], object]]:
        """A `Capture`. PyTorch's generator goes on being seeded from outside; other threads may pin memory meanwhile.

        Raises:
            UserError: the step does what a graph cannot hold.
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
