"""Labelled images that show a given class, so that tiny and rare structures are seen often enough.

Shapes: B batch, D spatial axes, P known voxels of a class.
"""

import torch
from torch import Tensor

from crossmatch.batches import seeding
from crossmatch.batches.store import CHUNK, Store
from crossmatch.dataset.spread import spread
from crossmatch.errors import UserError

KNOWN = 100_000  # voxels of a class that are remembered, from all over them


class Foreground:
    """Call with the items drawn for a step to replace some by items that show a class.

    For each image: with probability `share`, a class is drawn, every class that the labels show equally often, then one
    of its voxels. All of it is a function of the step.

    Args:
        store: whose labelled items; share: see above; seed: of the draws.
        steps: the first ones of the run, after which items stay as drawn; 0: all.

    Raises:
        UserError: no labelled item shows a foreground voxel.
    """

    def __init__(self, store: Store, share: float, seed: int, steps: int = 0) -> None:
        self.store, self.share, self.seed, self.steps = store, share, seed, steps
        self.voxels = _voxels_of_classes(store.labels, store.classes)
        if not self.voxels:
            raise UserError("data.foreground needs labelled structures, and no training label shows one: set it to 0.")

    def __call__(self, items: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The items (B,) of a step -> the items to take, and the voxel (B, D) that each must show, or -1."""
        around = torch.full((len(items), self.store.size.shape[1]), -1)
        if self.steps and step >= self.steps:
            return items, around
        drawn = seeding.generator(self.seed, seeding.FOREGROUND, step)
        chance, which, where = torch.rand(3, len(items), generator=drawn)
        starts = self.store.label_offset[self.store.labelled]
        chosen = items.clone()
        for k in torch.nonzero(chance < self.share)[:, 0].tolist():
            voxels = self.voxels[int(which[k] * len(self.voxels))]
            position = voxels[int(where[k] * len(voxels))]
            number = torch.searchsorted(starts, position, right=True) - 1  # the last item that begins before it
            chosen[k] = self.store.labelled[number]
            place = int(position - starts[number])
            around[k] = torch.stack(torch.unravel_index(torch.tensor(place), self.store.size[chosen[k]].tolist()))
        return chosen, around


def _voxels_of_classes(labels: Tensor, classes: int) -> list[Tensor]:
    """For each foreground class that is shown, positions (P,) in the flat labels, at most `KNOWN`.

    Args:
        classes: K, with background; voxels of this label are to be ignored.
    """
    found: dict[int, list[Tensor]] = {}
    for first in range(0, len(labels), CHUNK):
        part = labels[first : first + CHUNK].cpu()
        for value in torch.unique(part).tolist():
            if 0 < value < classes:
                found.setdefault(value, []).append(torch.nonzero(part == value)[:, 0] + first)
    whole = [torch.cat(found[value]) for value in sorted(found)]
    return [voxels[torch.from_numpy(spread(len(voxels), KNOWN))] for voxels in whole]
