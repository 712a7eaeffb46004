"""The top of a run's page: what it is, its key numbers, and whether it is finished."""

import shlex
from collections.abc import Sequence
from html import escape

from crossmatch.errors import UserError
from crossmatch.reports.curves import Series, series
from crossmatch.reports.other_weights import other_weights
from crossmatch.runs.checkpoint import load_facts
from crossmatch.runs.logbook import LoggedLine
from crossmatch.runs.record import CheckpointFacts
from crossmatch.runs.run import Run
from crossmatch.scoring.scores import Evaluation

NO_BREAK = "\u00a0"  # a space at which no line ends


def header(run: Run, name: str) -> str:
    """What was trained, on what. `name`: of the run, HTML."""
    recipe = run.recipe
    what = f"{recipe.method.name} · {run.data['name']} · {recipe.dims}D {recipe.network.name}"
    about = f"<p>{escape(recipe.about)}</p>" if recipe.about else ""
    return f'<header><p class="what">{escape(what)}</p><h1>{name}</h1>{about}</header>'


def key_numbers(run: Run, lines: list[LoggedLine], evaluation: Evaluation | None) -> str:
    """Dice of validation and evaluation, cases, steps, time, device."""
    facts = last_checkpoint(run)
    data, device = run.data, run.record["device"]
    tiles = [_validation_tile(series(lines, "validation").get("mean"), len(data["validation"]))]
    if evaluation is not None:
        dice = evaluation.statistics()["dice"]
        spread = f"± {100 * dice.std:.1f} over {dice.cases} cases" if dice.cases > 1 else "1 case"
        other = other_weights(run, evaluation.prediction)
        mark = "" if other is None else f" ({other.mark})"
        tiles.append((f"Dice, {evaluation.predictions}{mark}", f"{100 * dice.mean:.1f} %", spread))
    seconds, step = facts["seconds"], facts["step"]
    took = duration(seconds) if seconds else "–"
    pace = f"{seconds / step:.2g} s a step, validation included" if seconds and step else "no checkpoint to tell"
    tiles += [
        ("Cases", f"{len(data['labelled'])} + {data['unlabelled']}", "labelled + unlabelled"),
        ("Steps", f"{_last_step(lines):,}", f"of {run.recipe.train.steps:,}"),
        ("Training time", took, pace),
        ("Device", device["type"], f"{device['name']}, {device['precision']}"),
    ]
    return tiled(tiles)


def tiled(tiles: Sequence[tuple[str, str, str]]) -> str:
    """Tiles of (title, value, note), plain text."""
    told = [tuple(map(escape, tile)) for tile in tiles]
    items = "".join(
        f"<div><dt>{title}</dt><dd><span>{value}</span><small>{note}</small></dd></div>" for title, value, note in told
    )
    return f'<dl class="tiles">{items}</dl>'


def _validation_tile(mean: Series | None, cases: int) -> tuple[str, str, str]:
    if mean is None or mean.best is None:
        return "Validation Dice", "–", "none yet" if cases else "no validation cases"
    step, best = mean.best
    count = f"{cases} case{'s' * (cases > 1)}"
    return "Validation Dice", f"{100 * mean.last:.1f} %", f"{count}; highest {100 * best:.1f} at step {step:,}"


def state(run: Run, lines: list[LoggedLine]) -> str:
    """A notice where the run is not finished."""
    step, steps = _last_step(lines), run.recipe.train.steps
    if step >= steps:
        return ""
    done = f"Stopped (or still running) at step {step:,} of {steps:,}." if lines else "Nothing has been logged yet."
    return (
        f'<p class="notice"><b>{done}</b> To go on, repeat the <code>crossmatch train</code> command that started it '
        f"and add <code>--resume</code> (its folder: <code>--out {escape(shlex.quote(str(run.folder)))}</code>).</p>"
    )


def last_checkpoint(run: Run) -> CheckpointFacts:
    """The facts of the last checkpoint; zeros if there is none that can be read."""
    try:
        return load_facts(run.checkpoint("last"))
    except UserError:
        return {"step": 0, "seconds": 0.0}


def _last_step(lines: Sequence[LoggedLine]) -> int:
    return max((line["step"] for line in lines), default=0)


def duration(seconds: float) -> str:
    """A time in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}{NO_BREAK}h {minutes:02d}{NO_BREAK}min"
    return f"{minutes}{NO_BREAK}min {rest:02d}{NO_BREAK}s" if minutes else f"{rest}{NO_BREAK}s"
