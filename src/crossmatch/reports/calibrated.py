"""How far estimates can be trusted: probabilities beside how often they are right, estimated Dice beside true Dice."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from crossmatch.inference.estimates import Reliability
from crossmatch.inference.present_weights import KEPT, present_weights
from crossmatch.inference.quality_record import QualityRecord
from crossmatch.reports.seen_before import seen_before
from crossmatch.runs.run import Run
from crossmatch.scoring.scores import Evaluation

SIDE, LEFT, BOTTOM, TOP, RIGHT = 230, 34, 34, 8, 10  # of a square drawing, SVG units
LEAST_CASES = 3  # for a correlation


def quality_section(
    quality: QualityRecord | None, evaluation: Evaluation | None, run: Run, references: Path | None
) -> str:
    """Calibration of probabilities, and estimated against true Dice where an evaluation tells it; "" without both.

    Cases that the estimates were fitted on are counted, but not compared: there the estimates are too good.

    Args:
        quality: the estimates of a folder of masks; evaluation: of the same masks.
        run: whose page it is; references: where those of the evaluation lie, see `seen_before`.
    """
    if quality is None:
        return ""
    figures, told = [], []
    reliability = quality.calibration["reliability"]
    if reliability is not None:
        figures += _reliability(reliability)
        told.append(
            f"Expected calibration error of the probabilities: {_percent(reliability['ece_before'])} before and "
            f"{_percent(reliability['ece_after'])} after dividing logits by the temperature "
            f"{reliability['temperature']:.3g}."
        )
    scored = [] if evaluation is None else _pairs(quality, evaluation)
    fitted = {} if evaluation is None else _fitted(quality, evaluation, run, references)
    if scored and evaluation is not None and evaluation.largest_component:
        scored = []
        told.append(
            "Estimated and true Dice are not compared, because the estimates are of whole masks, and of each predicted "
            "class the largest component alone was scored. Evaluate without --largest-component to compare them."
        )
    pairs = [pair for pair in scored if pair[-1] not in fitted]
    if pairs:
        figures.append(_estimates(pairs))
        told.append(_agreement(pairs, quality.calibration["level"]))
    if len(pairs) < len(scored):
        told.append(
            _left_out(len(scored) - len(pairs), len(scored), quality.calibration["error"], all(fitted.values()))
        )
    if not told:
        return ""
    text = " ".join([*told, quality.calibration["told"]])
    drawn = f'<div class="squares">{"".join(figures)}</div>' if figures else ""
    return f'<section><h2>How far to trust the estimates</h2><p class="aside">{escape(text)}</p>{drawn}</section>'


def _fitted(quality: QualityRecord, evaluation: Evaluation, run: Run, references: Path | None) -> dict[str, bool]:
    """Each evaluated case that the estimates were fitted on -> whether that is certain: else only its name says so.

    A packed model's fit does not name its cases. If it is of weights of the run, they are taken to be all of the run's
    validation or labelled cases.
    """
    calibration, seen = quality.calibration, seen_before(run, evaluation, references)
    names, data = set(calibration["cases"]), run.data
    own = {*data["validation"], *data["labelled"]}
    if calibration["method"] != "none" and names.isdisjoint(own) and _has_weights(run, calibration["weights_sha256"]):
        names = set(data["validation"] if calibration["method"] == "validation" else data["labelled"])
    same = evaluation.dataset == data["name"]
    return {
        case: same or case in seen.certain
        for case in evaluation.case_means()
        if case in names and (same or evaluation.dataset is None or case in seen.certain or case in seen.by_name)
    }


def _has_weights(run: Run, digest: str) -> bool:
    """Whether the last or the best checkpoint of a run holds these weights."""
    return any(now is not None and now.sha256 == digest for now in (present_weights(run, name) for name in KEPT))


Pair = tuple[float, float, float | None, float | None, str]  # estimated and true Dice, interval, case


def _pairs(quality: QualityRecord, evaluation: Evaluation) -> list[Pair]:
    """The evaluated cases with an estimate. Their true Dice is a mean over classes, as the estimated one is.

    An evaluation counts a class that neither mask nor reference shows as Dice 1. Such a class has no estimate, so it
    is left out of the true mean, too. It is kept where it has one, as it has if every labelled case shows the class.
    """
    true: dict[str, list[float]] = {}
    for row in evaluation.rows:
        classes = quality.cases[row.case]["classes"] if row.case in quality.cases else {}
        estimated = row.name in classes and classes[row.name]["dice"] is not None
        if estimated or not row.empty:
            true.setdefault(row.case, []).append(row.scores["dice"])
    return [
        (case["dice"], float(np.mean(true[name])), case["low"], case["high"], name)
        for name, case in quality.cases.items()
        if name in true and case["dice"] is not None
    ]


def _left_out(fitted: int, cases: int, error: float | None, certain: bool) -> str:
    """What is said of evaluated cases that the estimates were fitted on.

    Args:
        fitted: their number, of `cases` with an estimate.
        error: of the fit, each of its cases estimated from the others; a Dice, None: not known.
        certain: false where some may be others of the same names.
    """
    if_others = "" if certain else ", or on others of the same names,"
    if fitted < cases:
        are = f"{fitted} of the {cases} evaluated cases with an estimate {'is' if fitted == 1 else 'are'}"
        why = f"because the estimates were fitted on them{if_others} and are too good there"
        return f"{are} left out of this comparison, {why}."
    told = (
        f"Estimated and true Dice are not compared, because the estimates were fitted on all {cases} evaluated cases"
        f"{if_others} and are too good there."
    )
    if error is not None:
        told += (
            " In the fit, with each case estimated from the others, the estimated Dice was off by "
            f"{100 * error:.1f} points on average."
        )
    return told


def _agreement(pairs: Sequence[Pair], level: float) -> str:
    estimated, true = (np.array([pair[n] for pair in pairs], np.float64) for n in (0, 1))
    told = (
        f"Over {len(pairs)} evaluated cases the estimated Dice is off by {100 * np.abs(estimated - true).mean():.1f} "
    )
    told += "points on average"
    if len(pairs) >= LEAST_CASES and np.ptp(estimated) > 0 and np.ptp(true) > 0:
        told += (
            f"; Spearman's rank correlation of estimated and true Dice is {spearmanr(estimated, true).statistic:.2f}"
        )
    inside = [low <= value <= high for _, value, low, high, _ in pairs if low is not None and high is not None]
    if inside:
        told += f"; {sum(inside)} of {len(inside)} lie in their interval; it should be {100 * level:.0f} %"
    return f"{told}."


def _reliability(found: Reliability) -> list[str]:
    """Two drawings: share of voxels that are right over their probability, before and after."""
    drawn = []
    for name, bins in (("before", found["bins_before"]), ("after", found["bins_after"])):
        points = [(each["confidence"], each["accuracy"], 1.5 + 9 * math.sqrt(each["share"])) for each in bins]
        path = "L".join(f"{_x(x):.1f} {_y(y):.1f}" for x, y, _ in points)
        dots = "".join(
            f'<circle class="spot k1" cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="{r:.1f}"><title>probability {_percent(x)}, '
            f"right {_percent(y)}</title></circle>"
            for x, y, r in points
        )
        line = f'<path class="line k1" d="M{path}"/>' if len(points) > 1 else ""
        title = f"Probabilities {name} calibration"
        drawn.append(_square(title, line + dots, "probability, %", "share that is right, %"))
    return drawn


def _estimates(pairs: Sequence[Pair]) -> str:
    marks = []
    for estimated, true, low, high, name in pairs:
        if low is not None and high is not None:
            marks.append(f'<path class="line k2" d="M{_x(low):.1f} {_y(true):.1f}H{_x(high):.1f}"/>')
        place = f'cx="{_x(estimated):.1f}" cy="{_y(true):.1f}" r="3.5"'
        words = f"{escape(name)}: estimated {_percent(estimated)}, true {_percent(true)}"
        marks.append(f'<circle class="spot k2" {place}><title>{words}</title></circle>')
    return _square("Estimated and true Dice of each case", "".join(marks), "estimated Dice, %", "true Dice, %")


def _square(title: str, content: str, across: str, upwards: str) -> str:
    """A drawing of two shares against each other, with the line on which they are equal."""
    grid = "".join(
        f'<path class="grid" d="M{_x(0):.1f} {_y(v):.1f}H{_x(1):.1f}"/><text class="y" x="{LEFT - 5}" y="{_y(v):.1f}">'
        f'{100 * v:.0f}</text><text class="x" x="{_x(v):.1f}" y="{SIDE - BOTTOM + 13}">{100 * v:.0f}</text>'
        for v in (0, 0.25, 0.5, 0.75, 1)
    )
    equal = f'<path class="equal" d="M{_x(0):.1f} {_y(0):.1f}L{_x(1):.1f} {_y(1):.1f}"/>'
    middle = f'<text class="x" x="{(LEFT + SIDE - RIGHT) / 2}" y="{SIDE - 4}">{across}</text>'
    drawing = f'<svg viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{title}">{grid}{equal}{middle}{content}</svg>'
    return f'<figure><figcaption>{title}</figcaption><p class="says">Upwards: {upwards}</p>{drawing}</figure>'


def _x(share: float) -> float:
    return LEFT + (SIDE - LEFT - RIGHT) * share


def _y(share: float) -> float:
    return TOP + (SIDE - TOP - BOTTOM) * (1 - share)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
