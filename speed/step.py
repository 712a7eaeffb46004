"""How long a training step takes, as a ratio to one written plainly from the equations (`reference_step.py`).

    python speed/step.py --recipe acdc_3_small [--rounds 5] [--threads 2] [--compile] [--contiguous]

    also: --set train.precision=float32
    python speed/step.py --recipe isic_small --beside acdc_3_small     what a step costs, as a ratio to another recipe's

Both steps run in this process, alternating, on the same batches of random voxels; printed are the median and range of
our step, of the reference step and of their ratio round by round, the share of data and views, and the peak memory.
"""

import argparse
import json
import resource
import statistics

import torch

from crossmatch.batches.batch import Batch
from crossmatch.recipes.load import load_recipe
from reference_step import reference_loss
from step_parts import make_batches, make_step, random_network, random_store
from timing import run, seconds, spread


def main() -> None:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="acdc_3_small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    parser.add_argument("--only-ours", action="store_true", help="no reference step: for the peak memory of ours alone")
    parser.add_argument("--beside", help="another recipe, whose step of ours takes the place of the reference")
    parser.add_argument("--compile", action="store_true", help="ours; the first round then takes minutes")
    parser.add_argument("--contiguous", action="store_true", help="ours without channels_last: what that brings")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe, device = load_recipe(options.recipe, options.set), torch.device("cpu")
    batches = make_batches(recipe, random_store(recipe, device), device)
    ours = make_step(recipe, batches, device, options.compile, contiguous=options.contiguous)
    plain = random_network(recipe)
    plain_optimizer = (torch.optim.AdamW if recipe.train.optimizer == "adamw" else torch.optim.SGD)(
        plain.parameters(), lr=0.01, weight_decay=1e-4
    )

    if options.beside:
        other = load_recipe(options.beside, options.set)
        others = make_batches(other, random_store(other, device), device)
        theirs = make_step(other, others, device)

    def reference(batch: object) -> None:
        total = reference_loss(plain, batch, recipe.method.settings, recipe.dice)
        plain_optimizer.zero_grad()
        total.backward()
        plain_optimizer.step()

    times: dict[str, list[float]] = {"step": [], "views": [], "reference": []}
    for turn in range(options.rounds + 1):  # the first warms up
        row = {"step": seconds(lambda turn=turn: ours(batches.draw(turn))), "views": 0.0}
        made: list[Batch] = []
        row["views"] = seconds(lambda turn=turn, made=made: made.append(batches(turn)))
        if options.beside:
            row["reference"] = seconds(lambda turn=turn: theirs(others.draw(turn)))
        elif not options.only_ours:
            row["reference"] = seconds(lambda made=made: reference(made[0]))
        for name, value in row.items():
            times[name] += [value] if turn else []

    whole = times["step"]
    share = [view / both for view, both in zip(times["views"], whole, strict=True)]
    result = {
        "recipe": options.recipe, "beside": options.beside,
        "batch": recipe.train.batch.labelled, "size": recipe.data.size,
        "threads": options.threads, "compiled": options.compile, "contiguous": options.contiguous,
        "precision": ours.team.fabric.strategy.precision.precision,
        "step_s": statistics.median(whole), "views_share": statistics.median(share),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip
    print(f"step, views included: {spread(whole, '.3f')} s", f"of it views: {spread(share, '.3f')}", sep="\n")
    if times["reference"]:
        ratios = [ours / plain for ours, plain in zip(whole, times["reference"], strict=True)]
        result |= {"reference_s": statistics.median(times["reference"]), "ratio": statistics.median(ratios)}
        print(
            f"{options.beside or 'reference'} step: {spread(times['reference'], '.3f')} s",
            f"ratio: {spread(ratios, '.3f')}",
            sep="\n",
        )
    print(json.dumps(result))


if __name__ == "__main__":
    run(main)
