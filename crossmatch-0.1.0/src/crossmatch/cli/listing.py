"""The recipes of the package in a table, read from their files alone: the schema would first load PyTorch."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple


class Listed(NamedTuple):
    """A recipe in a line."""

    name: str
    method: str
    steps: int
    about: str


def listed_recipes() -> list[Listed]:
    """All recipes of the package, by name. What a recipe does not say stands in the one that it extends."""
    folder = resources.files("crossmatch") / "recipes"
    trees = {
        Path(entry.name).stem: tomllib.loads(entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }

    def said(name: str, *keys: str) -> Any:
        node: Any = trees[name]
        for key in keys:
            node = node.get(key) if isinstance(node, dict) else None
        return node if node is not None else said(trees[name]["extends"], *keys)

    return [
        Listed(name, said(name, "method", "name"), said(name, "train", "steps"), said(name, "about"))
        for name in sorted(trees)
    ]
