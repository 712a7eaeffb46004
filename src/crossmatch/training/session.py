"""All that a run trains with, put together: network, method, voxels, batches, step, and what validates."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from crossmatch.batches import seeding
from crossmatch.batches.views import Batches
from crossmatch.inference.predictor import Predictor
from crossmatch.networks.segmenter import Segmenter
from crossmatch.runs.devices import uses_bf16
from crossmatch.runs.run import Run
from crossmatch.training.material import TrainingCases
from crossmatch.training.recalibrate import Recalibration
from crossmatch.training.state import TrainerState
from crossmatch.training.step import TrainingStep
from crossmatch.training.teacher import refuse_other_task
from crossmatch.training.team import Team


class Session(NamedTuple):
    """A training that is ready for its next step."""

    state: TrainerState
    batches: Batches
    take_step: TrainingStep
    predictor: Predictor
    recalibrate: Recalibration


def open_session(
    run: Run,
    cases: TrainingCases,
    team: Team,
    loading: Callable[[int, int], None],
    *,
    begin_with: Callable[[Segmenter], None] = lambda network: None,
    compiled: bool = False,
    graphs: bool = False,
) -> Session:
    """Read the scans and make everything else, at the run's last checkpoint where there is one.

    Args:
        loading: called with scans read and in all.
        begin_with: puts weights into the fresh network, before a method copies it.
        compiled, graphs: see `TrainingStep`.
    """
    recipe, rank = run.recipe, team.place.rank
    refuse_other_task(run)
    torch.manual_seed(seeding.mix(recipe.seed, seeding.NETWORK, 0))  # of the initial weights
    network = run.build_network()
    begin_with(network)
    state = TrainerState.fresh(recipe, network, team.device, graphs)
    state.restore(run)
    state.method = team.joined(state.method)
    store = cases.load(recipe, run.folder, team.device, loading, rank)

    def batches_of(share: tuple[int, int], foreground: float, early_steps: int) -> Batches:
        return Batches(
            store,
            recipe.data.size,
            recipe.views,
            recipe.train.batch,
            recipe.seed,
            team.device,
            unlabelled=bool(cases.unlabelled),
            patches=recipe.data.sampling == "patch",
            foreground=foreground,
            foreground_steps=recipe.data.foreground_steps,
            share=share,
            augmented=recipe.method_class.augmented,
            early_size=recipe.data.early_size,
            early_steps=early_steps,
        )

    batches = batches_of((rank, team.place.count), recipe.data.foreground, recipe.early_steps)
    recalibrate = Recalibration(state, batches_of((0, 1), 0.0, 0), team.fabric.autocast)
    axis, windows = cases.dataset.slice_axis, run.fixed_windows
    bf16 = uses_bf16(recipe.train.precision, team.device)  # no gradient is needed
    predictor = Predictor(state.predictor, recipe, axis, team.device, fixed=windows, frame=run.frame, bf16=bf16)
    return Session(state, batches, TrainingStep(run, team, state, batches, compiled, graphs), predictor, recalibrate)
