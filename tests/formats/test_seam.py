"""Formats stay in their folder: nothing else names an ending, imports a package of a format, or avoids the registry."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from crossmatch import formats

SOURCE = Path(formats.__file__).parents[1]
PACKAGES = {"nibabel", "nrrd", "pydicom", "h5py", "PIL", "SimpleITK", "highdicom"}
OTHERS = [path for path in SOURCE.rglob("*.py") if path.parent.name != "formats"]


def imported(path: Path) -> set[str]:
    """The full names of the modules that a file imports, and of what it imports from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_other_file_knows_a_format(path: Path) -> None:
    """Importers may name the files of the datasets they are made for."""
    registered = {each.__name__ for each in formats.FORMATS}
    assert not {name for name in imported(path) if name.split(".")[0] in PACKAGES or name in registered}
    if path.parent.name != "importers":
        known = set(formats.endings()) - ({".png"} if path.parent.name == "benchmark" else set())  # its figure is one
        assert not [ending for ending in known if ending in path.read_text()]


def test_no_torch_is_imported() -> None:
    code = "import sys; import crossmatch.formats.axes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_further_format_is_a_module_and_an_entry() -> None:
    assert {path.stem for path in (SOURCE / "formats").glob("*.py")} == {
        *("__init__", "axes", "labels", "names", "registry", "seal", "volume"),  # what all formats share
        *("dicom", "dicom_slice", "hdf5"),  # not one file for one volume
        *(each.__name__.split(".")[-1] for each in formats.FORMATS),
    }
