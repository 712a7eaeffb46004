"""What other runs learned from whose weights a run begins with or is taught by. It is no test of the run any more."""

from collections.abc import Callable, Mapping
from pathlib import Path

from crossmatch.dataset.dataset import Dataset
from crossmatch.errors import UserError, listed
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.record import DataFacts, ever_labelled, labelled_contents
from crossmatch.runs.run import Run, open_run


def with_past(
    facts: DataFacts,
    contents: Mapping[str, str],
    dataset: Dataset,
    recipe: Recipe,
    begin_from: Path | None,
    warn: Callable[[str], None],
) -> DataFacts:
    """The facts of a new run, with the cases that its labels do not name and earlier runs learned from with labels.

    Cases are told by their images, also in another dataset and under another name, as where scans were imported again;
    within one dataset, by its name or folder, by their names too.

    Args:
        facts: what run.json says of the data; dataset: with all its splits.
        contents: of all its cases, see `content_of`.
        begin_from: the run whose weights the new one begins with; its recipe may name another one that teaches it.
        warn: is told of validation and test cases that are among them, or that may be.
    """
    before: dict[str, None] = {}
    images = set[str]()
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
            continue
        same = run.data["name"] == facts["name"] or run.data["root"] == facts["root"]
        theirs, names = labelled_contents(run.data), ever_labelled(run.data)
        known = [*names] if same else []
        known += [name for name, content in contents.items() if content in theirs and name not in known]
        before |= dict.fromkeys(known)
        images |= theirs
        if met := sorted(held_out.intersection(known)):
            warn(
                f"{folder} learned from the labels of cases that are for validation or test now: {listed(met)}. "
                "Their scores say little about new scans"
            )
        if not same and "contents" not in run.data and (alike := sorted(held_out.intersection(names))):
            warn(
                f"{folder} may have learned from the labels of cases that are for validation or test now: it had cases "
                f"of the names {listed(alike)}, and is of an earlier version, which does not tell their images. If "
                "they are the same scans, their scores say little about new ones: begin without it, or learn from them"
            )
    earlier = [name for name in before if name not in facts["labelled"]]
    facts = {**facts, "labelled_before": earlier} if earlier else facts
    elsewhere = sorted(images - labelled_contents(facts))
    return {**facts, "contents_before": elsewhere} if elsewhere else facts


def _opened(folder: Path) -> Run | None:
    """The run of a folder; None where there is none, which others refuse in their words."""
    try:
        return open_run(folder)
    except UserError:
        return None
