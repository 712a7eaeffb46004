"""Do what the Dockerfile says in a fresh folder, where no container can be built.

    python .ci/dockerfile.py [--build-arg NAME=VALUE] FOLDER [ARGUMENTS OF CROSSMATCH]

FROM becomes a new virtual environment of this Python, WORKDIR and COPY go below FOLDER, ARG and ENV into the
environment, RUN into bash, and at the end ENTRYPOINT runs with the arguments. Other users are not made: USER, and what
follows `useradd` in a step, are left out, and said.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def steps(text: str) -> list[tuple[str, str]]:
    """(instruction, the rest) of a Dockerfile, lines that go on joined."""
    lines = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.strip().startswith("#")))
    parts = (line.partition(" ") for line in lines.splitlines())
    return [(word.upper(), rest.strip()) for word, _, rest in parts if word]


def build(root: Path, arguments: dict[str, str]) -> tuple[list[str], dict[str, str], Path]:
    """Do the steps; the entry point's words, the environment and the folder it runs in."""
    environment, here, entry = dict(os.environ), root, [""]
    environment.pop("PYTHONPATH", None)
    for word, rest in steps((PROJECT / "Dockerfile").read_text(encoding="utf-8")):
        print(f"{word} {rest}", flush=True)
        if word == "FROM":
            venv.create(root / "venv", with_pip=True)
            environment["PATH"] = f"{root / 'venv' / 'bin'}:{environment['PATH']}"
        elif word == "ARG":
            name, _, value = rest.partition("=")
            environment[name] = arguments.get(name, value.strip('"'))
        elif word == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "WORKDIR":
            here = root / rest.lstrip("/")
            here.mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            *sources, target = shlex.split(rest)
            for source in sources:
                place = here / (source if target == "./" else target)
                copy = shutil.copytree if (PROJECT / source).is_dir() else shutil.copyfile
                copy(PROJECT / source, place)
        elif word == "RUN" and "useradd" not in rest:
            subprocess.run(["bash", "-c", rest], cwd=here, env=environment, check=True)
        elif word == "ENTRYPOINT":
            entry = json.loads(rest)
        elif word not in ("CMD", "LABEL"):
            print("  left out", flush=True)
    return entry, environment, here


def main() -> None:
    """Build, and run the entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build-arg", action="append", default=[], help="NAME=VALUE")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="arguments of crossmatch")
    options = parser.parse_args()
    if options.folder.exists() and any(options.folder.iterdir()):
        sys.exit(f"{options.folder} is not empty: name a new folder.")
    root = options.folder.resolve()
    entry, environment, here = build(root, dict(pair.split("=", 1) for pair in options.build_arg))
    sys.exit(subprocess.run([*entry, *(options.words or ["--help"])], cwd=here, env=environment).returncode)


if __name__ == "__main__":
    main()
