"""The long campaign of faults: kills, troubles of disks and machines, wrong files; its figures as JSON.

    python speed/faults.py --kills 100 --troubles 20 --inputs 1000 --out docs/results/reliability

Whatever went wrong is printed with its seed, which makes it again, and is in the JSON. Exit code 1 if anything did.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "faults"), str(TESTS)]

from disks import TROUBLES, disturb, on_small_disk  # noqa: E402
from fuzz import Wrong, fuzz  # noqa: E402
from kills import Fault, kill, undisturbed  # noqa: E402
from readers import READERS  # noqa: E402
from scenes import SCENES, Inputs, make_inputs  # noqa: E402

SMALL_DISK_KB = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # an undisturbed training needs about 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each command")
    parser.add_argument("--troubles", type=int, default=20, help="of each kind, for each command")
    parser.add_argument("--inputs", type=int, default=1000, help="wrong files for each reader")
    parser.add_argument("--scenes", default=",".join(SCENES), help="commands, with commas")
    parser.add_argument("--readers", default=";".join(READERS), help="readers, with semicolons")
    parser.add_argument("--out", type=Path, help="folder for faults.json; default: none is written")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        inputs = make_inputs(folder / "inputs")
        started = time.monotonic()
        scenes = [scene for scene in chosen.scenes.split(",") if scene]
        readers = [reader for reader in chosen.readers.split(";") if reader]
        commands = {scene: _disturbed(scene, inputs, folder / scene, chosen.kills, chosen.troubles) for scene in scenes}
        files = {reader: _fuzzed(reader, inputs, folder / "fuzz", chosen.inputs) for reader in readers}
        found = {
            "command": f"python speed/faults.py {' '.join(sys.argv[1:])}",
            "seconds": round(time.monotonic() - started),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
            "versions": {
                name: version(name) for name in ("crossmatch", "torch", "numpy", "nibabel", "pydicom", "h5py")
            },
            "commands": commands,
            "readers": files,
        }
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "faults.json").write_text(json.dumps(found, indent=1) + "\n")
    faults = sum(len(part["faults"]) for part in (*commands.values(), *files.values()))
    print(f"{faults} faults in {found['seconds']} s")
    return int(faults > 0)


def _disturbed(name: str, inputs: Inputs, folder: Path, kills: int, troubles: int) -> dict[str, object]:
    """Everything that is done to one command."""
    scene, tried = SCENES[name], {}
    right = undisturbed(scene, inputs, folder / "right")
    faults: list[Fault] = []

    def note(kind: str, found: Iterable[list[Fault]]) -> None:
        tried[kind] = 0
        for some in found:
            tried[kind] += 1
            faults.extend(some)
            for fault in some:
                print(f"{fault.scene}, {fault.moment}, seed {fault.seed}: {fault.what}", flush=True)
            shutil.rmtree(folder / "now", ignore_errors=True)

    now = folder / "now"
    note("kill -9", (kill(scene, inputs, now, right, seed) for seed in range(kills)))
    for trouble in TROUBLES.values():
        note(trouble.name, (disturb(scene, inputs, now, right, trouble, seed) for seed in range(troubles)))
    if os.geteuid() == 0 and troubles and not scene.asked:  # such a scene begins with copies, which must fit
        note("small disk", (on_small_disk(scene, inputs, now, right, size) for size in SMALL_DISK_KB))
    print(f"{name}: {', '.join(f'{count} {kind}' for kind, count in tried.items())}; {len(faults)} faults", flush=True)
    return {"tried": tried, "seconds_undisturbed": round(right.seconds, 2), "faults": [asdict(f) for f in faults]}


def _fuzzed(name: str, inputs: Inputs, folder: Path, count: int) -> dict[str, object]:
    """All wrong files of one reader."""
    faults: list[Wrong] = fuzz(READERS[name], inputs, folder / str(len(list(folder.glob("*")))), count)
    for fault in faults:
        print(f"{fault.reader}, seed {fault.seed}: {fault.what.strip().splitlines()[-1]}", flush=True)
    print(f"{name}: {count} inputs, {len(faults)} faults", flush=True)
    return {
        "tried": count,
        "faults": [{**asdict(fault), "what": fault.what.strip().splitlines()[-1]} for fault in faults],
    }


if __name__ == "__main__":
    sys.exit(main())
