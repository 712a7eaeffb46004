"""What other runs learned from whose weights a run begins with or is taught by. It is no test of the run any more."""

from collections.abc import Callable
from pathlib import Path

from crossmatch.dataset.dataset import Dataset
from crossmatch.errors import UserError, listed
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.record import DataFacts, ever_labelled
from crossmatch.runs.run import Run, open_run


def with_past(
    facts: DataFacts, dataset: Dataset, recipe: Recipe, begin_from: Path | None, warn: Callable[[str], None]
) -> DataFacts:
    """The facts of a new run, with the cases that its labels do not name and earlier runs learned from with labels.

    Cases are told by their names. So runs of another dataset, by its name and folder, add none.

    Args:
        facts: what run.json says of the data; dataset: with all its splits.
        begin_from: the run whose weights the new one begins with; its recipe may name another one that teaches it.
        warn: is told of validation and test cases that are among them, or that may be.
    """
    before: dict[str, None] = {}
    held_out = {case.id for case in dataset.cases if case.split != "train"}
    for folder in filter(None, (begin_from, recipe.method.settings.taught_by)):
        run = _opened(folder)
        if run is None:
            continue
        if run.is_packed:
            if held_out:
                warn(
                    f"{folder} is a packed model, which names no cases. If it learned from cases that are for "
                    "validation or test now, their scores say little about new scans"
                )
        elif run.data["name"] == facts["name"] or run.data["root"] == facts["root"]:
            before |= dict.fromkeys(ever_labelled(run.data))
            if known := sorted(held_out & {*ever_labelled(run.data)}):
                warn(
                    f"{folder} learned from the labels of cases that are for validation or test now: {listed(known)}. "
                    "Their scores say little about new scans"
                )
    earlier = [name for name in before if name not in facts["labelled"]]
    return {**facts, "labelled_before": earlier} if earlier else facts


def _opened(folder: Path) -> Run | None:
    """The run of a folder; None where there is none, which others refuse in their words."""
    try:
        return open_run(folder)
    except UserError:
        return None
