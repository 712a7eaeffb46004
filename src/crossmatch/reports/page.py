"""The page of a run, section by section. Styles and pictures are inside of the page."""

import shlex
from collections.abc import Sequence
from html import escape
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from crossmatch.errors import UserError, listed
from crossmatch.reports.cases import case_figures
from crossmatch.reports.curves import COLOURS, POINTS, Series, series, training_panels, validation_panel
from crossmatch.reports.tables import case_table, settings_table, summary_table
from crossmatch.runs.checkpoint import load_facts
from crossmatch.runs.logbook import LoggedLine, read_metrics
from crossmatch.runs.record import CheckpointFacts
from crossmatch.runs.run import Run
from crossmatch.scoring.scores import Evaluation

GENERATOR = '<meta name="generator" content="crossmatch report">'  # marks the files that a new report may replace
OPEN_CASES = 60  # longer tables of cases start folded


def render(run: Run, evaluation: Evaluation | None, predictions: Path | None) -> str:
    """The whole page.

    Args:
        run: finished or not; evaluation: of its predictions, if there is one; predictions: the evaluated masks.
    """
    lines = read_metrics(run.metrics)
    name = escape(run.folder.resolve().name)
    style = resources.files("crossmatch.reports").joinpath("style.css").read_text(encoding="utf-8")
    facts = _last_checkpoint(run)
    body = [
        _header(run, name),
        _key_numbers(run, lines, facts, evaluation),
        _state(run, lines),
        _curves(run, lines),
        _no_evaluation(run) if evaluation is None else _evaluation(evaluation),
        "" if evaluation is None or predictions is None else _cases(run, evaluation, predictions),
        _settings(run),
        _origin(run),
        f"<footer>Written by crossmatch {version('crossmatch')}. This file is complete in itself.</footer>",
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{GENERATOR}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name} · crossmatch</title>\n<style>\n{style}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _header(run: Run, name: str) -> str:
    recipe = run.recipe
    what = f"{recipe.method.name} · {run.data['name']} · {recipe.dims}D {recipe.network.name}"
    about = f"<p>{escape(recipe.about)}</p>" if recipe.about else ""
    return f'<header><p class="what">{escape(what)}</p><h1>{name}</h1>{about}</header>'


def _key_numbers(run: Run, lines: list[LoggedLine], facts: CheckpointFacts, evaluation: Evaluation | None) -> str:
    data, device = run.data, run.record["device"]
    tiles = [_validation_tile(series(lines, "validation").get("mean"), len(data["validation"]))]
    if evaluation is not None:
        dice = evaluation.statistics()["dice"]
        spread = f"± {100 * dice.std:.1f} over {dice.cases} cases" if dice.cases > 1 else "1 case"
        tiles.append((f"Dice, {evaluation.predictions}", f"{100 * dice.mean:.1f} %", spread))
    seconds, step = facts["seconds"], facts["step"]
    took = _duration(seconds) if seconds else "–"
    pace = f"{seconds / step:.2g} s a step, validation included" if seconds and step else "no checkpoint to tell"
    tiles += [
        ("Cases", f"{len(data['labelled'])} + {data['unlabelled']}", "labelled + unlabelled"),
        ("Steps", f"{_last_step(lines):,}", f"of {run.recipe.train.steps:,}"),
        ("Training time", took, pace),
        ("Device", device["type"], f"{device['name']}, {device['precision']}"),
    ]
    told = [tuple(map(escape, tile)) for tile in tiles]
    items = "".join(f"<div><dt>{title}</dt><dd>{value}<small>{note}</small></dd></div>" for title, value, note in told)
    return f'<dl class="tiles">{items}</dl>'


def _validation_tile(mean: Series | None, cases: int) -> tuple[str, str, str]:
    if mean is None or mean.best is None:
        return "Validation Dice", "–", "none yet" if cases else "no validation cases"
    step, best = mean.best
    count = f"{cases} case{'s' * (cases > 1)}"
    return "Validation Dice", f"{100 * mean.last:.1f} %", f"{count}; highest {100 * best:.1f} at step {step:,}"


def _state(run: Run, lines: list[LoggedLine]) -> str:
    """A notice where the run is not finished."""
    step, steps = _last_step(lines), run.recipe.train.steps
    if step >= steps:
        return ""
    done = f"Stopped (or still running) at step {step:,} of {steps:,}." if lines else "Nothing has been logged yet."
    return (
        f'<p class="notice"><b>{done}</b> To go on, repeat the <code>crossmatch train</code> command that started it '
        f"and add <code>--resume</code> (its folder: <code>--out {escape(shlex.quote(str(run.folder)))}</code>).</p>"
    )


def _curves(run: Run, lines: list[LoggedLine]) -> str:
    training, validation = series(lines, "train"), series(lines, "validation")
    panels = [validation_panel(validation)] if "mean" in validation else []
    panels += training_panels(training)
    if not panels:
        return "<section><h2>Curves</h2><p>There are none yet.</p></section>"
    every = f"Training values are means over {run.recipe.train.log_every} steps; legends give the last ones."
    if max((len(curve.points) for curve in training.values()), default=0) > POINTS:
        every += f" Neighbours are averaged to draw at most {POINTS} points a curve."
    return f'<section><h2>Curves</h2><p class="aside">{every}</p><div class="panels">{"".join(panels)}</div></section>'


def _no_evaluation(run: Run) -> str:
    root, folder = Path(run.data["root"]), run.folder
    known = (root / "imagesTs").is_dir() and (root / "labelsTs").is_dir()
    images, labels = (root / "imagesTs", root / "labelsTs") if known else ("IMAGES", "LABELS")
    where = "" if known else " (IMAGES is a folder of scans, LABELS one of their masks, named alike)"
    commands = [
        ["predict", folder, images, folder / "test"],
        ["evaluate", folder / "test", labels],
        ["report", folder],
    ]
    text = "\n".join("crossmatch " + shlex.join(map(str, words)) for words in commands)
    return (
        "<section><h2>Evaluation</h2><p>This run has not been evaluated on held-out cases. These commands add their "
        f"scores and pictures to this page{where}:</p><pre>{escape(text)}</pre></section>"
    )


def _evaluation(evaluation: Evaluation) -> str:
    cases = len(evaluation.case_means())
    made, origin = evaluation.prediction, ""
    if made and {"run", "checkpoint", "step", "flips"} <= made.keys():
        origin = (
            f" The predictions were made by the run {made['run']}, checkpoint {Path(made['checkpoint']).name} at step "
            f"{made['step']:,}{', averaged over flips' if made['flips'] else ''}."
        )
    dataset = f" of {evaluation.dataset}" if evaluation.dataset else ""
    text = (
        f"{evaluation.predictions} against {evaluation.references}{dataset}, {cases} cases: mean ± standard deviation."
    )
    notes = "".join(f'<p class="notice">{escape(note)}.</p>' for note in evaluation.notes())
    folded = "" if cases > OPEN_CASES else " open"
    return (
        f'<section><h2>Evaluation</h2><p class="aside">{escape(text + origin)}</p>{notes}'
        f'<div class="scroll">{summary_table(evaluation)}</div>'
        f"<details{folded}><summary>Each case, best Dice first</summary>"
        f'<div class="scroll">{case_table(evaluation)}</div></details>'
        '<p class="aside">undef.: a distance between masks of which one is empty; it is left out of means and counted. '
        "Dice is 0 there.</p></section>"
    )


def _cases(run: Run, evaluation: Evaluation, predictions: Path) -> str:
    figures, notes = case_figures(run, evaluation, predictions)
    classes = "".join(
        f'<span class="key k{place % COLOURS}"><i></i>{escape(name)}</span>'
        for place, name in enumerate(evaluation.labels)
    )
    legend = (
        f'<div class="legend cases-legend">{classes}'
        '<label><input type="checkbox" id="show-reference" checked><i class="wide"></i>reference</label>'
        '<label><input type="checkbox" id="show-prediction" checked><i class="thin"></i>prediction</label></div>'
    )
    missing = "".join(f'<p class="notice">{escape(note)}</p>' for note in notes)
    shown = legend + "".join(figures) if figures else ""
    return f'<section class="pictures"><h2>Best, median and worst case</h2>{missing}{shown}</section>'


def _settings(run: Run) -> str:
    tree = run.recipe.model_dump(mode="json", exclude={"about", "departures"})
    groups = {name: value for name, value in tree.items() if isinstance(value, dict)}
    general = {name: value for name, value in tree.items() if name not in groups}
    tables = [settings_table("recipe", general), *(settings_table(name, value) for name, value in groups.items())]
    items = "".join(f"<li>{escape(text)}</li>" for text in run.recipe.departures)
    departures = f"<h3>Where the recipe departs from the released code</h3><ul>{items}</ul>" if items else ""
    return f'<section><h2>Settings</h2><div class="columns">{"".join(tables)}</div>{departures}</section>'


def _origin(run: Run) -> str:
    data, record = run.data, run.record
    tables = [
        settings_table("code", {"seed": run.recipe.seed, **record["code"], **record["versions"]}),
        settings_table("device", record["device"]),
        settings_table(
            "data",
            {
                "name": data["name"],
                "folder": data["root"],
                "labels": [f"{value} {name}" for name, value in data["labels"].items()],
                "channels": data["channels"],
                "labelled": f"{len(data['labelled'])} cases: {listed(data['labelled'])}",
                "unlabelled": f"{data['unlabelled']} cases",
                "validation": f"{len(data['validation'])} cases: {listed(data['validation'])}",
                "fingerprint": data["fingerprint"],
            },
        ),
    ]
    return f'<section><h2>Origin</h2><div class="columns">{"".join(tables)}</div></section>'


def _last_checkpoint(run: Run) -> CheckpointFacts:
    """The facts of the last checkpoint; zeros if there is none that can be read."""
    try:
        return load_facts(run.checkpoint("last"))
    except UserError:
        return {"step": 0, "seconds": 0.0}


def _last_step(lines: Sequence[LoggedLine]) -> int:
    return max((line["step"] for line in lines), default=0)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
