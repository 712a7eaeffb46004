"""How well estimates of quality tell good masks from bad ones, and what they cost.

    python speed/quality.py RUN DATA [--name NAME] [--limit 60] [--cost 0] [--threads 1] [--json FILE]

Test cases of DATA, which chose nothing, are predicted with RUN. For each case there is the true mean Dice, and

- estimate: as `predict --quality` gives it, with its interval;
- entropy: softmax entropy at the predicted border, alone;
- exported: the Dice that estimate.py of an exported model makes of that entropy, with its interval;
- mc entropy, mc agreement: Monte Carlo dropout at the cost of one further decoding of everything, with elements of the
  coarsest features and of what enters the head dropped at 0.5: the entropy of the mean of both decodings over the mask,
  and the Dice of both masks.

Printed are Spearman's correlation with the true Dice, the mean absolute error of both estimates, the share of their
intervals that hold the true Dice, and how many of the truly worst fifth are among the fifth that is rated worst. With
`--cost` that many rounds of plain prediction alternate with one with estimates, by `predict` on files and by the
`Predictor` alone; ratios of CPU time are printed. The last line is JSON.
"""

import argparse
import json
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
from crossmatch.atomic import write_json
from crossmatch.dataset.dataset import Case, Dataset, open_dataset
from crossmatch.dataset.orientation import put_onto
from crossmatch.export.carried import carried_quality
from crossmatch.inference.agreement import FeatureViews
from crossmatch.inference.calibration import DiceMap, joined, mean_of
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
        self._count(0, second.max(1).indices, probabilities.max(1).indices)
        entropy = torch.special.entr(mean).sum(1)
        self.entropy += float(entropy[labels > 0].sum())
        self.voxels += int((labels > 0).sum())


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--name", default="")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--cost", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    run, dataset = open_run(options.run), open_dataset(options.data)
    cases = [case for case in dataset.split("test") if case.label is not None][: options.limit]
    rows, facts = _measured(run, dataset, cases)
    result = {
        "name": options.name or options.run.name,
        "method": run.recipe.method.name,
        "network": f"{run.recipe.dims}D {run.recipe.network.name}",
        "steps": run.recipe.train.steps,
        "labelled": len(run.data["labelled"]),
        "calibration": facts["told"],
        "reliability": facts["reliability"] and {k: v for k, v in facts["reliability"].items() if k[:4] != "bins"},
        **_compared(rows),
        "cost": _cost(options, cases) if options.cost else None,
        "cases": rows,
    }
    for key in ("correlation", "worst_fifth"):
        print(key, " ".join(f"{name} {value:.2f}" for name, value in result[key].items()))
    print("error", result["error"], "held", result["held"], "cost", result["cost"])
    print("exported: error", result["exported_error"], "held", result["exported_held"])
    if options.json:
        write_json(options.json, result)
    print(json.dumps({key: value for key, value in result.items() if key != "cases"}))


def _measured(run: Run, dataset: Dataset, cases: Sequence[Case]) -> tuple[list[dict[str, Any]], Any]:
    """For each case its true Dice and what is known without its reference."""
    network, checkpoint = run.load_network()
    predictor = predictor_of([run], network, torch.device("cpu"), Options(quality=True))
    views, other = predictor.views, MonteCarlo(network, (RATE,))
    assert views is not None
    calibration = calibration_of(run, predictor, weights_digest(checkpoint.network), lambda done, total: None)
    carried = carried_quality(run, network, weights_digest(checkpoint.network))
    assert carried is not None
    exported, width = DiceMap(tuple(carried["shifts"]), tuple(carried["knots"])), carried["half_widths"][-1]
    rows = []
    for case in cases:
        volumes = formats.read_channels(case.images)
        views.start()
        labels, _ = predictor(volumes, case.images[0])
        verdict = judge(run, calibration, volumes, labels, views.sums())
        unsure = np.array([each["border_entropy"] for each in verdict["classes"].values()], float)
        by_border = mean_of(exported(joined(1 - unsure, unsure))) or 0.0  # of what was found
        other.start()
        replace(predictor, views=other)(volumes, case.images[0])
        assert case.label is not None
        reference = put_onto(volumes[0], formats.read_label(case.label, volumes[0], dataset.drawn), case.label, "its")
        rows.append(
            {
                "case": case.id,
                "dice": float(dice_per_class(labels, reference.voxels, run.classes).mean()),
                "estimate": verdict["dice"] or 0.0,
                "low": verdict["low"],
                "high": verdict["high"],
                "agreement": verdict["agreement"] or 0.0,
                "out_of_distribution": verdict["out_of_distribution"],
                "entropy": -(verdict["border_entropy"] or 1.0),
                "exported": by_border,
                "exported low": max(0.0, by_border - width),
                "exported high": min(1.0, by_border + width),
                "mc entropy": -other.entropy / max(1, other.voxels) if other.voxels else -9.0,
                "mc agreement": float(np.nan_to_num(other.sums().agreement[1:]).mean()),
            }
        )
    return rows, calibration.facts


def _compared(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the table shows; entropies are negative, so that more is better everywhere."""
    dice = np.array([row["dice"] for row in rows])
    fifth = max(1, round(len(rows) / 5))
    worst = set(np.argsort(dice, kind="stable")[:fifth])
    correlation, found = {}, {}
    for name in ("estimate", "entropy", "exported", "mc entropy", "mc agreement"):
        values = np.array([row[name] for row in rows])
        correlation[name] = float(spearmanr(values, dice)[0])
        found[name] = len(worst & set(np.argsort(values, kind="stable")[:fifth])) / fifth
    return {
        "test_cases": len(rows),
        "dice": {"mean": float(dice.mean()), "least": float(dice.min()), "most": float(dice.max())},
        "correlation": correlation,
        "worst_fifth": found,
        "error": float(np.mean([abs(row["dice"] - row["estimate"]) for row in rows])),
        "held": float(np.mean([(row["low"] or 0) <= row["dice"] <= (row["high"] or 1) for row in rows])),
        "exported_error": float(np.mean([abs(row["dice"] - row["exported"]) for row in rows])),
        "exported_held": float(np.mean([row["exported low"] <= row["dice"] <= row["exported high"] for row in rows])),
        "out_of_distribution": sum(row["out_of_distribution"] for row in rows),
    }


def _cost(options: argparse.Namespace, cases: Sequence[Case]) -> dict[str, Any]:
    """CPU seconds of predictions with estimates, as a ratio to plain ones: medians and ranges over rounds."""
    run = open_run(options.run)
    network, _ = run.load_network()
    predictor = predictor_of([run], network, torch.device("cpu"), Options(quality=True))
    volumes = [formats.read_channels(case.images) for case in cases[:6]]
    alone, files = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "in").mkdir()
        for case in cases[:12]:
            for path in case.images:
                (folder / "in" / path.name).symlink_to(path.resolve())
        for number in range(options.cost + 1):
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
                predict(options.run, folder / "in", folder / f"{number}{quality}", Options(quality=quality))
                took.append(time.process_time() - begun)
            files.append(took[1] / took[0])
    return {name: _spread(values[1:]) for name, values in (("predictor", alone), ("predict", files))}


def _spread(values: Sequence[float]) -> list[float]:
    """Median, least and most."""
    return [round(value, 2) for value in (statistics.median(values), min(values), max(values))]


if __name__ == "__main__":
    main()
