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
    ) -> None:
        self.store, self.size, self.views, self.seed, self.device = store, size, views, seed, device
        self.patches = patches
        self.grid = output_grid(size, store.voxels.device)
        self.labelled = seeding.Shuffled(len(store.labelled), batch.labelled, seed, seeding.LABELLED)
        self.unlabelled, self.partners = (
            (seeding.Shuffled(len(store.unlabelled), batch.unlabelled, seed, stream) if unlabelled else None)
            for stream in (seeding.UNLABELLED, seeding.PARTNERS)
        )

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        items = self.store.labelled[self.labelled(step)]
        x, y = self._weak(items, seeding.generator(self.seed, seeding.LABELLED_VIEWS, step), labels=True)
        assert y is not None
        if self.unlabelled is None or self.partners is None:
            return Batch(x, y, None, None)
        drawn = seeding.generator(self.seed, seeding.UNLABELLED_VIEWS, step)
        items = self.store.unlabelled[torch.cat([self.unlabelled(step), self.partners(step)])]
        weak, _ = self._weak(items, drawn, labels=False)
        strong, box = self._strong(weak, drawn), self._boxes(len(items), drawn)
        half = len(items) // 2
        u, partners = (Unlabelled(weak[part], strong[part], box[part]) for part in (slice(half), slice(half, None)))
        return Batch(x, y, u, partners)

    def _weak(self, items: Tensor, drawn: torch.Generator, labels: bool) -> tuple[Tensor, Tensor | None]:
        size, home = self.store.size[items], self.store.voxels.device
        draw = draw_weak(self.views.weak, len(items), drawn)
        if self.patches:
            matrix, centre = patch_map(draw, size, self.size, torch.rand(*size.shape, generator=drawn))
        else:
            matrix, centre = resize_map(draw, size)
        lookup = look_up(matrix.to(home), centre.to(home), size.to(home), self.grid)
        images = self.store.images(items, lookup, self.device)
        return images, self.store.label_maps(items, lookup, self.device) if labels else None

    def _strong(self, weak: Tensor, drawn: torch.Generator) -> Tensor:
        """Two independent strong views of each: (B, C, *S) -> (B, 2, C, *S)."""
        twice = weak.repeat_interleave(2, 0)
        draw = draw_strong(self.views.strong, len(twice), len(self.size), drawn)
        strong = apply_strong(twice, draw.to(self.device), self.views.strong)
        return strong.view(len(weak), 2, *weak.shape[1:])

    def _boxes(self, count: int, drawn: torch.Generator) -> Tensor:
        """(B, 2, *S) bool."""
        start, stop = draw_boxes(self.views.cutmix, 2 * count, self.size, drawn)
        return box_mask(start.to(self.device), stop.to(self.device), self.size).view(count, 2, *self.size)
