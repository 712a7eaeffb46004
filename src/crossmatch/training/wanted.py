"""What is to be trained: a new run, one that goes on, one that begins with the weights of another."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from crossmatch.errors import UserError, quoted
from crossmatch.recipes.idle import idle
from crossmatch.recipes.load import load_recipe, parsed
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.run import Run, open_run

AUTO = "auto"  # in the place of a recipe's name: planned from the data
Named = str | os.PathLike[str] | Recipe | None  # a recipe's name, file or itself; None: not given
Changes = Sequence[str] | Mapping[str, object]  # as `load_recipe` takes them


class Wanted(NamedTuple):
    """What is to be trained."""

    name: str  # of the recipe, for the first line
    recipe: Recipe
    data: Path
    extend_to: int | None = None  # steps
    flags: tuple[str, ...] = ()  # that the run was started with
    notes: tuple[str, ...] = ()  # warnings about changes


def going_on(
    out: Path, recipe: Named, data: Path | None, changes: Changes, steps: int | None, begin_from: Path | None
) -> Wanted:
    """What a run was started with. Recipe, data and changes that are given are compared with it later.

    Raises:
        UserError: no run, its data are gone, or `begin_from` is given.
    """
    if begin_from is not None:
        raise UserError("--from begins a new run, and --resume goes on with one: give one of the two.")
    if not out.exists():
        raise UserError(f"There is no run {out} to resume: leave --resume out to start it.")
    run = open_run(out)
    if run.is_packed:
        raise UserError(f"{out} is a packed model: begin a new run with its weights, by --from.")
    place = Path(run.data["root"]) if data is None else data
    if not place.is_dir() and data is None:
        raise UserError(f"The data of the run {out} lay in {place}, and do not any more: say where with --data.")
    given = load_recipe(run.recipe if recipe is None or recipe == AUTO else recipe, changes)
    extend_to = None if steps in (None, run.recipe.train.steps) else steps
    return Wanted(str(out), given, place, extend_to, tuple(run.record["device"].get("flags", [])))


def new_run(
    recipe: Named, data: Path | None, changes: Changes, begin_from: Path | None, plan: Callable[[Path], Recipe]
) -> Wanted:
    """A recipe by name or planned; with `begin_from` recipe and data of that run where none are given.

    Args:
        plan: makes the recipe for a dataset's folder, where `recipe` is ``auto``.

    Raises:
        UserError: no recipe, or no data.
    """
    other = None if begin_from is None else open_run(begin_from)
    if data is None:
        if other is None or other.is_packed:
            raise UserError("Name the dataset's folder with --data (a run that goes on with --resume knows its own).")
        data = Path(other.data["root"])
    if recipe is None:
        if other is None:
            raise UserError(f"Name a recipe: {AUTO}, one of `crossmatch recipes`, or a .toml file.")
        chosen, name = _changed(other, changes), str(begin_from)
    elif recipe == AUTO:
        chosen, name = plan(data), AUTO
    else:
        chosen, name = load_recipe(recipe, changes), str(recipe)
    without = idle(chosen, (".".join(keys) for keys, _ in parsed(changes)))
    return Wanted(name, chosen, data, notes=tuple(f"{key} has no effect: {why}" for key, why in without.items()))


def _changed(run: Run, changes: Changes) -> Recipe:
    """A run's recipe with changes; another method only where the run knows how its recipe sets it."""
    recipe = load_recipe(run.recipe, changes)
    if recipe.method.name != run.recipe.method.name and "methods" not in run.record:
        raise UserError(
            f"{run.folder} was made by an earlier version and does not say how its recipe sets {recipe.method.name}: "
            f"name the recipe too, as in `crossmatch train RECIPE --from {quoted(run.folder)}`."
        )
    return recipe
