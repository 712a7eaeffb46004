"""What is expected of a predicted mask without a reference: Dice, with an interval, and flags in plain words.

What lies outside of the training data is flagged before anything else. Shapes: *S a scan as stored; L classes without
background.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossmatch.dataset.orientation import turn_grid, turn_into
from crossmatch.formats import Volume
from crossmatch.inference.agreement import Sums
from crossmatch.inference.calibration import (
    LEVEL,
    DiceMap,
    fit_estimates,
    interval,
    joined,
    mean_of,
    mean_rows,
)
from crossmatch.inference.estimates import CalibrationFacts
from crossmatch.inference.familiar import (
    grey_distance,
    spacing_distance,
    strange_grey_values,
    strange_spacing,
)
from crossmatch.inference.known_cases import KnownCases
from crossmatch.inference.shape import MaskShape, shapes_in, unlikeness
from crossmatch.runs.run import Run

FAR_VOLUME = 1.5  # times the largest or smallest of the labelled cases
FEWEST = 0.02  # share of a mask at the scan's edge that is worth a word
WIDER = 2.0  # times the interval, where the map was fitted on cases that the network was trained on

Verdict = dict[str, Any]  # a `CaseQuality` without its mask and scan


@dataclass(frozen=True)
class Calibration:
    """A map from agreement to Dice, and how far it is off.

    Attributes:
        facts: what it was fitted on.
        to_dice: None: there is no calibration.
        widths: half widths of the intervals, of each class, then of the mean over classes.
        lowest: agreement below which a mask is unlike those of the cases; lowest Dice among these.
        shapes: (N, L) of the labelled cases.
    """

    facts: CalibrationFacts
    to_dice: DiceMap | None = None
    widths: tuple[float, ...] = ()
    lowest: tuple[float, float] = (0.0, 0.0)
    shapes: Sequence[Sequence[MaskShape]] = ()


def calibrate(known: KnownCases | str, weights_sha256: str) -> Calibration:
    """Fit what is known, see `known_cases`; a sentence instead says why nothing is."""
    if isinstance(known, str):
        return Calibration(_facts("none", known, [], weights_sha256, None, None))
    agreement, soft, entropy, dice = (  # null is NaN
        np.array(known[key], float) for key in ("agreement", "soft_dice", "border_entropy", "dice")
    )
    references = known["references"]
    unlike = [
        unlikeness(mask, [shapes for name, shapes in references.items() if name != case])
        for case, mask in zip(known["cases"], known["masks"], strict=True)
    ]
    fit = fit_estimates(joined(agreement, soft, entropy, np.array(unlike)), dice, widening(known))
    means = mean_rows(agreement)
    shown = means[~np.isnan(means)]
    lowest = 0.0
    if len(shown) > 1:  # as far below the least as that is below the middle
        lowest = float(shown.min() - max(0.05, np.median(shown) - shown.min()))
    return Calibration(
        _facts(known["method"], told_of(known), known["cases"], weights_sha256, fit.error, known),
        fit.to_dice,
        fit.widths,
        (lowest, float(np.nanmin(mean_rows(dice))) if not np.isnan(dice).all() else 0.0),
        list(references.values()),
    )


def widening(known: KnownCases) -> float:
    """The factor of intervals that were fitted on these cases."""
    return WIDER if known["method"] == "labelled" else 1.0


def told_of(known: KnownCases) -> str:
    """What estimates were fitted on, in one plain sentence with counts alone."""
    number = len(known["dice"])
    count = f"{number} {known['method']} case{'s' * (number != 1)}"
    again = " Files of these or of labelled cases were written since an earlier fit." if known.get("again") else ""
    if known["method"] != "labelled":
        return f"Fitted on {count}.{again}"
    return (
        f"Fitted on {count}, on which the network was trained, as there are no validation cases: estimates may be "
        f"too high, so intervals are {WIDER:g} times as wide.{again}"
    )


def _facts(
    method: Any, told: str, cases: list[str], digest: str, error: float | None, known: KnownCases | None
) -> CalibrationFacts:
    return CalibrationFacts(
        method=method,
        told=told,
        cases=cases,
        weights_sha256=digest,
        level=LEVEL,
        error=error,
        reliability=None if known is None else known["reliability"],
    )


def judge(run: Run, calibration: Calibration, volumes: Sequence[Volume], labels: Any, sums: Sums) -> Verdict:
    """What is expected of one mask.

    Args:
        volumes: the channels of the scan (*S) as stored.
        labels: (*S), its mask.
        sums: what was counted while it was made.
    """
    turn = turn_into(run.frame, volumes[0])
    spacing_mm = turn_grid(volumes[0], turn).spacing_mm  # in the order of the training's
    names = [name for name, value in run.data["labels"].items() if value > 0]
    shapes = shapes_in(run, labels, volumes[0])
    agreement = sums.agreement[1:].copy()
    always = [bool(calibration.shapes) and all(one[k].voxels for one in calibration.shapes) for k in range(len(names))]
    for k, shape in enumerate(shapes):
        if shape.voxels == 0:  # a class that must be there and is not has nothing right
            agreement[k] = 0.0 if always[k] else np.nan
    measured = (agreement, sums.soft_dice[1:], sums.border_entropy[1:])
    dice = np.full(len(names), np.nan)
    if calibration.to_dice is not None:
        dice = calibration.to_dice(joined(*measured, unlikeness(shapes, calibration.shapes)))
    missing = np.array([always[k] and shape.voxels == 0 for k, shape in enumerate(shapes)])
    dice = np.where(missing & ~np.isnan(dice), 0.0, dice)
    widths = calibration.widths or (1.0,) * (len(names) + 1)
    classes = {
        name: {**_estimate(dice[k], widths[k], *(each[k] for each in measured)), **shapes[k]._asdict()}
        for k, name in enumerate(names)
    }
    dice_mean, *means = (_or_nan(mean_of(each)) for each in (dice, *measured))
    whole = _estimate(dice_mean, widths[-1], *means)
    strange = _strange(run, volumes, spacing_mm, calibration, whole["agreement"])
    return {
        **whole,
        "flags": strange + _look(calibration, names, shapes, missing, whole["dice"]),
        "out_of_distribution": bool(strange),
        "grey_distance": grey_distance(run, [volume.voxels for volume in volumes]),
        "spacing_distance": spacing_distance(run, spacing_mm),
        "classes": classes,
    }


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _estimate(dice: float, width: float, agreement: float, soft_dice: float, entropy: float) -> Any:
    """An `Estimate`; NaN becomes null."""
    low, high = (None, None) if np.isnan(dice) else interval(float(dice), width)
    values = {"dice": dice, "agreement": agreement, "soft_dice": soft_dice, "border_entropy": entropy}
    known = {key: None if np.isnan(value) else min(1.0, float(value)) for key, value in values.items()}
    return {"dice": known["dice"], "low": low, "high": high, **known}


def _strange(
    run: Run,
    volumes: Sequence[Volume],
    spacing_mm: Sequence[float] | None,
    calibration: Calibration,
    agreement: float | None,
) -> list[str]:
    """Why a scan lies outside of the training data, a sentence each."""
    flags = []
    if told := strange_spacing(run, spacing_mm):
        flags.append(f"Outside of the training data by its spacing: {told}.")
    if told := strange_grey_values(run, [volume.voxels for volume in volumes]):
        flags.append(f"Outside of the training data by its grey values: {told}.")
    lowest = calibration.lowest[0]
    if agreement is not None and agreement < lowest:
        flags.append(
            f"Outside of the training data by its agreement: the decodings agree by {agreement:.2f}, in the "
            f"{calibration.facts['method']} cases by more than {lowest:.2f}."
        )
    return flags


def _look(
    calibration: Calibration, names: Sequence[str], shapes: Sequence[MaskShape], missing: Any, dice: float | None
) -> list[str]:
    """What else a mask should be looked at for, a sentence each."""
    flags = []
    if dice is not None and dice < calibration.lowest[1]:
        flags.append(
            f"The estimated Dice, {100 * dice:.0f} %, is below that of every {calibration.facts['method']} case."
        )
    for k, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        known = [one[k] for one in calibration.shapes if one[k].voxels]
        if missing[k]:
            flags.append(f"No {name} was found; every labelled case has it.")
        if not known or not shape.voxels:
            continue
        for what, unit, value, seen in (
            ("volume", "ml", shape.volume_ml, [one.volume_ml for one in known]),
            ("surface", "cm2", shape.surface_cm2, [one.surface_cm2 for one in known]),
        ):
            sizes = [one for one in seen if one is not None]
            if value is None or len(sizes) < len(seen):
                continue
            if not min(sizes) / FAR_VOLUME <= value <= max(sizes) * FAR_VOLUME:
                flags.append(
                    f"The {what} of {name} is {value:.3g} {unit}; labelled cases have {min(sizes):.3g} to "
                    f"{max(sizes):.3g} {unit}."
                )
                break
        parts = max(one.components for one in known)
        if shape.components > 2 * parts:
            flags.append(f"{name} lies in {shape.components} separate parts; labelled cases have {parts} at most.")
        edge = max(one.edge_share for one in known)
        if shape.edge_share > max(FEWEST, 2 * edge):
            flags.append(f"{name} reaches the edge of the scan, with {100 * shape.edge_share:.0f} % of its voxels.")
    return flags
