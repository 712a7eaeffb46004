"""One training step: batch, loss, backward, optimiser, averages; plain, compiled, or replayed as a CUDA graph."""

import torch

from crossmatch.batches import seeding
from crossmatch.batches.views import Batches, Drawn
from crossmatch.errors import UserError
from crossmatch.runs.run import Run
from crossmatch.training.graphs import CudaGraphs, GraphedStep, Terms
from crossmatch.training.state import TrainerState
from crossmatch.training.team import Team


class TrainingStep:
    """Takes the next step of a run: call it with what `Batches.draw` drew for that step.

    Args:
        run, team, state: of the training.
        batches: makes a batch of what was drawn.
        compiled: compile the loss, encoder and decoder passes included, and the making of views, each as one graph
            without breaks and with fixed shapes.
        graphs: replay the whole step as a CUDA graph.
    """

    def __init__(
        self, run: Run, team: Team, state: TrainerState, batches: Batches, compiled: bool = False, graphs: bool = False
    ) -> None:
        self.run, self.team, self.state = run, team, state
        optimizers = state.optimizers.values()
        self.model, *self.optimizers = team.fabric.setup(state.method, *optimizers, move_to_device=False)
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
        # dropout draws from a stream of its own on every rank
        torch.manual_seed(seeding.mix(seed, seeding.NETWORK + self.team.place.rank, 1 + step))
        self.model.train()
        self.state.method.before_step(step, settings.steps)
        try:
            kind = self.state.method.stage, drawn.labelled.size
            terms = self.graph(drawn, kind) if self.graph else self._compute(drawn)
        except (torch._dynamo.exc.TorchDynamoException, torch._dynamo.exc.FailOnRecompileLimitHit) as error:
            raise UserError(
                f"--compile failed ({str(error).strip().splitlines()[0]}): train without it. It needs a C++ compiler "
                "on a CPU and a C compiler on a GPU; a method of your own must not turn tensors into Python numbers."
            ) from error
        self.state.step += 1
        return terms

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        recipe = self.run.recipe
        return recipe.learning_rate(self.state.step / recipe.train.steps)

    def _compute(self, drawn: Drawn) -> Terms:
        """What happens on the device."""
        terms = self.model(self.make(drawn), self.progress)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        self.team.fabric.backward(terms["total"])
        for optimizer in self.optimizers:
            optimizer.step()
        self.state.method.after_step()
        if self.state.average:
            self.state.average.update(self.state.method.predictor())
        return {name: value.detach() for name, value in terms.items()}
