"""Checks before the first cell runs: data, test cases, and that no other benchmark runs in the folder."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from crossmatch.benchmark.cells import Cell
from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import Dataset, open_dataset
from crossmatch.dataset.layout import list_cases, read_description
from crossmatch.errors import UserError, listed
from crossmatch.methods import METHODS


def fingerprints(cells: Sequence[Cell], checkpoint: str, console: Console) -> dict[Path, str]:
    """Check every dataset of the cells: its folder -> the digest of its content.

    Raises:
        UserError: a dataset that cannot be used by its cells.
    """
    found = {}
    for root in sorted({cell.data for cell in cells}):
        here = [cell for cell in cells if cell.data == root]
        dataset = open_dataset(root)
        _refuse_unfit(dataset, here, checkpoint)
        console.print(f"Checking {root}", soft_wrap=True, markup=False, highlight=False)
        found[root] = load_fingerprint(dataset).digest  # reads new files now, because trainings may not open test cases
    return found


def _refuse_unfit(dataset: Dataset, cells: Sequence[Cell], checkpoint: str) -> None:
    root, test = dataset.root, dataset.split("test")
    in_folder = set(list_cases(root, read_description(root)).test)
    astray = sorted({case.id for case in test} ^ in_folder) + [case.id for case in test if case.label is None]
    if astray or not test:
        raise UserError(
            f"A benchmark reads its test cases from {root}/imagesTs, all that are there, and their labels from "
            "labelsTs; " + (f"not there, or not in the test list: {listed(astray)}." if astray else "there are none.")
        )
    if checkpoint == "best" and not dataset.split("val"):
        raise UserError(f"{root} has no validation cases, so no run has a best checkpoint: leave out --checkpoint.")
    for cell in cells:
        if cell.recipe.data.dataset not in ("", dataset.name):
            raise UserError(
                f"The recipe is for the dataset {cell.recipe.data.dataset}, and {root} is {dataset.name}: choose the "
                'recipe made for it, or insist with --set data.dataset="".'
            )
        dataset.labelled(cell.labelled)


def idle(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that cannot run: their method needs unlabelled cases, and every case is labelled."""
    none_left = {
        (root, labelled): not open_dataset(root, splits=["train"]).labelled(labelled)[1]
        for root, labelled in {(cell.data, cell.labelled) for cell in cells}
    }
    return [c for c in cells if METHODS[c.method].needs_unlabelled and none_left[c.data, c.labelled]]
