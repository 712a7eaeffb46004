"""Where a training step's time goes, beside the reference step (`reference_step.py`): a picture and its numbers.

    python speed/profile_step.py --out docs/results/performance/profile [--recipes acdc_3 la_8] [--threads 2]

Each step runs once to warm up and once under PyTorch's profiler, on a CPU. Time is that of operations themselves,
without what they call, in groups by name; views, objective (forwards) and optimiser are told by where they are called.
Written are OUT.json and OUT.svg, in which a recipe's bars are in units of its reference step.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import torch
from torch.autograd.profiler import record_function
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from crossmatch.batches.views import Batches
from crossmatch.methods import crossmatch as method
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from reference_step import reference_loss
from step_parts import make_batches, make_step, random_network, random_store
from timing import run

RANGES = ("views", "objective", "optimiser")
GROUPS = {  # in this order: the first that a name holds
    "optimiser": ("_fused_adam", "_foreach", "_fused_sgd"),
    "convolutions": ("conv",),
    "normalisation": ("batch_norm", "instance_norm", "group_norm"),
    "resizing, pooling": ("upsample", "max_pool"),
    "dropout, activation": ("bernoulli", "relu", "threshold", "dropout"),
    "copies": ("copy", "clone", "cat", "fill", "zero", "to_mkldnn", "to_dense"),
}
REST = "sums, products, softmax"
COLOURS = {
    "convolutions": "#3b6fb6", "normalisation": "#79a3d3", "resizing, pooling": "#a9c7e8",
    "dropout, activation": "#d2e2f3", "copies": "#b5b5b5", REST: "#e08e45", "objective": "#c0392b", "views": "#3c9d5d",
    "optimiser": "#8e6bb0",
}  # fmt: skip


def group_of(event: FunctionEvent) -> str:
    """By the range an operation was called in, else by its name."""
    above = event
    while above is not None:
        if above.name in RANGES:
            return str(above.name)
        above = above.cpu_parent
    found = (group for group, parts in GROUPS.items() if any(part in event.name for part in parts))
    return next(found, REST)


def profiled(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of one call, by group."""
    work()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    seconds: Counter[str] = Counter()
    for event in found.events():
        seconds[group_of(event)] += event.self_cpu_time_total / 1e6
    return dict(seconds.most_common())


def within(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its time told apart."""

    def told(*arguments: Any, **named: Any) -> Any:
        with record_function(name):
            return work(*arguments, **named)

    return told


def of_reference(recipe: Recipe, batches: Batches) -> dict[str, float]:
    plain = random_network(recipe)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3)

    def step() -> None:
        with record_function("views"):
            batch = batches(0)
        loss = reference_loss(plain, batch, recipe.method.settings, recipe.dice)
        optimizer.zero_grad()
        loss.backward()
        with record_function("optimiser"):
            optimizer.step()

    return profiled(step)


def of_ours(recipe: Recipe, batches: Batches) -> dict[str, float]:
    step, plain = make_step(recipe, batches, torch.device("cpu")), method.objective
    step.make, draw = within("views", step.make), within("views", batches.draw)
    method.objective = within("objective", plain)
    try:
        return profiled(lambda: step(draw(step.state.step)))
    finally:
        method.objective = plain


def picture(found: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 0.7 * 2 * len(found) + 1.2), layout="constrained")
    places, names = [], []
    for row, (recipe, steps) in enumerate(found.items()):
        whole = sum(steps["reference"].values())
        for k, step in enumerate(("reference", "ours")):
            place, left = -(2.4 * row + k), 0.0
            for group, colour in COLOURS.items():
                width = steps[step].get(group, 0.0) / whole
                axes.barh(place, width, left=left, color=colour, label=group if row == k == 0 else None)
                left += width
            axes.text(left + 0.01, place, f"{left:.2f}", va="center", fontsize=9)
            places.append(place)
            names.append(f"{recipe}, {step}")
    axes.set_yticks(places, names)
    axes.set_xlim(0, 1.1)
    axes.set_xlabel("time of operations, in units of the reference step")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    figure.savefig(path)


def main() -> None:
    """Profile, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", default=["acdc_3", "la_8"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="section.key=value, of every recipe")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = {}
    for name in options.recipes:
        recipe, device = load_recipe(name, options.set), torch.device("cpu")
        batches = make_batches(recipe, random_store(recipe, device), device)
        found[name] = {"reference": of_reference(recipe, batches), "ours": of_ours(recipe, batches)}
    record = {"torch": torch.__version__, "threads": options.threads, "seconds": found}
    options.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    picture(found, options.out.with_suffix(".svg"))
    print(json.dumps(record))


if __name__ == "__main__":
    run(main)
