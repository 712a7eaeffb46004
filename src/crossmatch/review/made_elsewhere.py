"""Whether masks were made with other weights than the run has now: by an earlier step of it, or by another run."""

from pathlib import Path
from typing import Any

from crossmatch.inference.present_weights import KEPT, present_weights
from crossmatch.runs.run import Run


def made_elsewhere(run: Run, folder: Path, facts: dict[str, Any]) -> str | None:
    """A sentence where the masks in a folder were not made with the run's weights; else, or if nobody knows, None.

    The weights are compared, not names: a run's folder may have been renamed, and another run may have its name.
    Masks that several runs made together are those of each.

    Args:
        run: that is reviewed; facts: of the folder's prediction.json.
    """
    by, step, checkpoint = facts.get("run"), facts.get("step"), facts.get("checkpoint")
    own, named = by == run.folder.resolve().name, checkpoint in KEPT
    if own and not named:
        return None  # the user chose a file of an earlier step
    chosen = str(checkpoint) if named else "last"
    now = present_weights(run, chosen)
    if now is None:
        return None
    made_with = _weights_of(facts)
    if not made_with:  # of an earlier version
        if not own or step == now.step:
            return None
    elif now.sha256 in made_with or (not named and _best(run) in made_with):
        return None
    weights, again = f"the {chosen} weights of {run.folder}", "To see what these find, predict again."
    if not own:
        made = f"The masks in {folder} were made by {by} at step {step}"
        return f"{made}, with other weights than {weights} (of step {now.step}). {again}"
    if step != now.step:
        return f"The masks in {folder} were made at step {step}, and {weights} are of step {now.step} by now. {again}"
    return f"The masks in {folder} were made with other weights of step {step} than {weights}. {again}"


def _weights_of(facts: dict[str, Any]) -> set[str]:
    """The digests of the networks that made masks: of all together, and of each member."""
    members = facts.get("members")
    every = [facts, *(members if isinstance(members, list) else [])]
    return {one["weights_sha256"] for one in every if isinstance(one, dict) and one.get("weights_sha256")}


def _best(run: Run) -> str | None:
    best = present_weights(run, "best")
    return None if best is None else best.sha256
