"""The calibration of quality in model.json: constants from which estimate.py estimates Dice, without crossmatch.

`predict --quality` combines how far the network agrees with itself, with parts of its features dropped, and how sure it
is of its mask. An exported network gives only probabilities. So the exported calibration uses the border entropy
alone. It is fitted on the same cases; its intervals come from its own errors on cases that are left out in turn.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from crossmatch.inference.calibration import LEVEL, fit_estimates
from crossmatch.inference.fitted_files import changed_since_fit
from crossmatch.inference.known_cases import kept_cases
from crossmatch.inference.predict import Options, predictor_of
from crossmatch.inference.quality import told_of, widening
from crossmatch.networks.segmenter import Segmenter
from crossmatch.runs.run import Run


def carried_quality(
    run: Run, network: Segmenter, weights_sha256: str, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """The calibration that the run keeps of a network, as plain constants; None where nothing was fitted yet.

    It is None, and `warn` is told, where scans or labels that it was fitted on were changed since.

    Returns:
        L classes without background. "told": what it was fitted on, counts alone. "level": share of cases that the
        intervals are to hold. "shifts" (L,) and "knots" (n, 2): see `DiceMap`; it takes 1 minus the mean entropy at a
        class's border. "half_widths" (L + 1,): of the intervals, of each class, then of the mean. "error": mean
        absolute error of the mean Dice, each case estimated from the others. "always" (L,): whether all labelled cases
        have the class. "temperature": probabilities become p^(1 / temperature), divided by their sum, or null; "ece":
        the expected calibration error before and after.
    """
    predictor = predictor_of([run], network, torch.device("cpu"), Options(device="cpu", quality=True))
    known = kept_cases(run, predictor, weights_sha256)
    if known is None:
        return None
    if changed_since_fit(run, known):
        warn(
            "the fit of quality is left out: scans or labels of its cases were changed since, or it is of "
            "an earlier version, which does not tell. Fit again with `crossmatch predict --quality`, then export again"
        )
        return None
    entropy, dice = (np.array(known[key], float) for key in ("border_entropy", "dice"))  # null is NaN
    fit = fit_estimates(1 - entropy, dice, widening(known))
    probabilities, references = known["reliability"], list(known["references"].values())
    return {
        "told": told_of(known),
        "level": LEVEL,
        "shifts": list(fit.to_dice.shifts),
        "knots": [list(knot) for knot in fit.to_dice.knots],
        "half_widths": list(fit.widths),
        "error": fit.error,
        "always": [bool(references) and all(one[k].voxels for one in references) for k in range(dice.shape[1])],
        "temperature": None if probabilities is None else probabilities["temperature"],
        "ece": None if probabilities is None else [probabilities["ece_before"], probabilities["ece_after"]],
    }
