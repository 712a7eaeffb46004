"""The shell of a page: one HTML file with styles, scripts and data inside, which loads nothing else.

A policy in the page's head forbids every connection, and every script but those that the page was written with,
which it names by digest. So even if some text of a run were taken for a tag, it could not run as a script.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crossmatch.vendor import UPLOT, UPLOT_STYLE

GENERATOR = '<meta name="generator" content="crossmatch report">'  # marks the files that a new report may replace


def own_file(name: str) -> str:
    """A style or script of this room."""
    return resources.files("crossmatch.reports").joinpath(name).read_text(encoding="utf-8")


def library(path: Path) -> str:
    """A vendored script or style, below its licence as a comment."""
    licence = (path.parent / "LICENSE").read_text(encoding="utf-8").replace("*/", "* /")
    return f"/*\n{licence}*/\n{path.read_text(encoding='utf-8')}"


def json_block(kind: str, value: Any) -> str:
    """Data for a script of the page: JSON in which no text can end the block."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" class="{kind}">{text}</script>'


def document(title: str, body: Sequence[str], further: Sequence[str] = ()) -> str:
    """The whole file.

    Args:
        title: plain text, of the browser's tab.
        body: HTML, section by section.
        further: scripts of this page, after those that draw curves.
    """
    scripts = [library(UPLOT), own_file("curves.js"), *further]
    for script in scripts:
        if "</script" in script.lower() or "<!--" in script or "\r" in script:
            raise ValueError("a script that would end its own tag, or that HTML changes, cannot stand in a page")
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:; font-src data:; "
        f"style-src 'unsafe-inline'; script-src {allowed}"
    )
    footer = f"<footer>Written by crossmatch {version('crossmatch')}. This file is complete in itself.</footer>"
    styles = f"{library(UPLOT_STYLE)}\n{own_file('style.css')}"
    content = "\n".join([*body, footer, *(f"<script>{script}</script>" for script in scripts)])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{GENERATOR}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · crossmatch</title>\n<style>\n{styles}</style></head>\n"
        f"<body>\n{content}\n</body></html>\n"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
