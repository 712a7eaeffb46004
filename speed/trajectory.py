"""How a training of CrossMatch on ACDC begins: when its pseudo-labels gain foreground, seed by seed.

    python speed/trajectory.py --data ACDC --out runs --json lean_64.json --seeds 0 1 2 [--size 64] [--steps 400]
                               [--set method.grouping=released ...]

With the released constants every run begins on a plateau: its pseudo-labels hold background alone, and three of four
classes have no overlap, so the image term `ip1` is .75. At some step they gain foreground, and `ip1` falls. For each
seed the JSON holds the step at which `ip1` falls below .70 for good (null: never), the area under `ip1`, and validation
Dice with the network's own batch statistics and with statistics re-estimated on clean weak views. The setting is that
of the comparison with the released code: 3 labelled patients, 4 + 4 + 4 images, float32, learning rate to 0 at the end.

Runs are kept in `--out`, and finished ones are read again, so that a family of seeds can be made on several days. The
JSON is written anew after each seed. A run of 400 steps at 64 x 64 takes about five minutes on one thread.
"""

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from crossmatch.batches.views import Batches
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.inference.predictor import Predictor
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.display import Silent
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run
from crossmatch.training.fit import fit, validation
from crossmatch.training.material import training_cases
from crossmatch.training.recalibrate import PASSES, recalibrated
from timing import run as run_program

PLATEAU, LEFT = 0.75, 0.70  # of `ip1`: background alone among four classes, and clearly less
MEAN_OVER = 10  # steps: `ip1` of single steps is noisy


def leaves(steps: Sequence[int], values: Sequence[float]) -> int | None:
    """The first step from which on the running mean of `ip1` stays below .70; None where it never does.

    >>> leaves([10, 20, 30, 40], [0.75, 0.69, 0.72, 0.6])
    40
    >>> leaves([10, 20], [0.75, 0.75])
    """
    above = [step for step, value in zip(steps, values, strict=True) if value >= LEFT]
    if not above:
        return steps[0]
    later = [step for step in steps if step > above[-1]]
    return later[0] if later else None


def smoothed(values: Sequence[float], width: int = MEAN_OVER) -> list[float]:
    """Mean over up to `width` values that end at each."""
    return [sum(values[max(0, k - width + 1) : k + 1]) / min(width, k + 1) for k in range(len(values))]


def settings(options: argparse.Namespace, seed: int) -> list[str]:
    """The changes to the recipe `acdc_3`."""
    return [
        f"data.size=[{options.size},{options.size}]",
        f"train.steps={options.steps}",
        "train.batch.labelled=4",
        "train.batch.unlabelled=4",
        "train.precision=float32",
        "train.log_every=1",
        "train.validate_every=1000000",
        f"train.checkpoint_every={options.steps}",
        *options.set,
        f"seed={seed}",
    ]


def measure(folder: Path, data: Path) -> dict[str, Any]:
    """What a finished run shows."""
    run, device = open_run(folder), torch.device("cpu")
    recipe = run.recipe
    lines = [line for line in read_metrics(run.metrics) if "train" in line]
    steps, values = [line["step"] for line in lines], smoothed([line["train"]["ip1"] for line in lines])
    network, checkpoint = run.load_network()
    cases = training_cases(recipe, open_dataset(data, splits=("train", "val")), lambda done, total: None)
    store = cases.load(recipe, folder, device, lambda done, total: None)
    batches = Batches(store, recipe.data.size, recipe.views, recipe.train.batch, recipe.seed, device, unlabelled=True)
    drawn = itertools.islice(map(batches, itertools.count()), PASSES)
    fitted = recalibrated(network, (torch.cat([batch.x, batch.u.weak]) for batch in drawn if batch.u))

    def dice(trained: torch.nn.Module) -> dict[str, float]:
        return validation(Predictor(trained, recipe, cases.dataset.slice_axis, device, frame=run.frame), cases.dataset)

    return {
        "seed": recipe.seed,
        "steps": checkpoint.facts["step"],
        "leaves": leaves(steps, values),
        "area": sum(values) / len(values),
        "validation": dice(network),
        "validation_recalibrated": dice(fitted),
        "ip1": [round(value, 4) for value in values[9::10]],
        "code": run.record["code"],
    }


def main() -> None:
    """Train and measure seed after seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        recipe, folder = load_recipe("acdc_3", settings(options, seed)), options.out / f"seed{seed}"
        finished = (folder / "checkpoints" / "last.safetensors").is_file()
        if not finished and fit(recipe, options.data, folder, Silent(), device="cpu") < options.steps:
            raise UserError(f"Stopped in seed {seed}: {folder} can be removed, and the command given again.")
        row = measure(folder, options.data)
        rows.append(row)
        found = {"command": " ".join(["speed/trajectory.py", f"--size {options.size}", *options.set]), "runs": rows}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n")
        shown = {key: row[key] for key in ("leaves", "area")}
        print(f"seed {seed}: {shown}, validation {row['validation']['mean']:.3f}", flush=True)


if __name__ == "__main__":
    run_program(main)
