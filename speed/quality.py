"""How well estimates of quality tell good masks from bad ones, and what they cost.

    python speed/quality.py DATA RUN [RUN ...] [--together] [--limit 60] [--cost 0] [--threads 1] [--json FILE]

Test cases of DATA, which chose nothing, are predicted with each RUN, or with the mean of all (`--together`). For each
case there is the true mean Dice, and

- estimate: as `predict --quality` gives it, with its interval;
- labelled: the same without the validation cases, fitted on the labelled cases, as where there are no others;
- entropy: softmax entropy at the predicted border, alone;
- exported: the Dice that estimate.py of an exported model makes of that entropy, with its interval;
- mc entropy, mc agreement: Monte Carlo dropout at the cost of one further decoding of everything, with elements of the
  coarsest features and of what enters the head dropped at 0.5: the entropy of the mean of both decodings over the mask,
  and the Dice of both masks. Not for several runs together.

Printed are Spearman's correlation with the true Dice, how many of the truly worst fifth are among the fifth that is
rated worst, and of each estimate the mean absolute error, the share of intervals that hold the true Dice, and their
mean width. With `--cost` that many rounds of plain prediction alternate with one with estimates, by `predict` on files
and by the `Predictor` alone; ratios of CPU time are printed. Nothing is written into the runs.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from crossmatch import formats
from crossmatch.atomic import read_json, write_json
from crossmatch.dataset.dataset import Case, Dataset, open_dataset
from crossmatch.dataset.orientation import put_onto
from crossmatch.export.carried import carried_quality
from crossmatch.inference.calibration import DiceMap, interval, mean_of
from crossmatch.inference.ensemble import load_networks, open_runs
from crossmatch.inference.feature_views import FeatureViews
from crossmatch.inference.judged import calibration_of
from crossmatch.inference.origin import weights_digest
from crossmatch.inference.predict import Options, predict, predictor_of
from crossmatch.inference.quality import judge
from crossmatch.runs.run import Run, open_run
from crossmatch.scoring.metrics import dice_per_class

RATE = 0.5  # of Monte Carlo dropout


class MonteCarlo(FeatureViews):
    """One further decoding of everything with dropped elements, and the entropy of the mean of both."""

    def start(self) -> None:
        """Forget what was counted."""
        super().start()
        self.entropy, self.voxels = 0.0, 0

    def see(self, features: Sequence[Tensor], probabilities: Tensor, mirrored: Sequence[Tensor] = ()) -> None:
        """Count one pass."""
        dropped = [*features[:-1], functional.dropout(features[-1], RATE, training=True)]
        decoded = self.network.decoder(dropped)[0]
        second = self.network.head(functional.dropout(decoded, RATE, training=True)).float().softmax(1)
        mean = (probabilities + second) / 2
        labels = mean.max(1).indices
        self.count(0, second.max(1).indices, probabilities.max(1).indices)
        entropy = torch.special.entr(mean).sum(1)
        self.entropy += float(entropy[labels > 0].sum())
        self.voxels += int((labels > 0).sum())


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--cost", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dataset = open_dataset(options.data)
    cases = [case for case in dataset.split("test") if case.label is not None][: options.limit]
    results = []
    for folders in [options.runs] if options.together else [[one] for one in options.runs]:
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as place:
            runs = open_runs([_beside(folder, Path(place) / str(n)) for n, folder in enumerate(folders)])
            rows, facts = _measured(runs, dataset, cases)
            results.append({**_about(runs), **facts, **_compared(rows)})
            if options.cost:
                results[-1]["cost"] = _cost(runs, cases, options.cost)
        print(json.dumps(results[-1]), flush=True)
        if options.json:
            write_json(options.json, results)


def _beside(folder: Path, copy: Path) -> Path:
    """A run whose calibration is its own."""
    copy.mkdir()
    shutil.copy(folder / "run.json", copy)
    (copy / "checkpoints").symlink_to((folder / "checkpoints").resolve())
    return copy


def _about(runs: Sequence[Run]) -> dict[str, Any]:
    """What was trained."""
    first = runs[0]
    return {
        "methods": [run.recipe.method.name for run in runs],
        "network": f"{first.recipe.dims}D {first.recipe.network.name}",
        "steps": first.recipe.train.steps,
        "seed": first.recipe.seed,
        "labelled": len(first.data["labelled"]),
        "validation": len(first.data["validation"]),
    }


def _without_validation(run: Run, copy: Path) -> Run:
    """The run as if it had had no validation cases."""
    record = read_json(_beside(run.folder, copy) / "run.json", dict[str, Any], "")
    record["data"]["validation"] = []
    write_json(copy / "run.json", record)
    return open_run(copy)


def _measured(runs: Sequence[Run], dataset: Dataset, cases: Sequence[Case]) -> tuple[list[dict[str, Any]], Any]:
    """For each case its true Dice and what is known without its reference."""
    network, checkpoints = load_networks(runs, "last")
    predictor = predictor_of(runs, network, torch.device("cpu"), Options(quality=True))
    views, run = predictor.views, runs[0]
    assert views is not None
    other = MonteCarlo(network, (RATE,)) if len(runs) == 1 else None
    digest = " ".join(weights_digest(one.network) for one in checkpoints)
    bare = [_without_validation(one, one.folder.parent / f"{one.folder.name}bare") for one in runs]
    fitted = {
        name: calibration_of(each, predictor, digest, lambda done, total: None)
        for name, each in (("estimate", runs), ("labelled", bare))
    }
    carried = carried_quality(run, network, digest) if len(runs) == 1 else None
    rows = []
    for case in cases:
        volumes = formats.read_channels(case.images)
        views.start()
        labels, _ = predictor(volumes, case.images[0])
        verdicts = {name: judge(run, each, volumes, labels, views.sums()) for name, each in fitted.items()}
        assert case.label is not None
        reference = put_onto(volumes[0], formats.read_label(case.label, volumes[0], dataset.drawn), case.label, "its")
        verdict = verdicts["estimate"]
        row = {
            "dice": float(dice_per_class(labels, reference.voxels, run.classes).mean()),
            "entropy": -(verdict["border_entropy"] or 1.0),
            "out_of_distribution": verdict["out_of_distribution"],
        }
        for name, each in verdicts.items():
            row |= {name: each["dice"] or 0.0, f"{name} low": each["low"] or 0.0, f"{name} high": each["high"] or 1.0}
        if carried is not None:
            unsure = np.array([each["border_entropy"] for each in verdict["classes"].values()], float)
            to_dice = DiceMap(tuple(carried["shifts"]), tuple(carried["knots"]))
            row["exported"] = mean_of(to_dice(1 - unsure)) or 0.0  # of what was found
            row["exported low"], row["exported high"] = interval(row["exported"], carried["half_widths"][-1])
        if other is not None:
            other.start()
            replace(predictor, views=other)(volumes, case.images[0])
            row["mc entropy"] = -other.entropy / max(1, other.voxels) if other.voxels else -9.0
            row["mc agreement"] = float(np.nan_to_num(other.sums().agreement[1:]).mean())
        rows.append(row)
    found = fitted["estimate"].facts["reliability"]
    facts = {
        "calibration": {name: each.facts["told"] for name, each in fitted.items()},
        "reliability": found and {name: found[name] for name in ("temperature", "ece_before", "ece_after")},
    }
    return rows, facts


def _compared(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the table shows; entropies are negative, so that more is better everywhere."""
    dice = np.array([row["dice"] for row in rows])
    fifth = max(1, round(len(rows) / 5))
    worst = set(np.argsort(dice, kind="stable")[:fifth])
    result: dict[str, Any] = {"correlation": {}, "worst_fifth": {}, "error": {}, "held": {}, "width": {}}
    for name in ("estimate", "labelled", "entropy", "exported", "mc entropy", "mc agreement"):
        if name not in rows[0]:
            continue
        values = np.array([row[name] for row in rows])
        result["correlation"][name] = float(spearmanr(values, dice)[0])
        result["worst_fifth"][name] = len(worst & set(np.argsort(values, kind="stable")[:fifth])) / fifth
    for name in ("estimate", "labelled", "exported"):
        if name not in rows[0]:
            continue
        low, high, values = (np.array([row[name + end] for row in rows]) for end in (" low", " high", ""))
        result["error"][name] = float(np.abs(dice - values).mean())
        result["held"][name] = float(((low <= dice) & (dice <= high)).mean())
        result["width"][name] = float((high - low).mean())
    return {
        "test_cases": len(rows),
        "dice": {"mean": float(dice.mean()), "least": float(dice.min()), "most": float(dice.max())},
        **result,
        "out_of_distribution": sum(row["out_of_distribution"] for row in rows),
    }


def _cost(runs: Sequence[Run], cases: Sequence[Case], rounds: int) -> dict[str, Any]:
    """CPU seconds of predictions with estimates, as a ratio to plain ones: medians and ranges over rounds."""
    network, _ = load_networks(runs, "last")
    predictor = predictor_of(runs, network, torch.device("cpu"), Options(quality=True))
    volumes = [formats.read_channels(case.images) for case in cases[:6]]
    alone, files = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "in").mkdir()
        for case in cases[:12]:
            for path in case.images:
                (folder / "in" / path.name).symlink_to(path.resolve())
        for number in range(rounds + 1):
            took = []
            for views in (None, predictor.views):
                begun = time.process_time()
                for scan in volumes:
                    replace(predictor, views=views)(scan, Path("scan"))
                took.append(time.process_time() - begun)
            alone.append(took[1] / took[0])
            took = []
            for quality in (False, True):
                begun = time.process_time()
                target = folder / f"{number}{quality}"
                predict([run.folder for run in runs], folder / "in", target, Options(quality=quality))
                took.append(time.process_time() - begun)
            files.append(took[1] / took[0])
    return {name: _spread(values[1:]) for name, values in (("predictor", alone), ("predict", files))}


def _spread(values: Sequence[float]) -> list[float]:
    """Median, least and most."""
    return [round(value, 2) for value in (statistics.median(values), min(values), max(values))]


if __name__ == "__main__":
    main()
