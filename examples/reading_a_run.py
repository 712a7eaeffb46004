"""What a run has kept, for your own tables and figures: settings, curves, scores.

    .venv/bin/python examples/reading_a_run.py RUN

RUN is a run's folder, for instance that of train_and_predict.py. Curves go to RUN/curves.png.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

import crossmatch
from crossmatch.runs.logbook import read_metrics
from crossmatch.scoring.scores import load_evaluation


def main(run: Path) -> None:
    """Print and draw what lies in the run's folder."""
    # how it was made: the whole recipe, and run.json with data, code, versions and device
    model = crossmatch.load(run)
    print(f"{model.recipe.method.name}, {model.recipe.train.steps} steps, seed {model.recipe.seed}")
    print(f"on {model.run.record['device']['name']}, cases with labels: {', '.join(model.run.data['labelled'])}")

    # curves: one line of metrics.jsonl each `train.log_every` steps, and one each validation
    lines = read_metrics(model.run.metrics)
    figure = Figure()
    axes = figure.subplots()
    curves = {
        "train, total": [(line["step"], line["train"]["total"]) for line in lines if "train" in line],
        "validation, mean": [(line["step"], line["validation"]["mean"]) for line in lines if "validation" in line],
    }
    for name, found in curves.items():
        if found:
            axes.plot(*zip(*found, strict=True), label=name)
            print(f"{name}: {found[0][1]:.3f} at step {found[0][0]}, {found[-1][1]:.3f} at step {found[-1][0]}")
    axes.set_xlabel("step")
    axes.legend()
    figure.savefig(run / "curves.png")

    # scores: what `evaluate` wrote, a row for each case and class
    scores = load_evaluation(run / "test")
    for name in scores.labels:
        dice = scores.statistics(name)["dice"]
        print(f"{name}: Dice {dice.mean:.3f} ± {dice.std:.3f} over {dice.cases} cases")
    means = scores.case_means()
    print(f"worst case: {min(means, key=means.__getitem__)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path)
    main(**vars(parser.parse_args()))
