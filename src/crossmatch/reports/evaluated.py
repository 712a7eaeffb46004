"""The part of a run's page about its scored predictions: tables, pictures, and which cases the run has seen before."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.reports.curves import COLOURS
from crossmatch.reports.tables import case_table, summary_table
from crossmatch.runs.run import Run
from crossmatch.scoring.scores import Evaluation

UNLABELLED = "unlabelled training"  # of a case whose image alone was learned from
OPEN_CASES = 60  # longer tables of cases start folded


def known_cases(run: Run, evaluation: Evaluation) -> dict[str, str]:
    """Case -> training, validation or `UNLABELLED`, for the evaluated cases that the run has used.

    So it is for cases that another run has used whose masks these are, alone or averaged with those of this run. Cases
    are told by their names in the run's dataset, and by their images in any dataset whose images are known.
    """
    made, ours = evaluation.prediction or {}, evaluation.dataset in (None, run.data["name"])
    facts: list[Any] = [run.data, *(each.get("data", {}) for each in (made, *made.get("members", [])))]
    used = [(UNLABELLED, run.data, _unlabelled_cases(run))]
    for kind, keys in (("validation", ["validation"]), ("training", ["labelled", "labelled_before"])):
        used += [(kind, each, {case for key in keys for case in each.get(key, [])}) for each in facts]
    names, images = dict[str, str](), dict[str, str]()  # what is said last counts most
    for kind, each, cases in used:
        contents = each.get("contents", {})
        images |= {contents[case]: kind for case in cases if case in contents}
        names |= dict.fromkeys(cases, kind) if ours and each.get("name") == run.data["name"] else {}
    images |= dict.fromkeys((content for each in facts for content in each.get("contents_before", [])), "training")
    strength = [None, UNLABELLED, "validation", "training"]
    known = dict(run.data.get("contents", {}) if ours else {}) | dict(evaluation.contents)
    found = {
        case: max(names.get(case), images.get(known.get(case, "")), key=strength.index)
        for case in evaluation.case_means()
    }
    return {case: kind for case, kind in found.items() if kind is not None}


def references_of(run: Run, evaluation: Evaluation, results: Path) -> Path | None:
    """Where the references of an evaluation lie: as it was recorded, else in the run's dataset; None: nowhere.

    Args:
        results: the folder of the summary.json.
    """
    known = [] if evaluation.places is None else [results.resolve() / evaluation.places["references"]]
    if evaluation.dataset == run.data["name"]:
        known.append(Path(run.data["root"]) / evaluation.references)
    return next((place for place in known if place.exists()), None)


def _unlabelled_cases(run: Run) -> set[str]:
    """The cases whose images the run learned from without labels.

    Runs of earlier versions do not name them: then they are all training cases that the dataset has now, and none where
    it is gone.
    """
    if not run.recipe.method_class.needs_unlabelled or run.is_packed:
        return set()
    if "unlabelled_cases" in run.data:
        return set(run.data["unlabelled_cases"])
    with suppress(UserError):
        return {case.id for case in open_dataset(run.data["root"], splits=["train"]).cases} - set(run.data["labelled"])
    return set()


def _about_known(known: Mapping[str, str], cases: int) -> list[str]:
    kinds = {
        "training": "the run learned from their labels",
        "validation": "the run was validated with them",
        UNLABELLED: "the run learned from their images",
    }
    found = {kind: sum(1 for each in known.values() if each == kind) for kind in kinds}
    told = [f"{count} of {cases} are {kind} cases: {kinds[kind]}" for kind, count in found.items() if count]
    return [f"{'; '.join(told)}. Their scores say little about new scans."] if told else []


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


def evaluation_section(run: Run, evaluation: Evaluation, since: Sequence[str]) -> str:
    """Scores over cases and of each case; cases that the run learned from or was chosen by are marked.

    Args:
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
    known = known_cases(run, evaluation)
    notes = notices([f"{note}." for note in evaluation.notes()] + _about_known(known, cases) + [*since])
    folded = "" if cases > OPEN_CASES else " open"
    return (
        f'<section><h2>Evaluation</h2><p class="aside">{escape(text + origin)}</p>{notes}'
        f'<div class="scroll">{summary_table(evaluation)}</div>'
        f"<details{folded}><summary>Each case, best Dice first</summary>"
        f'<div class="scroll">{case_table(evaluation, known)}</div></details>'
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
