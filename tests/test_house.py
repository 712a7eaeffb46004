"""The house: which room may import which, how large rooms and files may grow, and that a name means one thing.

A room is a folder of the package, or a file in its root. An arrow leads from a room to one that it imports, also where
the import stands inside a function.
"""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import crossmatch

PACKAGE = Path(crossmatch.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = {path.name if path.is_dir() else path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"} | {
    path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()
}
LONGEST_FILE = 250  # lines
MOST_FILES_IN_THE_ROOT = 6

# room -> the rooms that it may import
ALLOWED = {
    "errors": "",
    "settings": "",
    "system": "",
    "atomic": "errors system",
    "vendor": "",
    "formats": "atomic errors",
    "dataset": "atomic errors formats",
    "perturb": "settings",
    "networks": "errors settings",
    "batches": "dataset errors formats perturb settings",
    "methods": "batches networks perturb settings",
    "recipes": "batches errors methods networks settings",
    "runs": "atomic batches errors networks recipes system",
    "importers": "atomic batches dataset errors formats",
    "phantom": "atomic dataset errors formats",
    "scoring": "atomic dataset errors formats",
    "inference": "atomic batches dataset errors formats importers networks perturb recipes runs scoring",
    "training": "atomic batches dataset errors formats inference methods networks recipes runs scoring system",
    "reports": "atomic batches dataset errors formats inference runs scoring vendor",
    "review": "atomic dataset errors formats inference reports runs scoring vendor",
    "benchmark": "atomic dataset errors formats methods recipes runs scoring system",
    "api": "dataset errors inference plan recipes reports runs scoring training",
    "export": "atomic errors formats inference networks reports runs scoring",
    "plan": "batches dataset errors formats inference recipes runs system training",
    "cli": "__init__ atomic benchmark dataset errors export importers inference methods phantom plan recipes reports "
    "review runs scoring system training",
    "__init__": "api errors formats methods networks phantom recipes scoring",
    "__main__": "cli",
}


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(path: Path) -> Iterator[str]:
    """The rooms that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{name.name}" for name in node.names]
        for name in names:
            package, *parts = name.split(".")
            if package == "crossmatch":
                yield parts[0] if parts and parts[0] in ROOMS else "__init__"


def _arrows() -> dict[str, set[str]]:
    arrows: dict[str, set[str]] = {room: set() for room in ROOMS}
    for path in FILES:
        arrows[_room(path)] |= set(_imported(path)) - {_room(path)}
    return arrows


def test_rooms_import_what_the_table_allows() -> None:
    allowed = {room: set(names.split()) for room, names in ALLOWED.items()}
    assert _arrows() == allowed  # an arrow that nobody needs any more leaves the table too


def test_no_circle() -> None:
    tuple(TopologicalSorter(_arrows()).static_order())  # raises CycleError


def test_nothing_imports_the_command_line() -> None:
    assert {room for room, imported in _arrows().items() if "cli" in imported} == {"__main__"}


def test_formats_need_no_torch() -> None:
    names = [f"crossmatch.formats.{path.stem}" for path in FILES if _room(path) == "formats"]
    code = f"import sys, importlib; [importlib.import_module(n) for n in {names!r}]; assert 'torch' not in sys.modules"
    assert len(names) > 3
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_are_found_by_name_and_read_in_one_sitting() -> None:
    assert len([path for path in FILES if path.parent == PACKAGE]) <= MOST_FILES_IN_THE_ROOT
    assert not [path for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE]
    named = [path.name for path in FILES if path.name != "__init__.py"]
    assert sorted(named) == sorted(set(named))
    assert "utils.py" not in named


def test_a_class_or_type_has_a_name_of_its_own() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].add(str(path))
            elif isinstance(node, ast.Assign) and not _is_type_variable(node.value):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                for name in names:
                    if not name.isupper() and name[0].isupper():  # a type alias: Words, not CONSTANTS
                        places[name].add(str(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def _is_type_variable(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypeVar"


def test_files_of_tests_have_names_of_their_own() -> None:
    """They are imported by their name alone, so of two with one name the wrong one may be found."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py"]
    assert [name for name in set(names) if names.count(name) > 1] == []
