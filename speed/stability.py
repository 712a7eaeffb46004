"""Do short planned trainings keep what they learn? Validation Dice over the run, with changes and seeds.

    OMP_NUM_THREADS=1 python speed/stability.py DATA ... --labelled 2 --steps 1308 --seeds 0 --json FILE --out RUNS
    ... --change method.name=unimatch --change 'method.eta=0 views.augment.labelled=false'

Every run trains the planned recipe of its dataset at one level, by default the least. A change is one or more settings;
without --change the recipe trains as it is. The file keeps the runs that it has; the same command again makes what is
missing. Test cases are not opened.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.plan.facts import training_facts
from crossmatch.plan.levels import LEVELS, Level
from crossmatch.plan.propose import propose
from crossmatch.plan.rules import Chosen
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run

VALIDATIONS = 4

Row = dict[str, Any]


def planned(data: Path, labelled: str, level: Level, steps: int, change: str) -> str:
    """The recipe of a dataset at a level, as a file's text."""
    check(data)
    facts = training_facts(open_dataset(data), labelled)
    changes: dict[str, object] = {"data.labelled": labelled}
    if method := [word.partition("=")[2] for word in change.split() if word.startswith("method.name=")]:
        changes["method.name"] = method[0]  # the others are settings of the method, which follow when it is known
    return propose(facts, level, Chosen(steps, "given"), changes, VALIDATIONS).toml(f"The {level.name} planned recipe.")


def trained(data: Path, labelled: str, level: Level, steps: int, change: str, seed: int, out: Path) -> Row:
    """Train, or go on with a run that was stopped."""
    words = ["--resume", "--out", str(out)]
    if not out.exists():
        recipe = out.parent / f"{out.name}.toml"
        recipe.write_text(planned(data, labelled, level, steps, change), encoding="utf-8")
        words = [str(recipe), "--data", str(data), "--seed", str(seed), "--out", str(out)]
        words += [word for setting in change.split() for word in ("--set", setting)]
    subprocess.run([sys.executable, "-m", "crossmatch", "train", *words], check=True)
    run = open_run(out)
    lines = read_metrics(run.metrics)
    shares = [line["train"].get("pseudo_foreground") for line in lines if "train" in line]
    return {
        "scans": data.name,
        "labelled": labelled,
        "level": level.name,
        "change": change,
        "seed": seed,
        "steps": steps,
        "validation_dice": [
            [line["step"], round(line["validation"]["mean"], 4)] for line in lines if "validation" in line
        ],
        "pseudo_foreground": None if shares[-1] is None else round(shares[-1], 4),
        "commit": run.record["code"]["commit"],
    }


def as_text(found: dict[str, Any]) -> str:
    """The file: a line for each run."""
    head = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items() if key != "runs"]
    runs = ",\n".join(json.dumps(row) for row in found["runs"])
    return "{" + ",\n".join([*head, f'"runs": [\n{runs}\n]']) + "}\n"


def main() -> None:
    """Train what the file does not have, and write it after every run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--labelled", required=True)
    parser.add_argument("--level", choices=[level.name for level in LEVELS], default=LEVELS[-1].name)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seeds", default="0", help="separated by commas")
    parser.add_argument("--change", action="append", help="settings, separated by spaces; may be repeated")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    (level,) = (each for each in LEVELS if each.name == given.level)
    wanted = [
        (data, change, int(seed))
        for change in given.change or [""]
        for data in given.data
        for seed in given.seeds.split(",")
    ]
    for data, change, seed in wanted:
        found = json.loads(given.json.read_text(encoding="utf-8")) if given.json.is_file() else {}
        rows: list[Row] = found.get("runs", [])
        asked = {"scans": data.name, "labelled": given.labelled, "level": level.name, "change": change}
        asked |= {"seed": seed, "steps": given.steps}
        if any(asked.items() <= row.items() for row in rows):
            continue
        name = "_".join([data.name, level.name, str(seed), *change.replace("/", "").split()])
        row = trained(data, given.labelled, level, given.steps, change, seed, given.out / name)
        print(json.dumps(row), flush=True)
        given.json.write_text(as_text({**found, "runs": [*rows, row]}), encoding="utf-8")


if __name__ == "__main__":
    main()
