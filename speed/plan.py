"""Does a planned recipe keep its promise? Minutes promised against measured, and Dice against a recipe made by hand.

    python speed/plan.py DATA --labelled 2 --hand phantom --minutes 4 --out RUNS [--json FILE]

Trains twice, each as a process: `train auto --minutes`, and the recipe made by hand with as many steps as fill the same
minutes by the same measurement. Dice is that of the last validation; test cases are not opened.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.plan.measure import measure
from crossmatch.plan.plan import steps_in
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run


def trained(words: list[str], out: Path) -> dict[str, object]:
    """Train as a process: wall-clock and CPU minutes, the recipe's size, Dice of the last validation."""
    load, used = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "crossmatch", "train", *words, "--out", str(out)], check=True)
    seconds, now = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    recipe = open_run(out).recipe
    scores = [line["validation"] for line in read_metrics(out / "metrics.jsonl") if "validation" in line]
    return {
        "minutes": round(seconds / 60, 2),
        "cpu_minutes": round((now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime) / 60, 2),
        "load_before": round(load, 2),
        "size": list(recipe.data.size),
        "steps": recipe.train.steps,
        "validation_dice": {name: round(100 * value, 2) for name, value in scores[-1].items()},
    }


def main() -> None:
    """Compare, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--labelled", required=True)
    parser.add_argument("--hand", required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    common = ["--data", str(given.data), "--set", f"data.labelled={given.labelled}"]
    check(given.data)
    began = time.monotonic()
    found: dict[str, object] = {
        "command": "python speed/plan.py " + " ".join(sys.argv[1:]),
        "promised_minutes": given.minutes,
        "planned": trained(["auto", *common, "--minutes", str(given.minutes)], given.out / "planned"),
    }
    recipe = load_recipe(given.hand, [f"data.labelled={given.labelled}"])
    steps, _ = steps_in(measure(recipe, open_dataset(given.data), "auto"), given.minutes)
    words = [given.hand, *common, "--set", f"train.steps={steps}"]
    every = max(1, steps // 8)
    words += ["--set", f"train.validate_every={every}", "--set", f"train.checkpoint_every={every}"]
    found["by_hand"] = trained(words, given.out / "by_hand")
    found["together_minutes"] = round((time.monotonic() - began) / 60, 1)
    text = json.dumps(found, indent=1)
    print(text)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
