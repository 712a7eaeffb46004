"""Recipe files: found by name or path, read from TOML, each put on top of the one that it extends.

A recipe with ``extends = "la_8"`` is la_8 with differences. It may extend a recipe of the package, by name, or a file,
by its path relative to the recipe's own file, and that one may extend another. Tables are merged key by key. All other
values replace those of the extended recipe, lists too. Where the method or the network is another one, the table starts
anew, see `extend`.
"""

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from crossmatch.errors import UserError, offered
from crossmatch.recipes.schema import CHOICES

Tree = dict[str, Any]  # of plain values, as TOML has them


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    folder = resources.files("crossmatch") / "recipes"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_tree(recipe: str) -> Tree:
    """A recipe by name, or by the path of a TOML file, with all that it extends; not yet checked.

    Raises:
        UserError: a recipe that does not exist or is not TOML; recipes that extend each other in a circle.
    """
    return _read_tree(recipe, ())


def _read_tree(recipe: str, extending: tuple[str, ...]) -> Tree:
    """`extending`: the recipes read so far, each of which extends the next one."""
    if recipe in extending:
        circle = " -> ".join([*extending[extending.index(recipe) :], recipe])
        raise UserError(f"These recipes extend each other in a circle: {circle}. Take out one `extends`.")
    tree = _read(recipe)
    extends = tree.pop("extends", None)
    _check_tables(tree, recipe)
    if extends is None:
        return tree
    if not isinstance(extends, str):
        raise UserError(f"In recipe {recipe}: extends is the name or path of one recipe (found {extends!r}).")
    if extends.endswith(".toml"):
        extends = os.path.normpath(Path(recipe).parent / extends)
    return extend(_read_tree(extends, (*extending, recipe)), tree)


def extend(base: Tree, changes: Tree) -> Tree:
    """A tree with changes on top.

    Another method or network drops the settings of the old one. Another method starts with its own table
    ``[methods.NAME]``, and the settings of the old one are kept in such a table, in case it is chosen again.
    """
    base = dict(base)
    for group, registry in CHOICES.items():
        table = base.get(group, {})
        old = table.get("name", registry.default)
        new = changes.get(group, {}).get("name", old)
        if new == old or not isinstance(new, str):
            continue
        others = base.get("methods", {}) if group == "method" else {}
        base[group] = others.get(new, {})
        if group == "method":
            kept = {key: value for key, value in table.items() if key != "name"}
            base["methods"] = {name: settings for name, settings in others.items() if name != new} | {old: kept}
    return _merged(base, changes)


def _merged(base: Tree, changes: Tree) -> Tree:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _check_tables(tree: Tree, recipe: str) -> None:
    """Refuse what is no table where names are looked up; the settings are checked when all is put together."""
    for group in CHOICES:
        table = tree.get(group, {})
        if not isinstance(table, dict) or not isinstance(table.get("name", ""), str):
            raise UserError(f"In recipe {recipe}: {group} is a table with a name and settings (found {table!r}).")
    tables, known = tree.get("methods", {}), CHOICES["method"].classes
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise UserError(f"In recipe {recipe}: methods holds tables, one a method: [methods.mean_teacher], for example.")
    if unknown := sorted(tables.keys() - known.keys()):
        raise UserError(f"In recipe {recipe}: there is no method {unknown[0]!r}; {offered(unknown[0], known)}.")


def _read(recipe: str) -> Tree:
    path = Path(recipe)
    try:
        if path.suffix == ".toml":
            return tomllib.loads(path.read_text(encoding="utf-8"))
        if recipe in recipe_names():
            bundled = resources.files("crossmatch") / "recipes" / f"{recipe}.toml"
            return tomllib.loads(bundled.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The recipe {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The recipe {path} is not valid TOML: {error}.") from None
    raise UserError(
        f"There is no recipe {recipe!r}: {offered(recipe, recipe_names())}; or give the path of a .toml file."
    )
