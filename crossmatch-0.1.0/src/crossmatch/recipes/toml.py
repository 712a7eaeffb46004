"""Trees of plain values as TOML text, for recipes; Python reads TOML, but does not write it."""

import json
from collections.abc import Mapping

LINE = 100  # longer lists are written one value a line


def to_toml(tree: Mapping[str, object], remarks: Mapping[str, str] = {}, path: tuple[str, ...] = ()) -> str:
    """A tree of numbers, text, truth values, lists and tables as TOML, which reads back equal.

    Args:
        remarks: dotted key -> a comment beside its value; path: the tables that the tree lies in.

    >>> print(to_toml({"steps": 3, "data": {"size": [64, 64]}}))
    steps = 3
    <BLANKLINE>
    [data]
    size = [64, 64]
    """
    values = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in tree.items() if isinstance(value, Mapping)}
    parts = ["\n".join(_line((*path, key), value, remarks) for key, value in values.items())]
    if path and (values or not tables):
        parts[0] = f"[{'.'.join(path)}]\n{parts[0]}".rstrip()
    parts += [to_toml(table, remarks, (*path, key)) for key, table in tables.items()]
    return "\n\n".join(part for part in parts if part)


def _line(path: tuple[str, ...], value: object, remarks: Mapping[str, str]) -> str:
    remark = remarks.get(".".join(path))
    return f"{path[-1]} = {_value(value)}" + (f"  # {' '.join(remark.split())}" if remark else "")


def _value(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML string
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        items = [_value(item) for item in value]
        line = f"[{', '.join(items)}]"
        return line if len(line) <= LINE else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    return repr(value)
