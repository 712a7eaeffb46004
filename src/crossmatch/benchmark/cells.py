"""The cells of a benchmark: every method with every number of labels, every seed and every point of the grid.

A cell is an ordinary run, in the folder CELLS/<method>/<labels>_labels/<grid>/seed<n> of the benchmark. All cells are
planned and checked before the first one trains.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crossmatch.benchmark.results import GridPoint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.methods import METHODS
from crossmatch.recipes.idle import idle
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe

CELLS = "cells"

# Settings that the benchmark sets itself -> its option for them.
OWN_OPTIONS = {
    "method.name": "--methods",
    "data.labelled": "--labelled",
    "seed": "--seeds",
    "method.teacher": "--methods",
}


@dataclass(frozen=True)
class Cell:
    """One run of a benchmark."""

    method: str
    labelled: str
    seed: int
    grid: GridPoint
    folder: Path  # of the run, within the benchmark's
    data: Path  # a dataset
    changes: tuple[str, ...]  # of the recipe, as --set takes them
    recipe: Recipe
    teacher: Path | None  # the folder of the run it learns from, within the benchmark's
    fold: int | None = None  # of a cross-validation

    def labelled_cases(self) -> list[str]:
        """The names of the cases that it learns from with labels, as the dataset's list has them now."""
        labelled, _ = open_dataset(self.data, splits=["train"]).labelled(self.recipe.data.labelled)
        return sorted(case.id for case in labelled)

    def __str__(self) -> str:
        """For people: method, labels, grid point, seed."""
        grid = "".join(f", {key}={value}" for key, value in self.grid)
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{self.method}, {self.labelled} labels{grid}, seed {self.seed}{fold}"


def plan_cells(
    recipe: str,
    data: str,
    *,
    methods: Sequence[str],
    labelled: Sequence[str],
    seeds: Sequence[int],
    grid: Sequence[tuple[str, Sequence[str]]] = (),
    changes: Sequence[str] = (),
    folds: int | None = None,
) -> list[Cell]:
    """All cells, those of the first seed first.

    Args:
        recipe: a recipe's name or file.
        data: a dataset's folder; ``{seed}`` in it stands for the seed of a cell: a dataset for each. With folds,
            ``{fold}`` stands for the number of the fold.
        methods, labelled, seeds: what to compare.
        grid: settings and their values; there are cells for every combination. Keys ``methods.NAME.key`` apply to the
            method NAME alone.
        changes: of every cell's recipe, ``section.key=value``.
        folds: how many there are; None: no cross-validation.

    Raises:
        UserError: a name, setting or value that does not exist, something named twice, a missing teacher.
    """
    keys = [key for key, _ in grid]
    given = [text.partition("=")[0].strip() for text in changes]
    for key in (*keys, *given):
        if key in OWN_OPTIONS:
            raise UserError(f"{key} is chosen with {OWN_OPTIONS[key]} here, not with --grid or --set.")
    if both := sorted(set(keys) & set(given)):
        raise UserError(f"{both[0]} is in --grid and in --set: take it out of one of them.")
    _refuse_unknown(methods)
    chosen = {"--methods": methods, "--labelled": labelled, "--seeds": seeds, **{f"--grid {k}": v for k, v in grid}}
    for option, values in chosen.items():
        _refuse_repeated(option, [str(value) for value in values])
    if repeated := [key for n, key in enumerate(keys) if key in keys[:n]]:
        raise UserError(f"--grid names {repeated[0]} twice: give all its values at once, with commas.")
    points = [tuple(zip(keys, values, strict=True)) for values in itertools.product(*(values for _, values in grid))]
    numbers = [None] if folds is None else list(range(folds))
    every = (
        _cell(recipe, data, method, labels, seed, point, changes, fold)
        for seed, fold, labels, point, method in itertools.product(seeds, numbers, labelled, points, methods)
        if point == next(p for p in points if _of_method(p, method) == _of_method(point, method))
    )
    cells = list(every)
    for n, cell in enumerate(cells):
        if alike := [
            other
            for other in cells[:n]
            if other.folder == cell.folder or (other.recipe == cell.recipe and other.fold == cell.fold)
        ]:
            raise UserError(f"These two are the same run: {alike[0]}; {cell}. Give each value of --grid once.")
    _refuse_idle(cells, keys)
    return cells


def _refuse_idle(cells: Sequence[Cell], grid: Sequence[str]) -> None:
    """Refuse a grid over a setting that changes no cell of one of the methods: its rows would be equal.

    A change of all cells may be without effect in some of them, and a table may be made method by method.
    """
    found = [(cell.method, idle(cell.recipe, grid)) for cell in cells]
    for key, method in itertools.product(grid, dict.fromkeys(cell.method for cell in cells)):
        of_method = [each for name, each in found if name == method]
        if all(key in each for each in of_method):
            raise UserError(
                f"--grid {key} has no effect with {method}: {of_method[0][key]}. Leave {method} out, and run it in a "
                "benchmark without this grid."
            )


def parse_grid(text: str) -> tuple[str, list[str]]:
    """``section.key=v1,v2`` -> the key and its values; commas inside brackets are part of a value.

    Raises:
        UserError: no key, or no value.
    """
    key, _, rest = text.partition("=")
    values, depth, value = [], 0, ""
    for letter in rest + ",":
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth <= 0:
            values.append(value.strip())
            value = ""
        else:
            value += letter
    if not key.strip() or not all(values) or value:
        raise UserError(f"--grid takes section.key=value,value, for example method.eta=0,0.3,1; got {text!r}.")
    return key.strip(), values


def _cell(
    recipe: str,
    data: str,
    method: str,
    labelled: str,
    seed: int,
    grid: GridPoint,
    changes: Sequence[str],
    fold: int | None,
) -> Cell:
    grid_of_all, grid = grid, _of_method(grid, method)
    settings = [f"method.name={method}", f'data.labelled="{labelled}"', f"seed={seed}", *changes]
    settings += [f"{key}={value}" for key, value in grid]
    teacher = None
    if (other := METHODS[method].learns_from) is not None:  # its run of the same labels, grid point, seed and data
        teacher = _folder(other, labelled, _of_method(grid_of_all, other), seed, fold)
        settings.append(f"method.teacher={teacher}")
    try:
        chosen = load_recipe(recipe, settings)
    except UserError as error:
        raise UserError(f"Cells of {method}: {error}") from None
    folder = _folder(method, labelled, grid, seed, fold)
    where = Path(data.replace("{seed}", str(seed)).replace("{fold}", str(fold)))
    return Cell(method, labelled, seed, grid, folder, where, tuple(settings), chosen, teacher, fold)


def _of_method(point: GridPoint, method: str) -> GridPoint:
    """A point of the grid without the settings of other methods."""
    return tuple((k, v) for k, v in point if not k.startswith("methods.") or k.split(".")[1] == method)


def _folder(method: str, labelled: str, grid: GridPoint, seed: int, fold: int | None) -> Path:
    point = ",".join(f"{key}={value}" for key, value in grid).replace("/", "_").replace(" ", "")
    name = f"seed{seed}" if fold is None else f"seed{seed}_fold{fold}"
    return Path(CELLS, method, f"{labelled}_labels", point, name)


def _refuse_unknown(methods: Sequence[str]) -> None:
    for name in methods:
        if name not in METHODS:
            raise UserError(f"There is no method {name!r}; there are {', '.join(METHODS)}.")
        other = METHODS[name].learns_from
        if other is not None and other not in methods:
            raise UserError(
                f"{name} learns from a finished run of {other} with the same labels and seed: add {other} to --methods."
            )


def _refuse_repeated(what: str, values: Sequence[str]) -> None:
    if not values:
        raise UserError(f"{what} is empty: name at least one.")
    if again := [value for n, value in enumerate(values) if value in values[:n]]:
        raise UserError(f"{what} has {again[0]} twice: name everything once.")
