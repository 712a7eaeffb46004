"""How long a training step takes, as a ratio to one written plainly from the equations (`reference_step.py`).

    python benchmarks/step.py --recipe acdc_3_small [--rounds 5] [--threads 2] [--set train.precision=float32]

Both steps run in this process, alternating, on the same batches of random voxels; printed are the median and range of
our step, of the reference step and of their ratio round by round, the share of data and views, and the peak memory.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from crossmatch.config import load_recipe
from crossmatch.data.store import Store
from crossmatch.data.views import Batches
from crossmatch.devices import uses_bf16
from crossmatch.networks import NETWORKS
from crossmatch.networks.layers import to_channels_last
from crossmatch.trainer_state import TrainerState
from reference_step import reference_loss

CLASSES, SLICES, NATIVE = 4, 60, (216, 256)  # like ACDC


def random_store(generator: torch.Generator) -> Store:
    """As many slices of noise as make the look-up touch memory like real data does."""
    voxels = int(np.prod(NATIVE))
    offset = torch.arange(SLICES) * voxels
    return Store(
        voxels=torch.randint(-(2**15), 2**15, (SLICES * voxels,), dtype=torch.int16, generator=generator),
        labels=torch.randint(0, CLASSES, (SLICES * voxels,), dtype=torch.uint8, generator=generator),
        offset=offset,
        channel_stride=torch.full((SLICES,), voxels),
        label_offset=offset,
        size=torch.tensor([NATIVE] * SLICES),
        low=torch.full((SLICES, 1), -(2.0**15)),
        factor=torch.full((SLICES, 1), 1 / 65535),
        labelled=torch.arange(SLICES // 2),
        unlabelled=torch.arange(SLICES // 2, SLICES),
    )


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="acdc_3_small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    parser.add_argument("--only-ours", action="store_true", help="no reference step: for the peak memory of ours alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe, device = load_recipe(options.recipe, options.set), torch.device("cpu")
    settings, bf16 = recipe.network, uses_bf16(recipe.train.precision, device)

    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        return NETWORKS[settings.name](recipe.dims, 1, CLASSES, settings.channels, settings.dropout)

    store = random_store(torch.Generator().manual_seed(0))
    batches = Batches(store, recipe.data.size, recipe.views, recipe.train.batch, 0, device, unlabelled=True)
    state = TrainerState.fresh(recipe, to_channels_last(network()), device)
    plain = network()
    plain_optimizer = torch.optim.SGD(plain.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)

    def ours(batch: object) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            total = state.method(batch, torch.zeros(()))["total"]
        state.optimizer.zero_grad()
        total.backward()
        state.optimizer.step()

    def reference(batch: object) -> None:
        total = reference_loss(plain, batch)
        plain_optimizer.zero_grad()
        total.backward()
        plain_optimizer.step()

    times: dict[str, list[float]] = {"views": [], "ours": [], "reference": []}
    for turn in range(options.rounds + 1):  # the first warms up
        made: list[object] = []
        row = {"views": seconds(lambda turn=turn, made=made: made.append(batches(turn)))}
        row["ours"] = seconds(lambda made=made: ours(made[0]))
        if not options.only_ours:
            row["reference"] = seconds(lambda made=made: reference(made[0]))
        for name, value in row.items():
            times[name] += [value] if turn else []

    def told(name: str, values: list[float], unit: str = "s") -> str:
        return f"{name}: {statistics.median(values):.3f} {unit} ({min(values):.3f} to {max(values):.3f})"

    whole = [a + b for a, b in zip(times["views"], times["ours"], strict=True)]
    share = [view / both for view, both in zip(times["views"], whole, strict=True)]
    result = {
        "recipe": options.recipe, "batch": recipe.train.batch.labelled, "size": recipe.data.size,
        "threads": options.threads, "precision": "bf16" if bf16 else "float32",
        "step_s": statistics.median(whole), "views_share": statistics.median(share),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip
    print(told("step, views included", whole), told("of it views", share, ""), sep="\n")
    if times["reference"]:
        ratios = [ours / plain for ours, plain in zip(whole, times["reference"], strict=True)]
        result |= {"reference_s": statistics.median(times["reference"]), "ratio": statistics.median(ratios)}
        print(told("reference step", times["reference"]), told("ratio", ratios, ""), sep="\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
