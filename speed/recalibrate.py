"""Does `train.recalibrate` pay? The validation Dice of finished runs as they are, and with re-estimated statistics.

    python speed/recalibrate.py OUT.json RUN ...

Nothing is trained: the setting changes what is evaluated, not the training. Test cases are not read.
"""

import argparse
import json
from pathlib import Path

import torch

from crossmatch.batches.views import Batches
from crossmatch.dataset.dataset import open_dataset
from crossmatch.inference.predictor import Predictor
from crossmatch.networks.segmenter import Segmenter
from crossmatch.runs.devices import uses_bf16
from crossmatch.runs.run import Run, open_run
from crossmatch.training.material import training_cases
from crossmatch.training.recalibrate import PASSES, recalibrated
from crossmatch.training.validation import validation

CPU = torch.device("cpu")


def scores(run: Run) -> tuple[dict[str, float], dict[str, float]]:
    """Validation Dice of a run's last checkpoint, each class and mean: as it is, and with re-estimated statistics."""
    recipe, data = run.recipe, Path(run.data["root"])
    network, _ = run.load_network()
    cases = training_cases(recipe, open_dataset(data), lambda done, total: None)
    batches = Batches(
        cases.load(recipe, run.folder, CPU, lambda done, total: None),
        recipe.data.size,
        recipe.views,
        recipe.train.batch,
        recipe.seed,
        CPU,
        unlabelled=bool(cases.unlabelled),
        patches=recipe.data.sampling == "patch",
    )

    def dice(trained: Segmenter) -> dict[str, float]:
        axis, bf16 = cases.dataset.slice_axis, uses_bf16(recipe.train.precision, CPU)
        predictor = Predictor(trained, recipe, axis, CPU, fixed=run.fixed_windows, frame=run.frame, bf16=bf16)
        return validation(predictor, cases.dataset)

    return dice(network), dice(recalibrated(network, map(batches.weak_views, range(PASSES))))


def measure(folder: Path) -> dict[str, object]:
    """What the last checkpoint of a run shows on its validation cases, in fractions."""
    run = open_run(folder)
    plain, fitted = scores(run)
    return {
        "method": run.recipe.method.name,
        "seed": run.recipe.seed,
        "steps": run.load_network()[1].facts["step"],
        "validation": plain["mean"],
        "validation_recalibrated": fitted["mean"],
        "code": run.record["code"],
    }


def main() -> None:
    """Measure run after run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    rows = []
    for folder in options.runs:
        rows.append(measure(folder))
        print(folder, rows[-1], flush=True)
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
