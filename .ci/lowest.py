"""Print the lowest versions that pyproject.toml allows, one requirement a line, for `pip install --constraint`.

    python .ci/lowest.py [--extras itk] [--instead torch==2.13.0]

`--extras` adds those of extras; `--instead` names another version of a package whose lowest cannot be had.
"""

import argparse
import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def lowest(requirements: list[str]) -> dict[str, str]:
    """Name -> ``name==version`` of requirements such as ``torch>=2.8,<3``."""
    found = {}
    for requirement in requirements:
        match = re.match(r"([\w.-]+)\s*>=\s*([\w.]+)", requirement)
        if match is None:
            raise SystemExit(f"{requirement} states no lowest version: write name>=version in pyproject.toml.")
        found[match[1].lower()] = f"{match[1]}=={match[2]}"
    return found


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", nargs="*", default=[])
    parser.add_argument("--instead", nargs="*", default=[], help="name==version")
    options = parser.parse_args()
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = [each for name in options.extras for each in project["optional-dependencies"][name]]
    found = lowest([*project["dependencies"], *extras])
    for other in options.instead:
        found[other.partition("==")[0].lower()] = other
    print("\n".join(found.values()))


if __name__ == "__main__":
    main()
