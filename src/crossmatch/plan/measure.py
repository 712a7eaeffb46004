"""What a training costs on this machine: three steps, one validation case and one checkpoint are timed.

Voxels of four scans at most are loaded. Test cases are sealed meanwhile.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from crossmatch import formats
from crossmatch.batches.views import to_device
from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import Dataset
from crossmatch.formats.seal import sealed
from crossmatch.inference.predictor import Predictor
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.devices import choose_device, memory_advice, peak_memory, uses_bf16
from crossmatch.runs.machine import Machine
from crossmatch.runs.run import Run, new_record
from crossmatch.training.fit import LOWER_MEMORY
from crossmatch.training.material import TrainingCases, training_cases
from crossmatch.training.ranks import ALONE
from crossmatch.training.session import open_session
from crossmatch.training.team import Team

WARM_UP = 2  # steps before those that are timed
TIMED = 3
LOADED = 2  # scans of each kind
START_SECONDS = 6.0  # of a process: imports, the dataset's lists


@dataclass(frozen=True)
class Cost:
    """What a recipe takes on a machine."""

    step: float  # seconds
    validation: float  # seconds, of all validation cases once
    saving: float  # seconds, of one checkpoint
    start: float  # seconds before the first step
    memory: int  # bytes, the most at once
    disk: int  # bytes of the run's folder

    def seconds(self, recipe: Recipe) -> float:
        """Of the whole training."""
        train = recipe.train
        saves = -(-train.steps // train.checkpoint_every)
        validations = -(-train.steps // train.validate_every) if self.validation else 0
        return (
            self.start + train.steps * self.step + validations * (self.validation + self.saving) + saves * self.saving
        )


def measure(
    recipe: Recipe,
    dataset: Dataset,
    device: str,
    loading: Callable[[int, int], None] = lambda done, total: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Cost:
    """Time a recipe on a dataset that was opened with all its splits.

    Args:
        device: as for training.
        loading: called with (cases scanned, cases in all) where the dataset has no fresh fingerprint.
        clock: gives seconds.

    Raises:
        UserError: what training would refuse too, and memory that is too small for a step.
    """
    chosen = choose_device(device)
    with sealed(dataset.only("test").files()), memory_advice(LOWER_MEMORY), tempfile.TemporaryDirectory() as place:
        cases = training_cases(recipe, dataset, loading)
        prints = {case.id: case for case in load_fingerprint(dataset, loading).cases}
        drawn_on = sorted(cases.labelled, key=lambda case: prints[case.id].box is None)  # steps may need a structure
        few = replace(cases, labelled=tuple(drawn_on[:LOADED]), unlabelled=cases.unlabelled[:LOADED])
        bf16 = uses_bf16(recipe.train.precision, chosen, recipe.coarse_size)
        run = Run(Path(place), recipe, new_record(recipe, cases.facts, Machine(chosen, "bf16" if bf16 else "float32")))
        team = Team(ALONE, chosen, bf16)
        began = clock()
        session = open_session(run, few, team, lambda done, total: None)
        read = len(few.labelled) + len(few.unlabelled)
        opening = clock() - began
        ends = []
        for step in range(WARM_UP + TIMED):
            terms = session.take_step(to_device(session.batches.draw(step), session.batches.device))
            float(terms["total"])  # waits for the device
            ends.append(clock())
        seconds = sorted(after - before for before, after in zip(ends[WARM_UP - 1 :], ends[WARM_UP:], strict=False))
        began = clock()
        session.state.save(run, "last")
        saving = clock() - began
        size = run.checkpoint("last").stat().st_size
        validation = _validation_seconds(session.predictor, cases, clock)
        memory = peak_memory(team.device) or 0
    whole = len(cases.labelled) + len(cases.unlabelled)
    fits = cases.voxel_bytes <= recipe.data.memory_gb * 2**30
    left = round(cases.voxel_bytes * (1 - read / whole))
    return Cost(
        step=seconds[len(seconds) // 2],
        validation=validation,
        saving=saving,
        start=START_SECONDS + opening * whole / read,
        memory=memory + (left if fits else 0),
        disk=2 * size + (0 if fits else round(1.5 * cases.voxel_bytes)),
    )


def _validation_seconds(predictor: Predictor, cases: TrainingCases, clock: Callable[[], float]) -> float:
    """Of all validation cases, from the first one."""
    found = cases.dataset.split("val")
    if not found:
        return 0.0
    case = found[0]
    predictor.network.eval()
    began = clock()
    predictor(formats.read_channels(case.images), case.images[0])
    return (clock() - began) * len(found)
