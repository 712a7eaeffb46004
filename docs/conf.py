"""How Sphinx builds the site: `make docs` writes it to build/docs. Nothing is fetched while it builds."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "crossmatch"
release = metadata.version("crossmatch")
author = "the crossmatch contributors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "plain_docstrings", "settings_page"]
exclude_patterns = ["_ext"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3  # links such as datasets.md#acdc
default_role = "code"  # `name` in a docstring is code, as in the pages
highlight_language = "none"  # commands and folder trees: only fences that name a language are coloured

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the texts give shapes and types; those of arrays fill ten lines of a signature
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = "crossmatch"
html_show_sourcelink = False
html_show_copyright = False  # LICENSE says whose it is
html_copy_source = False
