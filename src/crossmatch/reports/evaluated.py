"""The part of a run's page about its scored predictions: tables, and pictures."""

import shlex
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from crossmatch.reports.curves import COLOURS
from crossmatch.reports.seen_before import about_seen, seen_before, tags_of
from crossmatch.reports.tables import case_table, summary_table
from crossmatch.runs.run import Run
from crossmatch.scoring.scores import Evaluation

OPEN_CASES = 60  # longer tables of cases start folded


def references_of(run: Run, evaluation: Evaluation, results: Path) -> Path | None:
    """Where the references of an evaluation lie: as it was recorded, else in the run's dataset; None: nowhere.

    Args:
        results: the folder of the summary.json.
    """
    known = [] if evaluation.places is None else [results.resolve() / evaluation.places["references"]]
    if evaluation.dataset == run.data["name"]:
        known.append(Path(run.data["root"]) / evaluation.references)
    return next((place for place in known if place.exists()), None)


def no_evaluation(run: Run) -> str:
    """How to get scores."""
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


def evaluation_section(run: Run, evaluation: Evaluation, since: Sequence[str], references: Path | None) -> str:
    """Scores over cases and of each case; cases that the run learned from or was chosen by are marked.

    Args:
        references: where they lie, see `seen_before`.
        since: sentences about files that were written since they were scored.
    """
    cases = len(evaluation.case_means())
    made, origin = evaluation.prediction, ""
    if made and {"run", "checkpoint", "step", "flips"} <= made.keys():
        origin = (
            f" The predictions were made by the run {made['run']}, checkpoint {Path(made['checkpoint']).name} at step "
            f"{made['step']:,}{', averaged over flips' if made['flips'] else ''}"
            f"{', in ' + made['precision'] if 'precision' in made else ''}."
        )
    dataset = f" of {evaluation.dataset}" if evaluation.dataset else ""
    text = (
        f"{evaluation.predictions} against {evaluation.references}{dataset}, {cases} cases{evaluation.of_what}: "
        "mean ± standard deviation."
    )
    seen = seen_before(run, evaluation, references)
    notes = notices([f"{note}." for note in evaluation.notes()] + about_seen(seen, evaluation) + [*since])
    folded = "" if cases > OPEN_CASES else " open"
    return (
        f'<section><h2>Evaluation</h2><p class="aside">{escape(text + origin)}</p>{notes}'
        f'<div class="scroll">{summary_table(evaluation)}</div>'
        f"<details{folded}><summary>Each case, best Dice first</summary>"
        f'<div class="scroll">{case_table(evaluation, tags_of(seen))}</div></details>'
        '<p class="aside">undef.: a distance between masks of which one is empty or has no surface; it is left out of '
        "means and counted. Dice is 0 where one is empty.</p></section>"
    )


def pictures_section(title: str, labels: Iterable[str], content: Iterable[str], layers: Sequence[str]) -> str:
    """Rows of pictures under a legend of the classes, with a switch for each kind of outline.

    Args:
        title: plain text; labels: classes in the order of their colours; content: HTML below the legend.
        layers: kinds of outlines that can be switched off.
    """
    classes = "".join(
        f'<span class="key k{place % COLOURS}"><i></i>{escape(name)}</span>' for place, name in enumerate(labels)
    )
    switches = "".join(
        f'<label><input type="checkbox" class="show-{kind}" checked><i class="{kind}-line"></i>{kind}</label>'
        for kind in layers
    )
    legend = f'<div class="legend cases-legend">{classes}{switches}</div>'
    return f'<section class="pictures"><h2>{escape(title)}</h2>{legend}{"".join(content)}</section>'


def notices(notes: Iterable[str]) -> str:
    """A paragraph for each sentence, plain text."""
    return "".join(f'<p class="notice">{escape(note)}</p>' for note in notes)
