"""Scores of an exported network for its model card: from evaluations of masks that the same weights made.

Intervals: mean ± t(0.975, n - 1) · s / sqrt(n) over n cases (Student), within the range of the metric. They say
how much the mean depends on which cases were looked at, not how much on the training.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from scipy.stats import t

from crossmatch.errors import listed
from crossmatch.reports.evaluated import UNLABELLED, known_cases, references_of
from crossmatch.runs.run import Run
from crossmatch.scoring.scored_files import changed_since
from crossmatch.scoring.scores import Evaluation, load_evaluation
from crossmatch.scoring.statistic import Statistic

LEVEL = 0.95


class Scored(NamedTuple):
    """The scores of some cases."""

    what: str  # "validation" or "test", or what else the cases were for the run
    cases: int
    evaluation: Evaluation

    @property
    def of_what(self) -> str:
        """Which cases, and which part of their masks, in words."""
        return f"{self.what}, {self.cases} cases{self.evaluation.otherwise}"


def evaluations_of(
    run: Run, weights_sha256: str, others: Sequence[Path] = (), warn: Callable[[str], None] = lambda text: None
) -> list[Scored]:
    """What is known of these weights: RUN/*/summary.json and further summaries.

    Those of other weights, of masks that were changed by hand, and against references that were changed since, are left
    out.

    Args:
        run: the folder is looked through, and its record says which cases it learned from.
        weights_sha256: of the exported network.
        others: summary.json files or their folders.
        warn: is told of scores that are left out.

    Raises:
        UserError: one of `others` is no evaluation.
    """
    places = sorted(run.folder.glob("*/summary.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    found: dict[str, Scored] = {}
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
            what = _what(run, evaluation)
            scored = Scored(what, len({row.case for row in evaluation.rows}), evaluation)
            found.setdefault(what + evaluation.otherwise, scored)  # the newest of each kind
    return list(found.values())


def _what(run: Run, evaluation: Evaluation) -> str:
    """What the cases of an evaluation were for the run, by their names."""
    known = known_cases(run, evaluation)
    kinds = set(known.values())
    if kinds == {"validation"} and len(known) == len(evaluation.case_means()):
        return "validation"
    return "test" if not kinds else UNLABELLED if kinds == {UNLABELLED} else "training"


def interval(found: Statistic, highest: float = math.inf) -> tuple[float, float] | None:
    """The interval of a mean over cases, within [0, highest]; None for fewer than two cases."""
    if found.cases < 2 or math.isnan(found.mean):
        return None
    half = float(t.ppf(0.5 + LEVEL / 2, found.cases - 1)) * found.std / math.sqrt(found.cases)
    return max(0.0, found.mean - half), min(highest, found.mean + half)
