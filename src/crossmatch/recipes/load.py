"""Recipes by name or file: read from TOML, changed by `--set section.key=value`, with every mistake explained."""

import copy
import os
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from crossmatch.errors import UserError
from crossmatch.recipes.schema import CHOICES, Recipe


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    folder = resources.files("crossmatch") / "recipes"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """The TOML of a recipe that comes with the package, to begin one's own with.

    Raises:
        UserError: no recipe of that name.
    """
    if name not in recipe_names():
        raise UserError(
            f"There is no recipe {name!r}. There are {', '.join(recipe_names())}; or give the path of a .toml file."
        )
    return (resources.files("crossmatch") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


def load_recipe(
    recipe: str | os.PathLike[str] | Recipe | Mapping[str, Any], overrides: Sequence[str] | Mapping[str, object] = ()
) -> Recipe:
    """A recipe by name, by the path of a TOML file, or one that is at hand (or its tree), with changes applied.

    Changes come as text, ``["train.steps=1000"]``, or as values, ``{"train.steps": 1000}``.

    Changing `method.name` or `network.name` drops the settings of what it replaces. A recipe may say what other methods
    are set to here, in tables ``[methods.NAME]``: they hold once `method.name` is changed to NAME. A change of
    ``methods.NAME.key`` holds for the method NAME alone, whether the recipe is of it or not.

    Raises:
        UserError: unknown recipe, unknown key (the valid ones are listed), or a value that does not fit.
    """
    name = "given" if isinstance(recipe, Recipe | Mapping) else os.fspath(recipe)
    if isinstance(recipe, Recipe):
        tree = recipe.model_dump(mode="json")
    else:
        tree = copy.deepcopy(dict(recipe)) if isinstance(recipe, Mapping) else _read(name)
    if isinstance(overrides, Mapping):
        changes = [(key.split("."), value) for key, value in overrides.items()]
    else:
        changes = [parse_change(text) for text in overrides]
    others = _settings_of_others(tree.pop("methods", {}), name)
    for group, registry in CHOICES.items():
        chosen = tree.get(group, {})
        named = chosen.get("name", registry.default) if isinstance(chosen, dict) else chosen
        wanted = [value for keys, value in changes if keys == [group, "name"]]
        if wanted and wanted[-1] != named:
            tree[group] = dict(others.get(str(wanted[-1]), {})) if group == "method" else {}
        if group == "method":
            changes = _of_one_method(changes, str(wanted[-1] if wanted else named))
    for keys, value in changes:
        node = tree
        for key in keys[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise UserError(f"--set {'.'.join(keys)}: {key} is a value, not a group of settings.")
        node[keys[-1]] = value
    return parse_recipe(tree, f"recipe {name}")


def parse_recipe(tree: dict[str, Any], origin: str) -> Recipe:
    """A recipe from a tree of plain values; `origin` names it in the message when something does not fit."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(_explain(tree, dict(problem)) for problem in error.errors())
        raise UserError(f"In {origin}: {problems}.") from None


def _read(name: str) -> dict[str, Any]:
    path = Path(name)
    if path.suffix != ".toml":
        return tomllib.loads(recipe_text(name))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The recipe {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The recipe {path} is not valid TOML: {error}.") from None


def _settings_of_others(tables: Any, name: str) -> dict[str, dict[str, Any]]:
    """The tables [methods.NAME] of a recipe, checked for names; what is in one is checked when it is used."""
    known = CHOICES["method"].classes
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise UserError(f"In recipe {name}: methods holds tables, one a method: [methods.mean_teacher], for example.")
    if unknown := sorted(tables.keys() - known.keys()):
        raise UserError(f"In recipe {name}: there is no method {unknown[0]!r}; there are {', '.join(known)}.")
    return tables


def _of_one_method(changes: list[tuple[list[str], Any]], name: str) -> list[tuple[list[str], Any]]:
    """Changes of ``methods.NAME.key`` as changes of ``method.key`` where NAME is the method, else left out."""
    kept, known = [], CHOICES["method"].classes
    for keys, value in changes:
        if keys[0] != "methods":
            kept.append((keys, value))
        elif len(keys) < 3 or keys[1] not in known or keys[2] == "name":
            raise UserError(f"--set {'.'.join(keys)}: write methods.NAME.key, with NAME one of {', '.join(known)}.")
        elif keys[1] == name:
            kept.append((["method", *keys[2:]], value))
    return kept


def parse_change(text: str) -> tuple[list[str], Any]:
    """``section.key=value`` -> the parts of the key, and the value as TOML reads it, or as text.

    >>> parse_change("data.size=[128, 128]")
    (['data', 'size'], [128, 128])

    Raises:
        UserError: no key, or no equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set takes section.key=value, for example train.steps=1000; got {text!r}.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return key.strip().split("."), parsed


def _explain(tree: dict[str, Any], problem: dict[str, Any]) -> str:
    """One mistake in words: where it is, what was found, what would be right."""
    keys = [str(part) for part in problem["loc"]]
    where = ".".join(keys)
    if problem["type"] == "extra_forbidden":
        valid = _valid_keys(tree, keys[:-1])
        return f"unknown key {where}; valid keys here are {', '.join(valid)}"
    message: str = problem["msg"].removeprefix("Value error, ")
    if not where or isinstance(problem["input"], dict):  # a rule about several settings, which it names itself
        return message
    return f"{where}: {message} (found {problem['input']!r})"


def _valid_keys(tree: dict[str, Any], path: list[str]) -> list[str]:
    model: type[BaseModel] = Recipe
    if path and path[0] in CHOICES:
        known, default = CHOICES[path[0]]
        model, path = known[tree[path[0]].get("name", default)].Settings, path[1:]
        if not path:
            return ["name", *model.model_fields]
    for key in path:
        annotation = model.model_fields[key].annotation
        candidates = [annotation, *get_args(annotation)]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)
