"""Formats stay in their folder: nothing else names an ending, imports a package of a format, or avoids the registry."""

import ast
from pathlib import Path

from crossmatch import formats

SOURCE = Path(formats.__file__).parents[1]
PACKAGES = {"nibabel", "nrrd", "pydicom", "h5py", "PIL", "SimpleITK", "highdicom"}
OTHERS = [path for path in SOURCE.rglob("*.py") if path.parent.name != "formats"]


def _imported(path: Path) -> set[str]:
    """The full names of the modules that a file imports, and of what it imports from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_no_other_file_imports_a_format() -> None:
    registered = {each.__name__ for each in formats.FORMATS} - {"crossmatch.formats.dicom"}  # Pancreas-CT counts slices
    assert len(OTHERS) > 100
    assert not [
        (str(path), name)
        for path in OTHERS
        for name in _imported(path)
        if name.split(".")[0] in PACKAGES or name in registered
    ]


def test_no_other_file_names_an_ending() -> None:
    """But for importers, which may name the files of the datasets they are made for, and the figure of a benchmark."""
    others = [path for path in OTHERS if path.parent.name not in ("importers", "benchmark")]
    assert not [str(path) for path in others if any(ending in path.read_text() for ending in formats.endings())]
