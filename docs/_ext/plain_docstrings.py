"""Docstrings are plain text with `code`: what reStructuredText would read into them otherwise is escaped here.

Shapes such as (B, C, *S) begin emphasis there, and names that end in an underscore are links. Examples (lines with
>>>) and what they print stay as they are.
"""

import re

from sphinx.application import Sphinx

CODE = re.compile(r"(``.+?``|`[^`]+`)")
MARKUP = re.compile(r"(?<!\\)([*|]|(?<=\w)_(?!\w))")


def escape(lines: list[str]) -> list[str]:
    """The lines of a docstring with stars, bars and trailing underscores escaped outside `code` and examples."""
    escaped, example = [], False
    for line in lines:
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        escaped.append(line if example else "".join(_outside(part) for part in CODE.split(line)))
    return escaped


def _outside(part: str) -> str:
    return part if part.startswith("`") else MARKUP.sub(r"\\\1", part)


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = escape(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before napoleon (priority 500) reads the sections of the docstring."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True}
