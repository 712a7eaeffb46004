"""A plan: the recipe for a dataset on this machine, and what it will take, known before training.

Without minutes, the machine decides the level. With minutes, the largest level that leaves enough steps is taken; the
smallest one is measured first, larger ones are estimated from it by voxels and width, and the chosen one is measured.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.plan import rules
from crossmatch.plan.facts import Facts, training_facts
from crossmatch.plan.given import GIVEN
from crossmatch.plan.levels import LEVELS, Level, usual_level
from crossmatch.plan.measure import Cost, measure
from crossmatch.plan.propose import VALIDATIONS, Proposal, propose
from crossmatch.plan.rules import Chosen
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.devices import choose_device
from crossmatch.runs.display import told_time
from crossmatch.system.process import cores

FULL_STEPS = 10_000  # of a GPU's setting
REDUCED_STEPS = {2: 2000, 3: 1000}  # of a CPU's, by axes
ENOUGH_STEPS = 1500  # a larger level is not worth it with fewer
LEAST_STEPS = 100  # fewer teach nothing
VALIDATION_SHARE = 0.1  # of the time, at most
SAVES = 4  # checkpoints beside those of validations
MARGIN = 0.97  # of the minutes, as steps do not all take the same

Measure = Callable[[Proposal], Cost]


@dataclass(frozen=True)
class Plan:
    """A recipe with reasons, and what it takes on this machine."""

    proposal: Proposal
    cost: Cost

    @property
    def minutes(self) -> float:
        """Of the whole training."""
        return self.cost.seconds(self.proposal.recipe) / 60

    def cost_lines(self) -> list[str]:
        """What it takes, and what to lower."""
        cost, steps = self.cost, self.proposal.recipe.train.steps
        checks = f", {cost.validation:.1f} s for the validation cases" if cost.validation else ""
        return [
            f"A step takes {cost.step:.3g} s here{checks}; {steps} steps take {told_time(60 * self.minutes)} in all.",
            f"Memory: {told_bytes(cost.memory)} at most. Disk: {told_bytes(cost.disk)}.",
            "To lower the time: --minutes, or train.steps. To lower memory: train.batch, then data.size; "
            "data.memory_gb=0 keeps the scans on disk.",
        ]

    def toml(self) -> str:
        """The recipe as a file."""
        head = [
            "Made by `crossmatch plan`. Remarks are the reasons for what was chosen; the rest is as in",
            f"the recipe own_{self.proposal.recipe.dims}d. Change what you like.",
            *self.cost_lines()[:2],
        ]
        return self.proposal.toml("\n".join(head))


def make_plan(
    data: Path,
    *,
    minutes: float | None = None,
    changes: Mapping[str, object] = {},
    device: str = "auto",
    loading: Callable[[int, int], None] = lambda done, total: None,
    measuring: Callable[[Recipe], None] = lambda recipe: None,
) -> Plan:
    """Choose a recipe for a dataset and measure it on this machine.

    Args:
        data: the dataset's folder; where it was not checked yet, it is checked first.
        minutes: that the whole training may take; None: as the machine usually takes.
        changes: ``{"section.key": value}``, which count more than the rules.
        device: as for training.
        loading: called with (cases scanned, cases in all) where the dataset has no fresh fingerprint.
        measuring: called with each recipe before it is timed, which takes seconds to minutes.

    Raises:
        UserError: no labelled case, changes that do not fit, or too few minutes; then the least possible are named.
    """
    dataset = open_dataset(data)
    facts = training_facts(dataset, str(changes.get("data.labelled", "all")), loading)
    kind = choose_device(device).type

    def costs(proposal: Proposal) -> Cost:
        measuring(proposal.recipe)
        return measure(proposal.recipe, dataset, device, loading)

    if minutes is None:
        dims = rules.dimensions(facts).value
        level, why = usual_level(kind, cores(), dims)
        count = FULL_STEPS if kind == "cuda" else REDUCED_STEPS[dims]
        proposal = propose(facts, level, Chosen(count, why), changes)
        return Plan(proposal, costs(proposal))
    return fit_minutes(facts, minutes, changes, costs)


def fit_minutes(facts: Facts, minutes: float, changes: Mapping[str, object], costs: Measure) -> Plan:
    """The plan that takes at most so many minutes.

    Raises:
        UserError: they are too few.
    """
    least = _fitted(facts, LEVELS[-1], minutes, changes, costs)
    cost = least.cost
    needed = (cost.start + LEAST_STEPS * cost.step + cost.validation + (1 + SAVES) * cost.saving) / MARGIN / 60
    if least.proposal.recipe.train.steps < LEAST_STEPS and least.proposal.reasons["train.steps"] != GIVEN:
        raise UserError(
            f"{minutes:g} minutes are too few: the least training of {LEAST_STEPS} steps takes "
            f"{needed:.1f} minutes on this machine. Give --minutes {math.ceil(10 * needed) / 10:g}, "
            f"{_smaller(least.proposal.recipe)}or train on a faster one."
        )
    for level in LEVELS[:-1]:
        if _estimate(facts, level, least, minutes, changes) < ENOUGH_STEPS:
            continue
        if (plan := _fitted(facts, level, minutes, changes, costs)).proposal.recipe.train.steps >= ENOUGH_STEPS:
            return plan
    return least


def _smaller(recipe: Recipe) -> str:
    """Which size of images is half of the least level's, where the network takes it."""
    multiple, size = recipe.network.settings.multiple, recipe.data.size
    half = [max(2 * multiple, n // 2 // multiple * multiple) for n in size]
    smaller = [min(pair) for pair in zip(half, size, strict=True)]
    return "" if smaller == list(size) else f"smaller images by --set 'data.size={smaller}', "


def _fitted(facts: Facts, level: Level, minutes: float, changes: Mapping[str, object], costs: Measure) -> Plan:
    """The plan of a level that fills the minutes."""
    cost = costs(propose(facts, level, Chosen(ENOUGH_STEPS, "to measure"), changes))
    steps, validations = steps_in(cost, minutes)
    reason = f"fills {minutes:g} minutes at {cost.step:.3g} s a step"
    return Plan(propose(facts, level, Chosen(steps, reason), changes, validations), cost)


def steps_in(cost: Cost, minutes: float) -> tuple[int, int]:
    """Steps and validations that fit into the minutes."""
    left = 60 * minutes * MARGIN - cost.start - SAVES * cost.saving
    once = cost.validation + cost.saving
    validations = max(1, min(VALIDATIONS, int(VALIDATION_SHARE * max(0.0, left) / once))) if cost.validation else 1
    steps = (left - validations * once * bool(cost.validation)) / cost.step
    return max(1, int(steps)), validations


def _estimate(facts: Facts, level: Level, least: Plan, minutes: float, changes: Mapping[str, object]) -> float:
    """Steps that a level would leave, from the cost of the least one."""
    recipe = propose(facts, level, Chosen(ENOUGH_STEPS, ""), changes).recipe
    if recipe.data.size == least.proposal.recipe.data.size and level.width == least.proposal.level.width:
        return 0.0  # the scans are too small for more

    def work(size: tuple[int, ...], batch: int, width: int) -> float:
        return float(math.prod(size)) * batch * width * math.sqrt(width)

    small = least.proposal.recipe
    ratio = work(recipe.data.size, recipe.train.batch.labelled, level.width)
    ratio /= work(small.data.size, small.train.batch.labelled, least.proposal.level.width)
    return (60 * minutes * MARGIN - least.cost.start) / (least.cost.step * ratio)


def told_bytes(count: int) -> str:
    """A number of bytes in words."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
