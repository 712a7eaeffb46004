"""A recipe as TOML: every setting, with a remark beside those that have one."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from crossmatch.recipes.schema import Recipe


def recipe_toml(
    recipe: Recipe, reasons: Mapping[str, str], others: Mapping[str, Mapping[str, object]], head: str
) -> str:
    """The text of a recipe file.

    Args:
        recipe: all of it is written.
        reasons: dotted key -> remark.
        others: method -> its settings, for tables [methods.NAME].
        head: comment at the top, of one or more lines.
    """
    tree = recipe.model_dump(mode="json")
    lines = [f"# {line}" for line in head.splitlines()]
    lines += _table("", tree, reasons)
    for name, settings in others.items():
        lines += ["", *_table(f"methods.{name}", {**settings}, {})]
    return "\n".join(lines).lstrip("\n") + "\n"


def _table(name: str, tree: dict[str, Any], reasons: Mapping[str, str]) -> Iterator[str]:
    """The lines of a table: its own values first, then the tables in it."""
    values = {key: value for key, value in tree.items() if not isinstance(value, dict)}
    if name and values:
        yield f"[{name}]"
    for key, value in values.items():
        reason = reasons.get(f"{name}.{key}".lstrip("."))
        yield f"{key} = {_value(value)}" + (f"  # {reason}" if reason else "")
    for key, value in tree.items():
        if isinstance(value, dict):
            inner = list(_table(f"{name}.{key}".lstrip("."), value, reasons))
            yield from ([] if not inner or inner[0] == "" else [""])
            yield from inner


def _value(value: object) -> str:
    """A value in TOML: texts as JSON writes them, lists in brackets."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
