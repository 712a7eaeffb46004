"""Several runs as one: the mean of their probabilities. For the folds of a cross-validation, or seeds.

Shapes: B batch, C channels of a scan, M runs, K classes, *N images as the networks take them.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from crossmatch.batches.intensity import Window
from crossmatch.errors import UserError, listed
from crossmatch.inference.alike import differences
from crossmatch.inference.origin import weights_digest
from crossmatch.networks import Segmenter
from crossmatch.runs.checkpoint import Checkpoint
from crossmatch.runs.run import Run, open_run


class Ensemble(Segmenter):
    """Networks of one task as one network, whose probabilities are the mean of theirs.

    Args:
        members: the networks, in eval mode.
        copies: False: all see the images (B, C, *N); True: each its own C of the (B, M * C, *N), for scans that each
            run scales in its own way.
    """

    def __init__(self, members: Sequence[Segmenter], copies: bool) -> None:
        first = members[0]
        super().__init__(first.dims, first.in_channels * (len(members) if copies else 1), first.classes, first.settings)
        self.members = nn.ModuleList(members)
        self.copies = copies

    def forward(self, x: Tensor) -> Tensor:
        """(B, C or M * C, *N) -> logits (B, K, *N), float32: logarithms of the mean probabilities."""
        return self.joined(self.each(x))

    def each(self, x: Tensor) -> list[Tensor]:
        """(B, C or M * C, *N) -> probabilities (B, K, *N) of each member, float32."""
        seen = x.chunk(len(self.members), 1) if self.copies else [x] * len(self.members)
        return [member(images).float().softmax(1) for member, images in zip(self.members, seen, strict=True)]

    def joined(self, single: Sequence[Tensor]) -> Tensor:
        """Probabilities of the members -> logits (B, K, *N): logarithms of their mean."""
        return (sum(single[1:], single[0]) / len(single)).log()


def open_runs(folders: Path | Sequence[Path]) -> list[Run]:
    """One run, or several whose predictions can be averaged.

    Raises:
        UserError: one of them is no run, one is named twice, or labels, channels or the preparation of scans differ;
            the message names what.
    """
    runs = [open_run(folder) for folder in ([folders] if isinstance(folders, Path) else folders)]
    if not runs:
        raise UserError("Name at least one run.")
    first, *others = runs
    for n, other in enumerate(others, start=1):
        if any(other.folder.resolve() == one.folder.resolve() for one in runs[:n]):
            raise UserError(f"{other.folder} is named twice: an average counts every run once.")
        if differing := differences(first, other):
            raise UserError(
                f"The runs {first.folder} and {other.folder} cannot be averaged, they differ: "
                f"{listed(differing, '; ')}. "
                "Name runs of the same labels, channels and preparation, such as folds or seeds of one recipe."
            )
    return runs


def load_networks(runs: Sequence[Run], checkpoint: str) -> tuple[Segmenter, list[Checkpoint]]:
    """The network of one run or of several, in eval mode, and their checkpoints.

    Args:
        runs: see `open_runs`.
        checkpoint: ``last`` or ``best``, of each; of a single run also a file.

    Raises:
        UserError: no such checkpoint, a file for several runs, or the same weights in two of them.
    """
    if len(runs) > 1 and checkpoint not in ("last", "best"):
        raise UserError(f"--checkpoint {checkpoint} is of one run, and {len(runs)} are averaged: use last or best.")
    networks, checkpoints = zip(*(run.load_network(checkpoint) for run in runs), strict=True)
    if len(runs) == 1:
        return networks[0], list(checkpoints)
    named: dict[str, Path] = {}
    for run, loaded in zip(runs, checkpoints, strict=True):
        same = named.setdefault(weights_digest(loaded.network), run.folder)
        if same != run.folder:
            raise UserError(f"{same} and {run.folder} hold the same weights: name one of them, or different runs.")
    return Ensemble(networks, copies=_scale_differently(runs)).eval(), list(checkpoints)


def windows_of(runs: Sequence[Run]) -> tuple[Window, ...]:
    """`Run.fixed_windows` of a run, or of each run in turn where they differ, as those of folds do."""
    chosen = runs if _scale_differently(runs) else runs[:1]
    return tuple(window for run in chosen for window in run.fixed_windows)


def _scale_differently(runs: Sequence[Run]) -> bool:
    return any(run.fixed_windows != runs[0].fixed_windows for run in runs)
