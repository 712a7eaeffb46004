"""The tables of settings.md, made from the settings' own models: every key with type, default, range and meaning.

`groups()` is plain data, which a test reads too; `tables()` writes it as Markdown where the page says so.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator
from itertools import pairwise
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx

from crossmatch.recipes.schema import CHOICES, Choice, Recipe
from crossmatch.settings import LowerFirst, Settings

PLACE = "<!-- the tables of settings -->"
WORDS = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}
COUNTS = {2: "two", 3: "three"}


class Row(NamedTuple):
    """One setting, in words."""

    key: str
    type: str
    default: str
    range: str
    meaning: str


class Group(NamedTuple):
    """The settings of one table of a recipe."""

    title: str
    about: str
    rows: list[Row]


def groups() -> Iterator[Group]:
    """The groups of a recipe in its own order, then each network and each method."""
    yield from _groups(Recipe, "", "The recipe itself", "")
    for kind, (classes, default) in reversed(CHOICES.items()):
        row = Row(f"{kind}.name", _one_of(classes), _default(default), "", f"Which {kind} is used.")
        yield Group(f"`{kind}`", "The name. The settings of each follow.", [row])
        for name, chosen in classes.items():
            title = f"{kind.capitalize()} `{name}`"
            yield from _groups(chosen.Settings, f"{kind}.", title, f"{title}: ")


def tables() -> str:
    """All groups as Markdown: a heading, what the group is for, a table."""
    return "\n".join(line for group in groups() for line in _markdown(group))


def _groups(model: type[Settings], prefix: str, title: str, inner_title: str) -> Iterator[Group]:
    types = {key: field.annotation for key, field in model.model_fields.items()}
    inner = {key: kind for key, kind in types.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}
    meanings = _meanings(model)
    rows = [
        _row(prefix + k, field, meanings.get(k, ""))
        for k, field in model.model_fields.items()
        if k not in inner and not field.exclude
    ]
    if rows or not inner:
        yield Group(title, inspect.cleandoc(model.__doc__ or "") if rows else "No settings of its own.", rows)
    for key, group in inner.items():
        if issubclass(group, Choice):  # told below, for each name
            continue
        yield from _groups(group, f"{prefix}{key}.", f"{inner_title}`{prefix}{key}`", inner_title)


def _meanings(model: type[Settings]) -> dict[str, str]:
    """Key -> the string below it. (Pydantic reads them too, but at each start of a program.)"""
    found = _meanings(model.__base__) if issubclass(model.__base__, Settings) else {}
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0].body
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[field.target.id] = inspect.cleandoc(below.value.value)
    return found


def _row(key: str, field: FieldInfo, meaning: str) -> Row:
    ordered = LowerFirst in field.metadata
    ranges = [_range(field.metadata), *_item_ranges(field.annotation), "lower end first" if ordered else ""]
    default = _default(field.get_default(call_default_factory=True))
    return Row(key, _type(field.annotation), default, "; ".join(filter(None, ranges)), meaning)


def _default(value: Any) -> str:
    """As a recipe or `--set` writes it; numbers with six digits."""
    return f"`{json.dumps(json.loads(json.dumps(value), parse_float=lambda text: float(f'{float(text):.6g}')))}`"


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return _one_of(arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"list of {_type(arguments[0])}s".replace("texts", "text")
        return f"{COUNTS[len(arguments)]} {_type(arguments[0])}s"
    if origin is dict:
        return "table"
    if NoneType in arguments:
        return " or ".join(_type(part) for part in arguments if part is not NoneType)
    if arguments:
        return " or ".join(_type(part) for part in arguments)
    return WORDS[annotation]


def _one_of(values: Iterable[object]) -> str:
    texts = [f"`{json.dumps(value)}`" for value in values]
    return " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _item_ranges(annotation: Any) -> list[str]:
    """What holds for each number of a list or pair; told once where all parts have the same."""
    if get_origin(annotation) is not tuple:
        return []
    parts = [part for part in get_args(annotation) if get_origin(part) is Annotated]
    found = list(dict.fromkeys(_range(get_args(part)[1:]) for part in parts))
    return [f"each {text}" for text in found if text] if len(found) < 2 else ["; ".join(filter(None, found))]


def _range(metadata: Any) -> str:
    """The bounds of a number: "≥ 0, < 1". A field inside an annotation counts as its own metadata."""
    signs = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
    flat = [inner for item in metadata for inner in (item.metadata if isinstance(item, FieldInfo) else [item])]
    return ", ".join(
        f"{sign} {getattr(item, kind.__name__.lower()):g}"
        for kind, sign in signs.items()
        for item in flat
        if isinstance(item, kind)
    )


def _markdown(group: Group) -> Iterator[str]:
    yield from (f"### {group.title}", "", group.about, "")
    if not group.rows:
        return
    yield from ("| key | type and range | default | meaning |", "| --- | --- | --- | --- |")
    for row in group.rows:
        kind = ", ".join(filter(None, [row.type, row.range]))
        cells = [f"`{row.key}`", kind, row.default, " ".join(row.meaning.split())]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _fill(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = source[0].replace(PLACE, tables()) if PLACE in source[0] else source[0]


def setup(app: Sphinx) -> dict[str, bool]:
    """Put the tables into the page that asks for them."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}
