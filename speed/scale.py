"""How long a dataset of many cases takes to open with its fingerprint, and what that leaves in memory.

    python speed/scale.py [--cases 10000] [--rounds 7] [--check]

The dataset is made for the purpose: tiny files, as many as there are names, and a fingerprint as `check` writes it.
Timed is `open_dataset` with `load_fingerprint`. The reference does the least that tells a fresh fingerprint from a
stale one: it lists the four folders, asks for size and time of each file, parses the JSON and makes a dictionary.
Timed beside them is what else a training does before it reads voxels: opening with `training_cases` (which loads the
fingerprint, too), and opening and sealing the test files. `--check` adds one `check` of all cases, which reads every
file.

All alternate in this process; the dataset is written by another, so that the memory is that of opening alone. Printed
are medians and ranges of seconds, ratios in processor time, and the growth of the resident memory by the first opening
and by each later one, which must be none; the last line is JSON.
"""

import argparse
import gc
import hashlib
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.dataset.check import check, load_fingerprint
from crossmatch.dataset.dataset import Dataset, open_dataset
from crossmatch.dataset.fingerprint import Fingerprint, content_digest, fingerprint_path, save_fingerprint, stamps
from crossmatch.formats import new_volume
from crossmatch.formats.seal import sealed
from crossmatch.recipes.load import load_recipe
from crossmatch.training.material import training_cases
from timing import run, spread

TARGET_SECONDS = 1.0
MORE = 10  # openings; the first so many settle what Python keeps for itself, the next are compared with the last
FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
RECIPE = load_recipe("own_3d", [])


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of the processor."""
    start, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - busy


def resident_mb() -> float:
    """Linux alone tells."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def write_cases(root: Path, count: int) -> Path:
    """A tenth of the cases is for validation, a tenth for testing; of the rest, every tenth has a label."""
    for folder in (*FOLDERS, "splits"):
        (root / folder).mkdir(parents=True)
    stated = {"name": "many", "channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1}}
    (root / "dataset.json").write_text(json.dumps(stated))
    volume = new_volume(np.arange(27, dtype=np.int16).reshape(3, 3, 3), np.eye(4))
    formats.write(root / "image.nii.gz", volume.voxels, like=volume)
    formats.write(root / "label.nii.gz", (volume.voxels > 13).astype(np.uint8), like=volume)
    image, label = (root / "image.nii.gz").read_bytes(), (root / "label.nii.gz").read_bytes()
    names: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for number in range(count):
        split = {0: "val", 1: "test"}.get(number % 10, "train")
        name, kind = f"patient{number:06d}_frame01", "Ts" if split == "test" else "Tr"
        names[split].append(name)
        (root / f"images{kind}" / f"{name}_0000.nii.gz").write_bytes(image)
        if split != "train" or number // 10 % 10 == 0:
            (root / f"labels{kind}" / f"{name}.nii.gz").write_bytes(label)
    for name in ("image.nii.gz", "label.nii.gz"):
        (root / name).unlink()
    for split, chosen in names.items():
        (root / "splits" / f"{split}.txt").write_text("".join(f"{name}\n" for name in chosen))
    return root


def write_dataset(root: Path, count: int) -> None:
    """The fingerprint is what `check` finds in twenty such cases, said of all."""
    dataset = open_dataset(write_cases(root, count))
    with tempfile.TemporaryDirectory() as small:
        found = check(write_cases(Path(small, "data"), 20))
    like = {(case.split, case.label_voxels is not None): case for case in found.cases}
    cases = tuple(
        replace(
            like[case.split, case.label is not None],
            id=case.id,
            image_sha256=hashlib.sha256(case.id.encode()).hexdigest(),
            files=stamps(dataset, case),
        )
        for case in dataset.cases
    )
    save_fingerprint(root, replace(found, digest=content_digest(dataset, cases), warnings=(), cases=cases))


def opened(root: Path) -> tuple[Dataset, Fingerprint]:
    dataset = open_dataset(root)
    return dataset, load_fingerprint(dataset, stale)


def seal_test_cases(root: Path) -> None:
    with sealed(open_dataset(root).only("test").files()):
        pass


def stale(done: int, total: int) -> None:
    raise AssertionError("the fingerprint is stale: voxels were looked at")


def plain(root: Path) -> dict[str, object]:
    """Cases by name, of a fingerprint that is fresh."""
    found = {}
    for folder in FOLDERS:
        for entry in os.scandir(root / folder):
            stat = entry.stat()
            found[f"{folder}/{entry.name}"] = (stat.st_size, stat.st_mtime_ns)
    stored = json.loads(fingerprint_path(root).read_text())
    files = {file["path"]: (file["size"], file["mtime_ns"]) for case in stored["cases"] for file in case["files"]}
    assert files == found
    return {case["id"]: case for case in stored["cases"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--check", action="store_true", help="scan all cases once, too")
    options = parser.parse_args()
    os.environ.pop("CROSSMATCH_CACHE", None)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "data")
        writer = multiprocessing.get_context("spawn").Process(target=write_dataset, args=(root, options.cases))
        writer.start()
        writer.join()
        memory = [resident_mb()]
        works: dict[str, Callable[[], object]] = {
            "opened": lambda: opened(root),
            "reference": lambda: plain(root),
            "training_cases": lambda: training_cases(RECIPE, open_dataset(root), stale),
            "sealed": lambda: seal_test_cases(root),
        }
        first = timed(works["opened"])[0]
        memory.append(resident_mb())
        for _ in range(3 * MORE):
            opened(root)
            memory.append(resident_mb())
        times = [{name: timed(work) for name, work in works.items()} for _ in range(options.rounds)]
        checked = timed(lambda: check(root))[0] if options.check else None
        size_mb = fingerprint_path(root).stat().st_size / 2**20
    clock = {name: [turn[name][0] for turn in times] for name in works}
    ratios = [turn["opened"][1] / turn["reference"][1] for turn in times]
    growth, lowest = memory[1] - memory[0], [min(memory[-n * MORE :][:MORE]) for n in (2, 1)]
    later = (lowest[1] - lowest[0]) / MORE
    print(f"{options.cases} cases, fingerprint of {size_mb:.1f} MB, {options.rounds} rounds")
    print(f"opened          {spread(clock['opened'], '.2f')} s, the first time {first:.2f} s; target {TARGET_SECONDS}")
    busy = [turn["opened"][1] for turn in times]
    print(f"                {spread(busy, '.2f')} s of the processor")
    print(f"reference       {spread(clock['reference'], '.2f')} s")
    print(f"ratio           {spread(ratios, '.2f')} of its processor time")
    print(f"training_cases  {spread(clock['training_cases'], '.2f')} s")
    print(f"test sealed     {spread(clock['sealed'], '.2f')} s")
    if checked is not None:
        print(f"check           {checked:.1f} s")
    print(f"memory          {growth:+.1f} MB by the first opening, {later:+.2f} MB by each later one")
    result = {"cases": options.cases, "check_s": checked, "ratio": statistics.median(ratios)}
    result |= {"opened_processor_s": statistics.median(busy)}
    result |= {f"{name}_s": statistics.median(values) for name, values in clock.items()}
    print(json.dumps(result | {"first_mb": growth, "later_mb": later}))


if __name__ == "__main__":
    run(main)
