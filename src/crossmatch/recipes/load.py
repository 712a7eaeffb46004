"""Recipes with changes, `--set section.key=value`: put together, checked, and every mistake explained."""

import copy
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from crossmatch.errors import UserError, offered
from crossmatch.recipes.files import extend, read_tree
from crossmatch.recipes.schema import CHOICES, Recipe
from crossmatch.recipes.toml import to_toml


def recipe_text(recipe: str) -> str:
    """A recipe by name or path as complete TOML, with every setting, to read or to begin one's own with.

    Raises:
        UserError: as `load_recipe`.
    """
    return to_toml(whole_tree(load_recipe(recipe))) + "\n"


def whole_tree(recipe: Recipe) -> dict[str, Any]:
    """A recipe as a tree of plain values, with the tables of other methods where it has any."""
    tree = recipe.model_dump(mode="json")
    return {**tree, "methods": copy.deepcopy(recipe.methods)} if recipe.methods else tree


def load_recipe(
    recipe: str | os.PathLike[str] | Recipe | Mapping[str, Any], overrides: Sequence[str] | Mapping[str, object] = ()
) -> Recipe:
    """A recipe by name, by the path of a TOML file, or one that is at hand (or its tree), with changes applied.

    Changes come as text, ``["train.steps=1000"]``, or as values, ``{"train.steps": 1000}``.

    A change of `method.name` or `network.name` drops the settings of what it replaces. A recipe can say how other
    methods are set, in tables ``[methods.NAME]``. They hold once `method.name` is changed to NAME. A change of
    ``methods.NAME.key`` counts where the method is NAME, and is passed over where it is another one.

    Raises:
        UserError: unknown recipe, unknown key (the valid ones are listed), or a value that does not fit.
    """
    origin = "given" if isinstance(recipe, Recipe | Mapping) else os.fspath(recipe)
    if isinstance(recipe, Recipe):
        tree = whole_tree(recipe)
    else:
        tree = copy.deepcopy(dict(recipe)) if isinstance(recipe, Mapping) else read_tree(origin)
    changes = parsed(overrides)
    for group in CHOICES:
        for name in [value for keys, value in changes if keys == [group, "name"]][-1:]:
            tree = extend(tree, {group: {"name": name}})
    chosen = tree.get("method", {}).get("name", CHOICES["method"].default)
    if "methods" in tree:
        tree["methods"] = {name: table for name, table in tree["methods"].items() if name != chosen}
    changes = _of_one_method(changes, chosen)
    for keys, value in changes:
        node = tree
        for key in keys[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise UserError(f"--set {'.'.join(keys)}: {key} is a value, not a group of settings.")
        node[keys[-1]] = value
    return parse_recipe(tree, f"recipe {origin}")


def parse_recipe(tree: dict[str, Any], origin: str) -> Recipe:
    """A recipe from a tree of plain values; `origin` names it in the message when something does not fit."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(_explain(tree, dict(problem)) for problem in error.errors())
        raise UserError(f"In {origin}: {problems}.") from None


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


def parsed(changes: Sequence[str] | Mapping[str, object]) -> list[tuple[list[str], Any]]:
    """Changes of a recipe in either form, as the parts of each key and the value."""
    if isinstance(changes, Mapping):
        return [(key.split("."), value) for key, value in changes.items()]
    return [parse_change(text) for text in changes]


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
        section = "".join(f"{key}." for key in keys[:-1])
        valid = _valid_keys(tree, keys[:-1])
        return f"unknown key {where}; {offered(keys[-1], valid, 'valid keys here are', section)}"
    found = problem["input"]
    if problem["type"] == "tuple_type" or (isinstance(found, str) and found.startswith("[")):
        return f"{where.removesuffix('.word')}: write it like {_as_list(str(found))} (found {found!r})"
    message: str = problem["msg"].removeprefix("Value error, ")
    if not where or isinstance(problem["input"], dict):  # a rule about several settings, which it names itself
        return message
    return f"{where}: {message} (found {problem['input']!r})"


def _as_list(text: str) -> str:
    """A list as TOML has it, with the numbers of a text that was meant as one; an example where there are none.

    >>> _as_list("[64,32")
    '[64, 32]'
    """
    numbers = re.findall(r"[0-9]+(?:\.[0-9]+)?", text)
    return f"[{', '.join(numbers if len(numbers) > 1 else 2 * (numbers or ['128']))}]"


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
