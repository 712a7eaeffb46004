"""The estimates of a folder of masks while it is filled: valid ones are kept, the others are made."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from crossmatch.formats import Volume
from crossmatch.inference.agreement import Views
from crossmatch.inference.estimates import CaseQuality, MadeBy
from crossmatch.inference.known_cases import known_cases
from crossmatch.inference.predictor import Predictor
from crossmatch.inference.quality import Calibration, Verdict, calibrate, judge
from crossmatch.inference.quality_record import read_quality, write_quality
from crossmatch.inference.sources import Sources
from crossmatch.runs.run import Run

_SECONDS = 30.0  # between two writings; what a killed process has not written is estimated again


@dataclass
class Judged:
    """Estimates of the masks in one folder. Masks are judged in one thread and added in another.

    Args:
        folder: of the masks.
        run: whose network makes them, or the first of several; views: which compare.
        calibration: from agreement to Dice.
        made_by: what makes the masks.
        sources: what they are made from.
    """

    folder: Path
    run: Run
    views: Views
    calibration: Calibration
    made_by: MadeBy
    sources: Sources
    cases: dict[str, CaseQuality] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._saved = time.monotonic()
        found = read_quality(self.folder)
        if found is None or (found.made_by, found.calibration) != (self.made_by, self.calibration.facts):
            found = None
        self.cases = {} if found is None else dict(found.cases)
        self.sources.kept = {name: files for name, files in self.sources.kept.items() if name in self.cases}

    def judge(self, volumes: Sequence[Volume], labels: Any) -> Verdict:
        """What is expected of a mask (*S) that was just made of a scan."""
        return judge(self.run, self.calibration, volumes, labels, self.views.sums())

    def add(self, name: str, verdict: Verdict, written: Future[None]) -> None:
        """Keep what is expected of a mask, which was written if `written` ended without an error."""
        written.result()
        facts = {**verdict, "mask": self.sources.mask(name), "scan": self.sources.files(name)}
        self.cases[name] = cast(CaseQuality, facts)
        if time.monotonic() - self._saved > _SECONDS:
            self.save()

    def save(self) -> None:
        """Write what there is."""
        labels = {name: value for name, value in self.run.data["labels"].items() if value > 0}
        cases = dict(sorted(self.cases.items()))
        write_quality(self.folder, self.made_by, self.calibration.facts, labels, cases)
        self._saved = time.monotonic()


def calibration_of(
    runs: Sequence[Run], predictor: Predictor, weights_sha256: str, progress: Callable[[int, int], None]
) -> Calibration:
    """The calibration of a run, or of several that predict together; fitted and kept in the first where there is none.

    Args:
        predictor: of the runs, with `views`.
        weights_sha256: of their networks.
        progress: called with cases done and in all, where some are predicted.
    """
    return calibrate(known_cases(runs, predictor, weights_sha256, progress), weights_sha256)


def made_by(facts: dict[str, Any], views: Views) -> MadeBy:
    """What makes masks: the facts of prediction.json, and what is compared."""
    names = views.names + (["mirror images"] if facts["flips"] and "members" not in facts else [])
    return MadeBy(
        run=facts["run"],
        checkpoint=facts["checkpoint"],
        step=facts["step"],
        weights_sha256=facts["weights_sha256"],
        flips=facts["flips"],
        views=names,
    )
