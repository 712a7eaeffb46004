"""Photographs at scale, for `data.py --pictures`: imported, decoded into a store at a stated size, memory at its peak.

Files are made up, in the challenge's own layout of ISIC-2018, under the ids of its training images. CPU-seconds count
all threads; they hold on a busy machine too. A part whose memory is told runs in a process of its own.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from crossmatch import formats
from crossmatch.batches.store import load_store
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import Case, open_dataset
from crossmatch.importers.isic import import_isic
from crossmatch.importers.isic_lists import standard_lists
from crossmatch.inference.predictor import Predictor
from crossmatch.networks import NETWORKS
from crossmatch.recipes.load import load_recipe
from timing import spread

CPU = torch.device("cpu")
COUNTS = {"Training": 2594, "Validation": 100, "Test": 1000}  # the challenge's
TINY = (64, 96)  # rows, columns
LARGE_MEGAPIXELS = 12
LARGE_PICTURES = 8
MEMORY_GB = 2.0
RECIPE = "isic_26"


def write_pair(folder: Path, word: str, name: str, size: tuple[int, int], seed: int) -> None:
    """A picture of large coloured structures with a darker ellipse, as JPEG, and the ellipse as mask."""
    rng, (rows, columns) = np.random.default_rng(seed), size
    coarse = Image.fromarray(rng.integers(90, 220, (9, 13, 3)).astype(np.uint8))
    pixels = np.array(coarse.resize((columns, rows), Image.Resampling.BICUBIC))
    y, x = np.ogrid[:rows, :columns]
    inside = ((y / rows - 0.5) / 0.3) ** 2 + ((x / columns - 0.5) / 0.25) ** 2 < 1
    pixels[inside] = pixels[inside] // 2
    image, mask = folder / f"ISIC2018_Task1-2_{word}_Input", folder / f"ISIC2018_Task1_{word}_GroundTruth"
    for place in (image, mask):
        place.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(image / f"{name}.jpg", quality=90)
    Image.fromarray(255 * inside.astype(np.uint8)).save(mask / f"{name}_segmentation.png", compress_level=1)


def write_layout(folder: Path, counts: dict[str, int], size: tuple[int, int]) -> None:
    """The challenge's folders with so many pictures each."""
    training = standard_lists()["train_519_label"] if counts["Training"] <= 519 else standard_lists()["train"]
    known = set(standard_lists()["train"])
    others = iter(name for name in (f"ISIC_{n:07d}" for n in range(16073)) if name not in known)
    for seed, (word, n) in enumerate(counts.items()):
        for number in range(n):
            name = training[number] if word == "Training" else next(others)
            write_pair(folder, word, name, size, 10_000 * seed + number)


def sides(megapixels: float) -> tuple[int, int]:
    """Rows and columns of a picture of three to two."""
    rows = round((megapixels * 1e6 / 1.5) ** 0.5)
    return rows, round(1.5 * rows)


def costs(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds and CPU-seconds of a call."""
    begin, busy = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - begin, time.process_time() - busy


def timed_import(folder: Path) -> dict[str, float]:
    """What importing the whole challenge in tiny pictures takes."""
    write_layout(folder / "src", COUNTS, TINY)
    wall, cpu = costs(lambda: import_isic(folder / "src", folder / "out"))
    return {"cases": len(open_dataset(folder / "out").cases), "import_s": wall, "import_cpu_s": cpu}


def plainly(cases: Sequence[Case], size: tuple[int, ...]) -> None:
    """Pillow's own decoding, box filter and nearest neighbour, one picture after the other."""
    for case in cases:
        with Image.open(case.images[0]) as picture:
            picture.convert("RGB").resize(size, Image.Resampling.BOX)
        assert case.label is not None
        with Image.open(case.label) as mask:
            mask.resize(size, Image.Resampling.NEAREST)


def timed_store(folder: Path, count: int, megapixels: float, rounds: int) -> dict[str, Any]:
    """What decoding into a store takes, a picture with its mask, beside `plainly`, in turn."""
    write_layout(folder / "src", {"Training": count, "Validation": 0, "Test": 0}, sides(megapixels))
    imported = costs(lambda: import_isic(folder / "src", folder / "out", link=True))
    cases, size = open_dataset(folder / "out").split("train"), load_recipe(RECIPE).data.size
    ours, plain = [], []
    for _ in range(rounds):
        ours.append(costs(lambda: load(cases, size)))
        plain.append(costs(lambda: plainly(cases, size)))
    return {
        "pictures": count,
        "import_cpu_s_a_picture": imported[1] / count,
        "store_s_a_picture": [wall / count for wall, _ in ours],
        "store_cpu_s_a_picture": [cpu / count for _, cpu in ours],
        "plain_cpu_s_a_picture": [cpu / count for _, cpu in plain],
        "cpu_ratio": [a / b for (_, a), (_, b) in zip(ours, plain, strict=True)],
    }


def load(cases: Sequence[Case], size: tuple[int, ...]) -> None:
    """Fill a store, in threads, as a training does."""
    load_store(cases, (), dims=2, slice_axis=2, normalise="colour", size=size, device=CPU)


def peak_gb(part: str, folder: Path) -> float:
    """The largest memory of a process that does one part of the work with the pictures of a folder."""
    command = [sys.executable, __file__, part, str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(told.splitlines()[-1])["peak_gb"])


def work(part: str, folder: Path) -> None:
    """What a process of `peak_gb` does."""
    if part == "import":
        import_isic(folder / "src", folder / "out")
    elif part == "check":
        check(folder / "out")
    else:
        data, recipe = open_dataset(folder / "out"), load_recipe(RECIPE)
        cases = data.split("train")
        if part == "store":
            load(cases, recipe.data.size)
        elif part == "predict":
            network = NETWORKS["unet"](2, 3, 2, recipe.network.settings).eval()
            predictor = Predictor(network, recipe, 2, CPU)
            for case in cases[:2]:
                predictor(formats.read_channels(case.images), case.images[0])


def measure(count: int, megapixels: float, rounds: int) -> dict[str, Any]:
    """Everything, told as it is found."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        found: dict[str, Any] = timed_import(Path(place) / "tiny")
        told = f"{found['import_s']:.1f} s, {found['import_cpu_s']:.1f} CPU-s"
        print(f"{found['cases']} tiny pictures and their masks imported in {told}", flush=True)
        found |= timed_store(Path(place) / "usual", count, megapixels, rounds)
        each, whole = found["store_cpu_s_a_picture"], COUNTS["Training"] / 60
        print(f"{count} pictures of {megapixels:g} megapixels into a store: {spread(each, '.3f')} CPU-s each")
        print(f"ratio {spread(found['cpu_ratio'], '.2f')} of Pillow's decoding and box filter, one after the other")
        print(f"all {COUNTS['Training']:,}: {whole * statistics.median(each):.1f} CPU-minutes", flush=True)
        large = Path(place) / "large"
        write_layout(large / "src", {"Training": LARGE_PICTURES, "Validation": 0, "Test": 0}, sides(LARGE_MEGAPIXELS))
        found["peak_gb"] = {part: peak_gb(part, large) for part in ("import", "check", "store", "predict")}
        for part, memory in found["peak_gb"].items():
            verdict = "below" if memory < MEMORY_GB else "NOT below"
            print(f"{part}: {memory:.2f} GB at {LARGE_MEGAPIXELS} megapixels, {verdict} {MEMORY_GB:g} GB")
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    work(sys.argv[1], Path(sys.argv[2]))
    status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's peak, where that was higher
    print(json.dumps({"peak_gb": int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024 / 1e9}))
