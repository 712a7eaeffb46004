"""Batches of image views, made on the compute device: which cases, where from, how disturbed is a function of the step.

Shapes: B batch, C channels, *S space.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from crossmatch import seeding
from crossmatch.data.store import Store
from crossmatch.methods.method import Batch, Unlabelled
from crossmatch.perturb.cutmix import CutMixSettings, box_mask, draw_boxes
from crossmatch.perturb.geometry import WeakSettings, draw_weak, look_up, output_grid, patch_map, resize_map
from crossmatch.perturb.image import StrongSettings, apply_strong, draw_strong
from crossmatch.settings import Settings


class ViewSettings(Settings):
    """How the views of an image are made."""

    weak: WeakSettings = WeakSettings()
    strong: StrongSettings = StrongSettings()
    cutmix: CutMixSettings = CutMixSettings()


class BatchSizes(Settings):
    """Images a step; the CutMix partners are as many as the unlabelled images, and come on top."""

    labelled: Annotated[int, Field(ge=1)] = 12
    unlabelled: Annotated[int, Field(ge=1)] = 12


class Batches:
    """Call with a step, counted from 0, to get its batch.

    Args:
        store: voxels; size: voxels of a view on each axis; patches: cut views of that size from the images instead of
            resizing them to it; seed: of everything drawn here.
        device: where the batch is made.
        unlabelled: whether to draw unlabelled images and partners at all.
        share: (r, n) gives the r-th of n equal parts of the batch, counted from 0, of labelled images, unlabelled ones
            and partners alike. All is drawn for the whole batch: the parts together are what (0, 1) gives.
    """

    def __init__(
        self,
        store: Store,
        size: tuple[int, ...],
        views: ViewSettings,
        batch: BatchSizes,
        seed: int,
        device: torch.device,
        unlabelled: bool,
        patches: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.store, self.size, self.views, self.seed, self.device = store, size, views, seed, device
        self.patches, self.share = patches, share
        self.grid = output_grid(size, store.voxels.device)
        self.labelled = seeding.Shuffled(len(store.labelled), batch.labelled, seed, seeding.LABELLED)
        self.unlabelled, self.partners = (
            (seeding.Shuffled(len(store.unlabelled), batch.unlabelled, seed, stream) if unlabelled else None)
            for stream in (seeding.UNLABELLED, seeding.PARTNERS)
        )

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        items = self.store.labelled[self.labelled(step)]
        drawn = seeding.generator(self.seed, seeding.LABELLED_VIEWS, step)
        x, y = self._weak(items, drawn, self._part(len(items)), labels=True)
        assert y is not None
        if self.unlabelled is None or self.partners is None:
            return Batch(x, y, None, None)
        drawn = seeding.generator(self.seed, seeding.UNLABELLED_VIEWS, step)
        items = self.store.unlabelled[torch.cat([self.unlabelled(step), self.partners(step)])]
        first = self._part(len(items) // 2)
        part = torch.cat([first, first + len(items) // 2])
        weak, _ = self._weak(items, drawn, part, labels=False)
        strong, box = self._strong(weak, len(items), drawn, part), self._boxes(len(items), drawn, part)
        half = len(part) // 2
        u, partners = (Unlabelled(weak[rows], strong[rows], box[rows]) for rows in (slice(half), slice(half, None)))
        return Batch(x, y, u, partners)

    def _part(self, count: int) -> Tensor:
        """Which of `count` images are this share's, (count / n,) int64."""
        number, shares = self.share
        return torch.arange(count // shares) + number * (count // shares)

    def _weak(self, items: Tensor, drawn: torch.Generator, part: Tensor, labels: bool) -> tuple[Tensor, Tensor | None]:
        """Drawn for all items, made of those whose numbers are in `part`."""
        draw = draw_weak(self.views.weak, len(items), drawn).of(part)
        place = torch.rand(*self.store.size[items].shape, generator=drawn)[part] if self.patches else None
        items = items[part]
        size, home = self.store.size[items], self.store.voxels.device
        if place is not None:
            matrix, centre = patch_map(draw, size, self.size, place)
        else:
            matrix, centre = resize_map(draw, size)
        lookup = look_up(matrix.to(home), centre.to(home), size.to(home), self.grid)
        images = self.store.images(items, lookup, self.device)
        return images, self.store.label_maps(items, lookup, self.device) if labels else None

    def _strong(self, weak: Tensor, count: int, drawn: torch.Generator, part: Tensor) -> Tensor:
        """Two independent strong views of each: (B, C, *S) -> (B, 2, C, *S); drawn for `count` images."""
        draw = draw_strong(self.views.strong, 2 * count, len(self.size), drawn).of(_both(part))
        strong = apply_strong(weak.repeat_interleave(2, 0), draw.to(self.device), self.views.strong)
        return strong.view(len(weak), 2, *weak.shape[1:])

    def _boxes(self, count: int, drawn: torch.Generator, part: Tensor) -> Tensor:
        """(B, 2, *S) bool; drawn for `count` images."""
        start, stop = (
            corner[_both(part)].to(self.device) for corner in draw_boxes(self.views.cutmix, 2 * count, self.size, drawn)
        )
        return box_mask(start, stop, self.size).view(len(part), 2, *self.size)


def _both(part: Tensor) -> Tensor:
    """Numbers of images (B,) -> those of their two strong views (2B,)."""
    return torch.stack([2 * part, 2 * part + 1], 1).flatten()
