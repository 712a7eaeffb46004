"""What the data of a training step cost: drawn by the host, made by the device, read from memory or from a file.

    python speed/data.py [--recipe acdc_3] [--rounds 7] [--step-ms 19] [--threads 1]
    python speed/data.py --recipe la_8 --step-ms 43
    python speed/data.py --pictures 40 [--megapixels 6] [--rounds 3]     photographs alone, see `pictures.py`

Voxels are noise, as many as a real dataset has (`step_parts.py`); the file is read from the system's cache. Printed:
- processor milliseconds a step of drawing and of making (here the CPU makes it), beside a plain loader that works on
  one image after the other (`reference_views.py`); the ratio of what is left to the host, drawing, and that of both;
- how much longer than its stand-in a step of the loop takes that draws, voxels in memory, in a file, and in a file with
  threads ahead (`batches/prefetch.py`). The stand-in sleeps for `--step-ms`, as the host does while a GPU computes, or
  computes that long on `--threads` threads, as it does where the CPU trains.

All alternate in this process: medians and ranges. The last line is JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pictures
from crossmatch.batches.prefetch import drawing
from crossmatch.batches.store import Store
from crossmatch.batches.views import Batches, Drawn
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from reference_views import plain_batch
from step_parts import DATA, make_batches, random_store
from timing import run, seconds, spread

CPU = torch.device("cpu")


def busy_ms(work: Callable[[], object]) -> float:
    """Milliseconds of the processor, all threads together."""
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start)


def in_file(store: Store, folder: Path) -> Store:
    """The store with voxels and labels mapped, as `load_store` leaves one."""
    parts = {}
    for name in ("voxels", "labels"):
        values = getattr(store, name).numpy()
        values.tofile(folder / name)
        parts[name] = torch.from_numpy(np.memmap(folder / name, values.dtype, mode="c"))
    return replace(store, **parts, mapped=True)


def costs(recipe: Recipe, kinds: dict[str, Batches], rounds: int) -> dict[str, list[float]]:
    """CPU-milliseconds a step."""
    store, (_, items, native) = kinds["memory"].store, DATA[recipe.dims]
    images = ((store.voxels.view(items, *native).float() + 2**15) / 65535).numpy()
    labels, rng = store.labels.view(items, *native).numpy(), np.random.default_rng(0)
    counts = (recipe.train.batch.labelled, recipe.train.batch.unlabelled)
    times: dict[str, list[float]] = {}
    for turn in range(rounds + 1):  # the first warms up
        row: dict[str, float] = {}
        for name, batches in kinds.items():
            drawn: list[Drawn] = []
            row[f"draw, {name}"] = busy_ms(lambda b=batches, d=drawn, turn=turn: d.append(b.draw(turn)))
            row[f"make, {name}"] = busy_ms(lambda b=batches, d=drawn: b.make(d[0]))
        row["reference"] = busy_ms(lambda: plain_batch(images, labels, recipe.data.size, counts, rng))
        for name, value in row.items():
            times.setdefault(name, []).extend([value] if turn else [])
    return times


def computing(milliseconds: float) -> Callable[[], None]:
    """Matrix products that take so long on this machine's own."""
    a = torch.rand(512, 512)
    count = max(1, round(milliseconds / 1000 / min(seconds(lambda: a @ a) for _ in range(20))))

    def work() -> None:
        for _ in range(count):
            torch.mm(a, a)

    return work


def held_up(batches: Batches, ahead: bool, work: Callable[[], None], steps: int, turn: int) -> float:
    """Milliseconds by which a step of the loop is longer than its stand-in, over `steps` steps."""
    first, alone = turn * (steps + 4), seconds(lambda: [work() for _ in range(steps)])
    with drawing(batches, first + steps + 4) if ahead else nullcontext(batches.draw) as draw:
        for step in range(4):  # the threads begin
            draw(first + step)
            work()

        def loop() -> None:
            for step in range(4, steps + 4):
                draw(first + step)
                work()

        return 1000 * (seconds(loop) - alone) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="acdc_3")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help="of the loop, in each round")
    parser.add_argument("--step-ms", type=float, default=19, help="of the stand-in")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=0, help="measure so many photographs instead")
    parser.add_argument("--megapixels", type=float, default=6, help="of each")
    options = parser.parse_args()
    if options.pictures:
        print(json.dumps(vars(options) | pictures.measure(options.pictures, options.megapixels, options.rounds)))
        return
    torch.set_num_threads(options.threads)
    recipe = load_recipe(options.recipe, [])
    with tempfile.TemporaryDirectory() as place:
        store = random_store(recipe, CPU)
        kinds = {
            "memory": make_batches(recipe, store, CPU),
            "file": make_batches(recipe, in_file(store, Path(place)), CPU),
        }
        times = costs(recipe, kinds, options.rounds)
        works = {
            "asleep": lambda: time.sleep(options.step_ms / 1000),
            "computing": computing(options.step_ms),
        }
        late: dict[str, list[float]] = {}
        for turn in range(options.rounds):
            for kind, work in works.items():
                for name, batches, ahead in (
                    ("memory", kinds["memory"], False),
                    ("file", kinds["file"], False),
                    ("file, threads", kinds["file"], True),
                ):
                    late.setdefault(f"{kind}, {name}", []).append(held_up(batches, ahead, work, options.steps, turn))
    ratios = {
        "host": [a / b for a, b in zip(times["draw, memory"], times["reference"], strict=True)],
        "both": [
            (a + b) / c
            for a, b, c in zip(times["draw, memory"], times["make, memory"], times["reference"], strict=True)
        ],
    }
    size, batch = "x".join(map(str, recipe.data.size)), recipe.train.batch
    print(f"{options.recipe}: {size}, {batch.labelled} labelled, {batch.unlabelled} unlabelled and their partners")
    for name, values in times.items():
        print(f"{name:14} {spread(values)} CPU-ms a step")
    print(f"ratio          {spread(ratios['host'], '.3f')} of the reference, drawn by the host, in memory")
    print(f"ratio          {spread(ratios['both'], '.2f')} of it, drawn and made")
    for name, values in late.items():
        print(f"{name:25} {spread(values):>24} ms late a step of {options.step_ms:g} ms")
    result: dict[str, Any] = {name: statistics.median(values) for name, values in (times | late | ratios).items()}
    print(json.dumps(vars(options) | result))


if __name__ == "__main__":
    run(main)
