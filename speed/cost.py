"""What a step of each method costs, in CPU seconds of one thread, on one recipe.

    OMP_NUM_THREADS=1 python speed/cost.py --data PHANTOM --out RUNS --json docs/results/performance/methods.json

CPU seconds do not grow when other programs run beside, as minutes do. The first steps are left out. Each method trains
a few steps of the recipe as it is; `distillation` has the network of `supervised` as its teacher. Of methods that begin
with a pre-training, both stages are timed and weighed by their share of the run.
"""

import argparse
import json
import time
from pathlib import Path

from crossmatch.methods import METHODS
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.training.fit import fit
from timing import run
from trajectory import Until

WARM = 5  # steps that are left out


class Clock(Until):
    """A display that notes CPU time after each step, and presses Ctrl-C after the last one wanted."""

    def __init__(self, last: int) -> None:
        super().__init__(last)
        self.times: dict[int, float] = {}

    def step(self, step: int, steps: int, values: dict[str, float]) -> None:
        """Note the time."""
        self.times[step] = time.process_time()
        super().step(step, steps, values)


def seconds_a_step(recipe: Recipe, options: argparse.Namespace, name: str) -> float:
    """CPU seconds of a step at the beginning of a training."""
    clock = Clock(WARM + options.steps)
    fit(recipe, options.data, options.out / name, clock, device="cpu")
    return (clock.times[clock.last] - clock.times[WARM]) / options.steps


def main() -> None:
    """Time method after method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--recipe", default="phantom")
    parser.add_argument("--steps", type=int, default=25)
    options = parser.parse_args()
    order = sorted(METHODS, key=lambda method: (method == "distillation", method != "supervised"))
    found: dict[str, float] = {}
    for method in order:
        teacher = [f"method.teacher={options.out / 'supervised'}"] if method == "distillation" else []
        recipe = load_recipe(options.recipe, [f"method.name={method}", *teacher])
        first = getattr(recipe.method, "pretraining", 0.0)
        later = load_recipe(
            options.recipe, [f"method.name={method}", *teacher, *(["method.pretraining=0"] * bool(first))]
        )
        found[method] = (1 - first) * seconds_a_step(later, options, method)
        if first:
            found[method] += first * seconds_a_step(recipe, options, f"{method}_first")
        print(f"{method}: {found[method]:.3f} CPU s a step", flush=True)
    kept = {"command": f"speed/cost.py --recipe {options.recipe} --steps {options.steps}", "cpu_seconds": found}
    options.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
