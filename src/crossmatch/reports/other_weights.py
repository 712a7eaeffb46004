"""Whether masks were made by the weights that a run has now: else by several runs, another run, or before it went on.

A run's folder may hold masks that it did not make alone, and a run that went on has other weights than those that made
its earlier masks. Names and steps do not tell, so weights are compared by their digest.
"""

from pathlib import Path
from typing import NamedTuple

from crossmatch.inference.present_weights import KEPT, PresentWeights, present_weights
from crossmatch.runs.run import Run
from crossmatch.scoring.stored import Prediction


class OtherWeights(NamedTuple):
    """What made masks, where it is not what a run has now.

    Attributes:
        mark: words for brackets behind a score: ``at step 120``.
        told: words that go on after "were made".
    """

    mark: str
    told: str


def other_weights(run: Run, made: Prediction | None) -> OtherWeights | None:
    """What made masks, if it is not the checkpoint of this run that prediction.json names; None: it is, or may be.

    Args:
        made: what prediction.json says; None where there is none.
    """
    if not made:
        return None
    if members := made.get("members"):
        names = " and ".join(str(each.get("run", "a run")) for each in members)
        count = f"{len(members)} runs together"
        return OtherWeights(f"of {count}", f"by {count}, {names}, not by {run.folder.resolve().name} alone")
    named, by = made.get("checkpoint", "last"), made.get("run")
    at = f" at step {made['step']:,}" if "step" in made else ""
    other = OtherWeights(f"of {by}{at}", f"by the run {by}{at}, not by the {named} weights that are here now")
    foreign = by not in (None, run.folder.resolve().name)
    now = _present(run, named)
    if now is None:  # nobody can compare
        elsewhere = OtherWeights(f"by {named}", f"by the weights in {named}")
        return other if foreign else None if named in KEPT else elsewhere
    if made.get("weights_sha256", now.sha256) == now.sha256 and made.get("step", now.step) == now.step:
        return None  # also where the run was copied or has another name by now
    if foreign:
        return other
    if made.get("step", now.step) == now.step:
        return OtherWeights("of other weights", f"by other weights than the {named} ones that are here now")
    return OtherWeights(at.strip(), f"{at.strip()}, and the {named} weights are of step {now.step:,} by now")


def told_of_scores(run: Run, made: Prediction | None) -> list[str]:
    """A sentence where the scored masks were made by other weights; else none."""
    found = other_weights(run, made)
    way_out = "For the scores of its weights, predict with this run alone into another folder and evaluate."
    return [] if found is None else [f"The masks that were scored were made {found.told}. {way_out}"]


def _present(run: Run, named: str) -> PresentWeights | None:
    """What a checkpoint of the run holds, also where a file is named by another place; None where it is gone."""
    return present_weights(run, named if named in KEPT else str(run.folder / "checkpoints" / Path(named).name))
