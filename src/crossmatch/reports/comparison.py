"""The page of several runs beside each other: scores, the same slices, case by case, curves, settings that differ."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from crossmatch.errors import UserError, listed
from crossmatch.reports.beside import beside_rows
from crossmatch.reports.curves import runs_panels
from crossmatch.reports.document import document
from crossmatch.reports.evaluated import notices, pictures_section
from crossmatch.reports.heading import duration, last_checkpoint, tiled
from crossmatch.reports.other_weights import other_weights, told_of_scores
from crossmatch.reports.pairs import (
    Compared,
    chosen_pairs,
    differences,
    differences_table,
    other_references,
    pairs_drawing,
    pairs_table,
    shared_cases,
)
from crossmatch.reports.seen_before import UNLABELLED, seen_before
from crossmatch.reports.tables import runs_table, scores_of_runs
from crossmatch.runs.differences import flat
from crossmatch.runs.run import Run
from crossmatch.scoring.scored_files import told_since
from crossmatch.scoring.scores import Evaluation


def check_comparable(runs: Sequence[Run]) -> None:
    """Raise UserError unless these are at least two runs whose networks tell the same classes apart."""
    folders = [run.folder.resolve() for run in runs]
    if twice := [run.folder for run, place in zip(runs, folders, strict=True) if folders.count(place) > 1]:
        raise UserError(f"{twice[0]} is named twice: name runs that differ.")
    first, *others = runs
    for run in others:
        if run.data["labels"] != first.data["labels"]:
            raise UserError(
                f"{first.folder} and {run.folder} have other classes ({listed(first.data['labels'])} against "
                f"{listed(run.data['labels'])}): scores of different classes cannot be compared."
            )


def run_names(folders: Sequence[Path]) -> list[str]:
    """The end of each path that tells it from the others."""
    parts = [folder.resolve().parts for folder in folders]
    longest = max(map(len, parts))
    for count in range(1, longest + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return ["/".join(each) for each in parts]


def render_comparison(runs: Sequence[Compared]) -> str:
    """The whole page. The first run is the one that others are compared with."""
    names = [run.name for run in runs]
    title = " · ".join(names)
    what = f"{len(runs)} runs on {listed(dict.fromkeys(run.run.data['name'] for run in runs))}"
    head = f'<header><p class="what">{escape(what)}</p><h1>{escape(_spoken(names))}</h1></header>'
    scored = [run for run in runs if run.evaluation is not None]
    shared, other = shared_cases(runs)
    body = [head, tiled([_tile(run) for run in runs]), notices(_doubts(runs, scored, shared, other))]
    if scored:
        tables = {f"{run.name}{_mark(run)}": run.evaluation for run in scored if run.evaluation is not None}
        body.append(
            '<section><h2>Scores</h2><p class="aside">Mean ± standard deviation over the test cases of each run.</p>'
            f'<div class="scroll">{scores_of_runs(tables)}</div></section>'
        )
    if len(scored) > 1 and shared:
        body += _case_by_case(scored, shared)
    panels = runs_panels({run.name: run.lines for run in runs})
    if panels:
        aside = (
            "Each term is shown whole, or as the mean of its parts. Terms of different methods are different "
            "quantities. Drag across a curve to zoom; a double click shows all of it."
        )
        body.append(
            f'<section><h2>Curves</h2><p class="aside">{aside}</p><div class="panels">{"".join(panels)}</div></section>'
        )
    return document(title, [*body, _settings(runs)])


def _spoken(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]])


def _case_by_case(scored: Sequence[Compared], shared: Sequence[str]) -> list[str]:
    """Pictures of chosen cases, then differences of all."""
    found = differences(scored, shared)
    evaluation = scored[0].evaluation
    assert evaluation is not None
    drawable = [run for run in scored if run.masks is not None]
    rows, notes = beside_rows(drawable, evaluation.labels, chosen_pairs(found, shared))
    islands = (
        '<p class="aside">Chosen by the difference to the first run. Red: false islands, parts that touch nothing of '
        "the reference's class.</p>"
    )
    pictures = pictures_section("Side by side", evaluation.labels, [islands, notices(notes), *rows.values()], ())
    first = scored[0].name
    aside = (
        f"{len(shared)} cases that all of these runs were tested on. p: Wilcoxon's signed-rank test over cases, exact, "
        "two-sided. It says whether cases differ by more than chance, but nothing about other seeds; cases of one "
        "patient are not independent."
    )
    return [
        pictures,
        f'<section><h2>Case by case</h2><p class="aside">{escape(aside)} <code>crossmatch benchmark</code> '
        "compares methods over patients and seeds.</p>"
        f'<div class="scroll">{differences_table(found, first)}</div>'
        f"{pairs_drawing(scored, shared)}{pairs_table(scored, shared)}</section>",
    ]


def _tile(run: Compared) -> tuple[str, str, str]:
    """Its Dice, and what it took."""
    record, facts = run.run, last_checkpoint(run.run)
    data = record.data
    took = f", {duration(facts['seconds'])}" if facts["seconds"] else ""
    cases = f"{len(data['labelled'])} + {data['unlabelled']} cases"
    about = f"{record.recipe.method.name}, {cases}, {facts['step']:,} steps{took}"
    if run.evaluation is None:
        return run.name, "–", f"not evaluated; {about}"
    dice = run.evaluation.statistics()["dice"]
    spread = f"Dice ± {100 * dice.std:.1f} over {dice.cases} cases" if dice.cases > 1 else "Dice of 1 case"
    return run.name, f"{100 * dice.mean:.1f} %", f"{spread}{_mark(run)}; {about}"


def _mark(run: Compared) -> str:
    """Words behind a score in brackets, where it is not that of the run's weights."""
    found = None if run.evaluation is None else other_weights(run.run, run.evaluation.prediction)
    return "" if found is None else f" ({found.mark})"


def _steps(run: Compared) -> int:
    """How long it had trained when its masks were made; where nobody knows, how long it has now.

    The step of a best checkpoint is not the length of its training.
    """
    made = (run.evaluation.prediction if run.evaluation is not None else None) or {}
    trained = None if made.get("checkpoint") == "best" else made.get("step")
    return last_checkpoint(run.run)["step"] if trained is None else trained


def _doubts(
    runs: Sequence[Compared], scored: Sequence[Compared], shared: Sequence[str], other: Sequence[str]
) -> list[str]:
    """What makes the comparison unequal, a sentence each."""
    told = []
    first, *others = runs
    facts = first.run.data
    for run in others:
        data = run.run.data
        if data["fingerprint"] != facts["fingerprint"]:
            told.append(f"{run.name} and {first.name} learned from different data ({data['name']}, {facts['name']}).")
        elif set(data["labelled"]) != set(facts["labelled"]):
            told.append(f"{run.name} and {first.name} had different labelled cases.")
    steps = {run.name: _steps(run) for run in runs}
    if len(set(steps.values())) > 1:
        counts = listed(f"{name} {count:,} steps" for name, count in steps.items())
        told.append(f"They did not train for equally long: {counts}.")
    if without := [run.name for run in runs if run.evaluation is None]:
        told.append(f"Not evaluated, so without scores and pictures: {listed(without)}. See `crossmatch evaluate`.")
    for run in scored:
        assert run.evaluation is not None
        told += [f"{run.name}: {each}" for each in told_of_scores(run.run, run.evaluation.prediction)]
        known, by_name = seen_before(run.run, run.evaluation, run.references)
        if labels := [case for case, kind in known.items() if kind != UNLABELLED]:
            told.append(f"{run.name} was tested on cases whose labels it had used: {listed(labels)}.")
        if images := [case for case, kind in known.items() if kind == UNLABELLED]:
            told.append(f"{run.name} was tested on cases whose images it had learned from: {listed(images)}.")
        if by_name:
            told.append(f"{run.name} was tested on cases named like some that it had used: {listed(by_name)}.")
        told += [f"{run.name}: {changed}" for changed in told_since(run.evaluation, run.masks, run.references)]
    how = {run.name: _how_scored(run.evaluation) for run in scored if run.evaluation is not None}
    if len(set(how.values())) > 1:
        told.append(f"Scored in different ways: {listed((f'{name} {way}' for name, way in how.items()), '; ')}.")
    classes = {run.name: run.evaluation.labels for run in scored if run.evaluation is not None}
    if any(labels != next(iter(classes.values())) for labels in classes.values()):
        names = listed((f"{name} {_numbered(labels)}" for name, labels in classes.items()), "; ")
        way_out = "Evaluate all runs against references with one dataset.json beside their folder."
        told.append(f"Scored with other class names or numbers: {names}. {way_out}")
    if against := other_references(scored, shared):
        told.append(
            f"Scored against different references ({len(against)}): {listed(against)}. Evaluate all runs again."
        )
    if other:
        told.append(f"Of the same name but made from different scans, so not compared: {listed(other)}.")
    if len(scored) > 1 and not shared:
        told.append("The runs were tested on different cases: no case can be compared.")
    tested = {len(run.evaluation.case_means()) for run in scored if run.evaluation is not None}
    if shared and tested != {len(shared)}:
        told.append(f"Not all runs were tested on the same cases: {len(shared)} cases are compared.")
    return told


def _how_scored(evaluation: Evaluation) -> str:
    """Which of a run's masks were scored, and how much of them."""
    made = evaluation.prediction or {}
    checkpoint, members = made.get("checkpoint", "last"), made.get("members", [])
    whose = f"the {checkpoint} checkpoints of {len(members)} runs" if members else f"its {checkpoint} checkpoint"
    return f"by {whose}{evaluation.otherwise}"


def _numbered(labels: Mapping[str, int]) -> str:
    """``1 RV, 2 MYO``"""
    return listed(f"{value} {name}" for name, value in labels.items())


def _settings(runs: Sequence[Compared]) -> str:
    """A table of the settings that differ, a column a run."""
    trees = []
    for run in runs:
        record, data = run.run.record, run.run.data
        learned = {"name": data["name"], "root": data["root"], "cases": data["labelled"]}
        made = {"code": dict(record["code"]), "versions": record["versions"], "device": dict(record["device"])}
        trees.append(flat({**run.run.recipe.settings(), "learned_from": learned, **made}))
    keys = list(dict.fromkeys(key for tree in trees for key in tree))
    differing = {
        key: [tree.get(key) for tree in trees]
        for key in keys
        if any(tree.get(key) != trees[0].get(key) for tree in trees)
    }
    same = "<p>All settings, the data and the code are the same.</p>"
    table = f'<div class="scroll">{runs_table([run.name for run in runs], differing)}</div>' if differing else same
    return f"<section><h2>Settings that differ</h2>{table}</section>"
