"""Watches how much of the pseudo-labels is foreground, and says when it is far from what labels have.

- Background alone: with a high threshold and no warm-up, networks are soon sure of background, and of a structure much
  later or never (docs/results: trajectory). Unlabelled scans teach nothing then.
- Ever more foreground: a network that learns from its own labels can let structures grow over the unlabelled scans.

The loss falls all the same, so nobody sees it.
"""

from collections.abc import Mapping

from crossmatch.batches.store import Store

LONG = 0.2  # of the run
MOST_STEPS = 500  # but no longer than this
LEAST_STEPS = 100
FEW, MANY = 0.05, 3.0  # times the foreground that labels have


def foreground_share(store: Store) -> float:
    """The share of foreground among the labelled voxels that are not to be ignored."""
    drawn = store.label_counts[: store.classes]
    return float(drawn[1:].sum() / drawn.sum().clamp(min=1))


class Plateau:
    """Call it with each reading of the log; it gives one warning, once.

    Args:
        steps: of the whole run.
        labelled: see `foreground_share`.
    """

    def __init__(self, steps: int, labelled: float) -> None:
        self.patience, self.labelled = max(LEAST_STEPS, min(LONG * steps, MOST_STEPS)), labelled
        self.since: int | None = None
        self.said = False

    def __call__(self, step: int, means: Mapping[str, float]) -> str | None:
        """The warning, if now is the time for it; `means` are those of the log at this step."""
        share = means.get("pseudo_foreground")
        if share is None or self.said:
            return None
        if share >= FEW * self.labelled:
            self.since = None
            return None
        if self.since is None:
            self.since = step
        if step - self.since < self.patience:
            return None
        self.said = True
        return (
            f"since step {self.since} the network is sure only of background: {100 * share:.2g} % of the voxels that "
            f"teach are foreground, and {100 * self.labelled:.2g} % of the labelled ones. Until that changes, "
            "unlabelled scans teach nothing. It may change by itself. If it does not, start again with a lower "
            "threshold and a warm-up, for instance --set method.threshold=0.5 --set method.warm_up=0.5"
        )


class Overgrowth:
    """Call it with each reading of the log; it gives one warning, once.

    Args:
        labelled: see `foreground_share`.
    """

    def __init__(self, labelled: float) -> None:
        self.labelled = labelled
        self.since: int | None = None
        self.said = False

    def __call__(self, step: int, means: Mapping[str, float]) -> str | None:
        """The warning, if now is the time for it; `means` are those of the log at this step."""
        share = means.get("pseudo_foreground", 0.0)
        if share <= MANY * self.labelled:
            self.since = None
            return None
        if self.since is None:
            self.since = step
        if self.said or step - self.since < LEAST_STEPS:
            return None
        self.said = True
        return (
            f"since step {self.since} the network sees much more foreground in unlabelled scans than labels have: "
            f"{100 * share:.3g} % instead of {100 * self.labelled:.3g} %. If these scans do not show more of it, "
            "structures grow over them, and masks get worse. Stop with Ctrl-C. With validation cases, predict with "
            "--checkpoint best. Or start again with --set views.augment.labelled=true --set method.warm_up=0.5, or "
            "with another method, such as --set method.name=unimatch"
        )
