"""Does a planned recipe keep its promise? Minutes promised against measured, and Dice against a recipe made by hand.

    OMP_NUM_THREADS=1 python speed/plan.py DATA --labelled 2 --hand phantom --minutes 2 --out RUNS [--json FILE]

Plans for so many minutes and trains; then trains the recipe made by hand with as many steps as fill the same minutes by
the same measurement. Minutes are those of one CPU thread that computes, so that other work on the machine changes
neither promise nor measurement; on a quiet machine they are minutes of the clock. Dice is that of the last validation.
Test cases are not opened.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.plan.facts import training_facts
from crossmatch.plan.make import fit_minutes, steps_in
from crossmatch.plan.measure import Cost, measure
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run


def trained(words: list[str], out: Path) -> dict[str, object]:
    """Train as a process: minutes of the CPU and of the clock, the recipe's size, Dice of the last validation."""
    load, used = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "crossmatch", "train", *words, "--out", str(out)], check=True)
    seconds, now = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    recipe = open_run(out).recipe
    scores = [line["validation"] for line in read_metrics(out / "metrics.jsonl") if "validation" in line]
    return {
        "cpu_minutes": round((now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime) / 60, 2),
        "clock_minutes": round(seconds / 60, 2),
        "load_before": round(load, 2),
        "size": list(recipe.data.size),
        "spacing_mm": list(recipe.data.spacing_mm),
        "steps": recipe.train.steps,
        "validation_dice": {name: round(100 * value, 2) for name, value in scores[-1].items()},
    }


def main() -> None:
    """Compare, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--labelled", required=True)
    parser.add_argument("--hand", required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    check(given.data)
    dataset, chosen = open_dataset(given.data), f"data.labelled={given.labelled}"

    def cost(recipe: Recipe) -> Cost:
        return measure(recipe, dataset, "cpu", clock=time.process_time)

    facts = training_facts(dataset, given.labelled)
    plan = fit_minutes(facts, given.minutes, {"data.labelled": given.labelled}, lambda proposal: cost(proposal.recipe))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "planned.toml").write_text(plan.toml(), encoding="utf-8")
    print(plan.toml(), flush=True)
    common = ["--data", str(given.data), "--device", "cpu", "--set", chosen]
    found: dict[str, object] = {
        "command": "python speed/plan.py " + " ".join(sys.argv[1:]),
        "promised_minutes": round(plan.minutes, 2),
        "planned": trained([str(given.out / "planned.toml"), *common], given.out / "planned"),
    }
    recipe = load_recipe(given.hand, [chosen])
    steps, _ = steps_in(cost(recipe), given.minutes)
    every = max(1, steps // 8)
    changes = (f"train.steps={steps}", f"train.validate_every={every}", f"train.checkpoint_every={every}")
    words = [word for change in changes for word in ("--set", change)]
    found["by_hand"] = {"recipe": given.hand, **trained([given.hand, *common, *words], given.out / "by_hand")}
    text = json.dumps(found, indent=1)
    print(text)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
