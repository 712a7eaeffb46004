"""How validation Dice grew over the minutes of finished runs.

    python speed/curves.py OUT.json RUN ...

Minutes are those of the whole training, validation and checkpoints included, shared among its steps by their images'
size. Nothing is trained or read anew.
"""

import argparse
import json
from pathlib import Path

from crossmatch.runs.checkpoint import load_facts
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run


def curve(folder: Path) -> dict[str, object]:
    """The validations of a run: step, minutes since its start and mean Dice as a fraction."""
    run = open_run(folder)
    facts = load_facts(run.checkpoint("last"))
    minutes = facts["seconds"] / 60 / run.recipe.work(facts["step"])  # of a step of full size
    found = [(line["step"], line["validation"]["mean"]) for line in read_metrics(run.metrics) if "validation" in line]
    return {
        "method": run.recipe.method.name,
        "seed": run.recipe.seed,
        "steps": run.recipe.train.steps,
        "validation": [
            {"step": step, "minutes": round(run.recipe.work(step) * minutes, 2), "dice": round(dice, 5)}
            for step, dice in found
        ],
        "code": run.record["code"],
    }


def main() -> None:
    """Write the curves of all runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    options.out.write_text(json.dumps([curve(folder) for folder in options.runs], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
