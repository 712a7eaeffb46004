"""Scores of an exported network for its model card: from evaluations of masks that the same weights made.

Intervals: mean ± t(0.975, n - 1) · s / sqrt(n) over n cases (Student), within the range of the metric. They say
how much the mean depends on which cases were looked at, not how much on the training.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from scipy.stats import t

from crossmatch.errors import listed
from crossmatch.reports.evaluated import references_of
from crossmatch.reports.seen_before import UNLABELLED, seen_before
from crossmatch.runs.run import Run
from crossmatch.scoring.scored_files import changed_since
from crossmatch.scoring.scores import Evaluation, load_evaluation
from crossmatch.scoring.statistic import Statistic

LEVEL = 0.95
DOUBTFUL = "perhaps test"  # of cases that the run may have used


class Scored(NamedTuple):
    """The scores of some cases."""

    what: str  # "validation" or "test", or what else the cases were for the run
    cases: int
    evaluation: Evaluation
    apart: str = ""  # words for what sets these scores apart from those of the exported model on all cases

    @property
    def otherwise(self) -> str:
        """Words that a heading adds to what the cases were."""
        return self.evaluation.otherwise + self.apart

    @property
    def of_what(self) -> str:
        """Which cases, and which part of their masks, in words."""
        return f"{self.what}, {self.cases} cases{self.otherwise}"


def evaluations_of(
    run: Run, weights_sha256: str, others: Sequence[Path] = (), warn: Callable[[str], None] = lambda text: None
) -> list[Scored]:
    """What is known of these weights: RUN/*/summary.json and further summaries, of the same cases the newest.

    Those of other weights, of masks that were changed by hand, and against references that were changed since, are left
    out.

    Args:
        run: the folder is looked through, and its record says which cases it learned from.
        weights_sha256: of the exported network.
        others: summary.json files or their folders.
        warn: is told of scores that are left out, and of cases that may be no test cases.

    Raises:
        UserError: one of `others` is no evaluation.
    """
    places = sorted(run.folder.glob("*/summary.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    found: list[Scored] = []
    for place in [*others, *places]:
        evaluation = load_evaluation(place)
        if (evaluation.prediction or {}).get("weights_sha256") != weights_sha256:
            continue
        references = references_of(run, evaluation, place if place.is_dir() else place.parent)
        if evaluation.edited:
            warn(
                f"scores in {place} are left out: masks of {listed(evaluation.edited)} are not as predict wrote them. "
                "Remove these masks, predict and evaluate again"
            )
        elif changed := changed_since(evaluation.references_sha256, references):
            warn(
                f"scores in {place} are left out: references of {listed(changed)} were written since masks were scored "
                "against them. Evaluate again"
            )
        else:
            scored = _scored(run, evaluation, references)
            if not any(_replaces(newer, scored) for newer in found):
                found.append(scored)
                if scored.what == DOUBTFUL:
                    warn(f"scores in {place} are no sure test scores, and the model card says so: {scored.of_what}")
    counts = Counter(each.of_what for each in found)
    numbers = {words: count(1) for words, times in counts.items() if times > 1}
    return [
        each._replace(apart=f"{each.apart}, set {next(numbers[each.of_what])}") if each.of_what in numbers else each
        for each in found
    ]


def _scored(run: Run, evaluation: Evaluation, references: Path | None) -> Scored:
    """An evaluation with what its cases were for the run, and how its masks were made."""
    seen, cases, apart = seen_before(run, evaluation, references), len(evaluation.case_means()), ""
    made = evaluation.prediction or {}
    kinds = set(seen.certain.values())
    nameless = run.is_packed and not made.get("data", {}).get("root")  # of a packed model's masks
    if kinds == {"validation"} and len(seen.certain) == cases:
        what = "validation"
    elif kinds:
        what = UNLABELLED if kinds == {UNLABELLED} else "training"
    else:
        what = DOUBTFUL if seen.by_name or nameless else "test"
    if seen.by_name:
        apart += f", {len(seen.by_name)} of them named like cases that were learned from or validated with"
    elif nameless:
        apart += ", of which a packed model does not know whether it learned from them"
    if made.get("precision") == "bf16":
        apart += ", of masks made in bf16"
    ours = run.recipe.predict.model_dump(mode="json")["stride"]
    stride = made.get("recipe", {}).get("predict", {}).get("stride", ours)
    if stride != ours:
        apart += f", of masks made with the stride {stride if isinstance(stride, str) else listed(map(str, stride))}"
    if evaluation.missing:
        apart += f", {len(evaluation.missing)} others have no mask"
    return Scored(what, cases, evaluation, apart)


def _replaces(newer: Scored, older: Scored) -> bool:
    """Whether two evaluations are of masks that were made alike, of the same cases."""
    one, other = newer.evaluation, older.evaluation
    alike = (newer.what, newer.otherwise) == (older.what, older.otherwise)
    if not alike or one.case_means().keys() != other.case_means().keys():
        return False
    known = one.references_sha256 and other.references_sha256  # older files have none
    return not known or one.references_sha256 == other.references_sha256


def interval(found: Statistic, highest: float = math.inf) -> tuple[float, float] | None:
    """The interval of a mean over cases, within [0, highest]; None for fewer than two cases."""
    if found.cases < 2 or math.isnan(found.mean):
        return None
    half = float(t.ppf(0.5 + LEVEL / 2, found.cases - 1)) * found.std / math.sqrt(found.cases)
    return max(0.0, found.mean - half), min(highest, found.mean + half)
