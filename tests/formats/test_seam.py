"""Formats stay in their folder: nothing else names an ending, imports a package of a format, or avoids the registry."""

import ast
from pathlib import Path

from crossmatch import formats

SOURCE = Path(formats.__file__).parents[1]
PACKAGES = {"nibabel", "nrrd", "pydicom", "h5py", "PIL", "SimpleITK", "highdicom"}
LEAVING = {
    "infer.py",
    "infer_cases.py",
    "infer_pictures.py",
    "bundle_steps.py",
}  # of export/: they are copied to where this package is not
OTHERS = [path for path in SOURCE.rglob("*.py") if path.parent.name != "formats" and path.name not in LEAVING]


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


def _without_docstrings(path: Path) -> str:
    """The code of a file, without comments and docstrings, which may show names of files."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value.value = ""
    return ast.unparse(tree)


def test_no_other_file_names_an_ending() -> None:
    """But for importers, which may name the files of the datasets they are made for, and the figure of a benchmark."""
    others = [path for path in OTHERS if path.parent.name not in ("importers", "benchmark")]
    code = {str(path): _without_docstrings(path) for path in others}
    assert not [path for path, text in code.items() if any(ending in text for ending in formats.endings())]


def test_docstrings_are_not_taken_for_code(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text('"""scan.nii"""\ndef f():\n    """x.nrrd"""\n    return "mask.png"  # y.mha\n')
    assert [ending for ending in formats.endings() if ending in _without_docstrings(file)] == [".png"]
