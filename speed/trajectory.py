"""How a training of CrossMatch begins: when its pseudo-labels gain foreground, seed by seed.

    python speed/trajectory.py --data ACDC --out runs --json lean_64.json --seeds 0 1 2 [--size 64] [--steps 400]
                               [--set method.grouping=released ...]
    python speed/trajectory.py --data ACDC --out runs --json small.json --recipe acdc_3_small --until 200

With the released constants every run begins on a plateau: its pseudo-labels hold background alone, and the other K - 1
of K classes have no overlap, so the image term `ip1` is (K - 1) / K, .75 on ACDC. At some step they gain foreground,
and `ip1` falls. For each seed the JSON holds the step at which `ip1` falls .05 below that for good (null: never), the
area under `ip1`, and validation Dice with the network's own batch statistics and with statistics re-estimated on clean
weak views. Without `--recipe` the setting is that of the comparison with the released code: `acdc_3` with 3 labelled
patients, 4 + 4 + 4 images, float32, learning rate to 0 at the end. With it, the recipe is taken as it is, and `--until`
stops each run there, without a change to its schedule.

Runs are kept in `--out`, and finished ones are read again, so that a family of seeds can be made on several days. The
JSON is written anew after each seed. A run of 400 steps at 64 x 64 takes about five minutes on one thread.
"""

import argparse
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossmatch.errors import UserError
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.display import Silent
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run
from crossmatch.training.fit import fit
from recalibrate import scores
from timing import run as run_program

BELOW = 0.05  # of `ip1`: clearly less than with background alone
MEAN_OVER = 10  # steps: `ip1` of single steps is noisy


class Until(Silent):
    """A display that presses Ctrl-C after a step."""

    def __init__(self, last: int) -> None:
        self.last = last

    def step(self, step: int, steps: int, values: dict[str, float]) -> None:
        """Stop at the last step wanted."""
        if step == self.last:
            signal.raise_signal(signal.SIGINT)


def leaves(steps: Sequence[int], values: Sequence[float], classes: int = 4) -> int | None:
    """The first step from which on the running mean of `ip1` stays below the plateau; None where it never does.

    >>> leaves([10, 20, 30, 40], [0.75, 0.69, 0.72, 0.6])
    40
    >>> leaves([10, 20], [0.75, 0.75])
    """
    above = [step for step, value in zip(steps, values, strict=True) if value >= (classes - 1) / classes - BELOW]
    if not above:
        return steps[0]
    later = [step for step in steps if step > above[-1]]
    return later[0] if later else None


def smoothed(values: Sequence[float], width: int = MEAN_OVER) -> list[float]:
    """Mean over up to `width` values that end at each."""
    return [sum(values[max(0, k - width + 1) : k + 1]) / min(width, k + 1) for k in range(len(values))]


def settings(options: argparse.Namespace, seed: int) -> list[str]:
    """The changes to the recipe."""
    if options.recipe:
        return ["train.log_every=1", "train.validate_every=1000000", *options.set, f"seed={seed}"]
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


def chosen(options: argparse.Namespace) -> list[str]:
    """The setting, as the command line gives it."""
    until = [f"--until {options.until}"] if options.until else []
    family = (
        [f"--recipe {options.recipe}"] if options.recipe else [f"--size {options.size}", f"--steps {options.steps}"]
    )
    return [*family, *until, *(f"--set {change}" for change in options.set)]


def measure(folder: Path) -> dict[str, Any]:
    """What a finished run shows."""
    run = open_run(folder)
    lines = [line for line in read_metrics(run.metrics) if "train" in line]
    steps, values = [line["step"] for line in lines], smoothed([line["train"]["ip1"] for line in lines])
    plain, fitted = scores(run)
    return {
        "seed": run.recipe.seed,
        "steps": steps[-1],
        "leaves": leaves(steps, values, len(run.data["labels"])),
        "area": sum(values) / len(values),
        "validation": plain,
        "validation_recalibrated": fitted,
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
    parser.add_argument("--recipe", help="taken as it is, without --size and --steps")
    parser.add_argument("--until", type=int, help="stop each run at this step")
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        recipe, folder = load_recipe(options.recipe or "acdc_3", settings(options, seed)), options.out / f"seed{seed}"
        last = options.until or recipe.train.steps
        finished = (folder / "checkpoints" / "last.safetensors").is_file()
        if not finished and fit(recipe, options.data, folder, Until(last), device="cpu") < last:
            raise UserError(f"Stopped in seed {seed}: {folder} can be removed, and the command given again.")
        row = measure(folder)
        rows.append(row)
        found = {"command": " ".join(["speed/trajectory.py", *chosen(options)]), "runs": rows}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n")
        shown = {key: row[key] for key in ("leaves", "area")}
        print(f"seed {seed}: {shown}, validation {row['validation']['mean']:.3f}", flush=True)


if __name__ == "__main__":
    run_program(main)
