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

from crossmatch.data.store import Store
from crossmatch.data.views import Batches
from crossmatch.devices import uses_bf16
from crossmatch.networks import NETWORKS
from crossmatch.networks.layers import to_channels_last
from crossmatch.recipe import load_recipe
from crossmatch.trainer_state import TrainerState
from reference_step import reference_loss

# axes -> (classes, items, voxels of an item): like ACDC, like LA
DATA = {2: (4, 60, (216, 256)), 3: (2, 12, (200, 150, 88))}


def random_store(dims: int, generator: torch.Generator) -> Store:
    """As many items of noise as make the look-up touch memory like real data does."""
    classes, items, native = DATA[dims]
    voxels = int(np.prod(native))
    offset = torch.arange(items) * voxels
    return Store(
        voxels=torch.randint(-(2**15), 2**15, (items * voxels,), dtype=torch.int16, generator=generator),
        labels=torch.randint(0, classes, (items * voxels,), dtype=torch.uint8, generator=generator),
        offset=offset,
        channel_stride=torch.full((items,), voxels),
        label_offset=offset,
        size=torch.tensor([native] * items),
        zero=torch.full((items, 1), -(2.0**15)),
        factor=torch.full((items, 1), 1 / 65535),
        low=torch.zeros(items, 1),
        high=torch.ones(items, 1),
        labelled=torch.arange(items // 2),
        unlabelled=torch.arange(items // 2, items),
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
    bf16, patches = uses_bf16(recipe.train.precision, device, recipe.coarse_size), recipe.data.sampling == "patch"

    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        kind = NETWORKS[recipe.network["name"]][0]
        return kind(recipe.dims, 1, DATA[recipe.dims][0], **recipe.network_settings.model_dump())

    store = random_store(recipe.dims, torch.Generator().manual_seed(0))
    sizes = (recipe.data.size, recipe.views, recipe.train.batch)
    batches = Batches(store, *sizes, 0, device, unlabelled=True, patches=patches)
    state = TrainerState.fresh(recipe, to_channels_last(network()), device)
    plain = network()
    plain_optimizer = (torch.optim.AdamW if recipe.train.optimizer == "adamw" else torch.optim.SGD)(
        plain.parameters(), lr=0.01, weight_decay=1e-4
    )

    def ours(batch: object) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            total = state.method(batch, torch.zeros(()))["total"]
        state.optimizer.zero_grad()
        total.backward()
        state.optimizer.step()

    def reference(batch: object) -> None:
        total = reference_loss(plain, batch, recipe.method_settings, recipe.dice)
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
