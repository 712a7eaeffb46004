"""The demonstration behind `make demo`: from data to report on the embedded phantom, in minutes."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crossmatch.atomic import write_json
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.inference.predict import Options, predict
from crossmatch.phantom.phantom import KINDS, PHANTOMS, make_phantom
from crossmatch.recipes.load import load_recipe
from crossmatch.reports import write_comparison, write_report
from crossmatch.runs.display import TrainingDisplay, progress_bar
from crossmatch.scoring.evaluate import evaluate, load_evaluation
from crossmatch.training.fit import fit

COMPARED = ("supervised", "crossmatch")


def run_demo(out: Path, seed: int, console: Console, recipe_name: str = "phantom") -> dict[str, Any]:
    """Make phantom data, train both methods with equal steps, evaluate on held-out cases, write table and reports.

    Args:
        out: a folder; finished parts of an earlier demonstration in it are kept, an interrupted run is resumed.
        seed: of the phantom and of training.
        recipe_name: one of PHANTOMS.

    Returns:
        The content of `out/demo.json`: mean Dice of each method and class over the test cases.

    Raises:
        KeyboardInterrupt: Ctrl-C stopped a training; finished steps are kept.
        UserError: a recipe that has no demonstration.
    """
    if recipe_name not in PHANTOMS:
        raise UserError(f"There is no demonstration of {recipe_name!r}: choose {' or '.join(PHANTOMS)} with --recipe.")
    data = out / "data"
    if not data.exists():
        console.print(f"1/4  Drawing phantoms ({PHANTOMS[recipe_name]})")
        make_phantom(data, PHANTOMS[recipe_name], seed=seed)
        check(data)
    elif (found := open_dataset(data).name) != (name := KINDS[PHANTOMS[recipe_name]].name):
        raise UserError(f"{data} holds {found}, but --recipe {recipe_name} is shown on {name}: choose another folder.")
    labelled = load_recipe(recipe_name).data.labelled
    results: dict[str, Any] = {"recipe": recipe_name, "labelled": labelled, "seed": seed, "methods": {}}
    for number, method in enumerate(COMPARED, start=2):
        run, recipe = out / method, load_recipe(recipe_name, [f"method.name={method}", f"seed={seed}"])
        console.print(f"{number}/4  Training {method}: {recipe.train.steps} steps, {labelled} labelled cases")
        with TrainingDisplay(console, method) as display:
            done = fit(recipe, data, run, display, resume=(run / "run.json").exists())
        if done < recipe.train.steps:
            console.print(f"Stopped at step {done} of {recipe.train.steps}; the same command continues from there.")
            raise KeyboardInterrupt
        if not (run / "test" / "summary.json").is_file():
            with progress_bar(console, "     Predicting held-out cases") as progress:
                options = Options(precision=recipe.train.precision)  # that of validation, as in a benchmark
                # masks that are there are kept
                predict(run, data / "imagesTs", run / "test", options, progress=progress)
            evaluate(run / "test", data / "labelsTs", run / "test")
        scores = load_evaluation(run / "test")
        classes = {name: scores.statistics(name)["dice"].mean for name in scores.labels}
        results["methods"][method] = {
            "dice": scores.statistics()["dice"].mean,
            "classes": classes,
            "cases": scores.case_means(),
            **(scores.prediction or {}).get("training", {}),
        }
    console.print("4/4  Writing the reports")
    for method in COMPARED:
        write_report(out / method)
    page = write_comparison([out / method for method in COMPARED], out / "report.html")
    write_json(out / "demo.json", results)
    console.print(comparison(results))
    console.print(f"Report: {page}", soft_wrap=True)
    return results


def comparison(results: dict[str, Any]) -> Table:
    """Mean Dice in percent over held-out cases, a row for each method."""
    classes = list(next(iter(results["methods"].values()))["classes"])
    title = f"Dice on held-out phantoms, {results['labelled']} labelled cases, equal steps, seed {results['seed']}"
    table = Table(title=title)
    table.add_column("method")
    for name in (*classes, "mean"):
        table.add_column(name, justify="right")
    for method, scores in results["methods"].items():
        values = [*scores["classes"].values(), scores["dice"]]
        table.add_row(method, *(f"{100 * value:.1f}" for value in values))
    return table
