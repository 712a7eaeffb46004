"""Batches of image views, made on the compute device. Seed and step decide which cases, patches and disturbances.

Shapes: B batch, C channels, D spatial axes, *S space.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from crossmatch.batches import seeding
from crossmatch.batches.batch import Batch, Unlabelled
from crossmatch.batches.foreground import Foreground
from crossmatch.batches.store import Locations, Store, Stored, grey_values, label_maps
from crossmatch.perturb.augment import AugmentDraw, AugmentSettings, augment, draw_augmentation
from crossmatch.perturb.cutmix import CutMixSettings, box_mask, draw_boxes
from crossmatch.perturb.geometry import WeakSettings, draw_weak, look_up, output_grid, patch_map, resize_map
from crossmatch.perturb.image import StrongDraw, StrongSettings, apply_strong, draw_strong
from crossmatch.settings import Count, Settings


class ViewSettings(Settings):
    """How the views of an image are made."""

    weak: WeakSettings = WeakSettings()
    """The weak view."""
    strong: StrongSettings = StrongSettings()
    """The strong views."""
    augment: AugmentSettings = AugmentSettings()
    """The augmentation of labelled images."""
    cutmix: CutMixSettings = CutMixSettings()
    """The boxes of CutMix."""


class BatchSizes(Settings):
    """Images of a step."""

    labelled: Count = 12
    """Labelled images a step, over all devices."""
    unlabelled: Count = 12
    """Unlabelled images a step, over all devices. As many CutMix partners come on top."""


class Weak(NamedTuple):
    """Where the voxels of B weak views come from."""

    locations: Locations
    matrix: Tensor  # (B, D, D), see `resize_map`
    centre: Tensor  # (B, D)
    size: tuple[int, ...]  # voxels of a view along each axis
    labels: bool  # whether label maps are wanted
    stored: Stored | None  # voxels that the host has looked up, of a mapped store


class Drawn(NamedTuple):
    """What a step's batch is made from: a few numbers for each image and, with a mapped store, the voxels."""

    labelled: Weak
    unlabelled: Weak | None  # unlabelled images, then their CutMix partners
    strong: StrongDraw | None  # disturbances of two strong views for each unlabelled image
    boxes: tuple[Tensor, Tensor] | None  # CutMix boxes of the strong views: first voxels and ends, (2B, D) each
    augment: AugmentDraw | None = None  # of the labelled images


class Batches:
    """The batches of a training. Call it with a step, counted from 0, to get the step's batch.

    Args:
        store: the voxels.
        size: voxels of a view along each axis.
        views, batch: settings.
        seed: of everything that is drawn here.
        device: where the batch is made.
        unlabelled: whether to draw unlabelled images and partners.
        patches: cut views of `size` from the images; else images are resized to it.
        share: (r, n) gives the r-th of n equal parts of the batch, counted from 0: of labelled images, unlabelled
            images and partners. Random numbers are drawn for the whole batch: all parts together are what (0, 1) gives.
        foreground: share of the labelled images that show a class drawn for them, in the first `foreground_steps` steps
            (0: in all), see `Foreground`.
        augmented: augment labelled images even where ``views.augment.labelled`` is off.
        early_size: voxels of a view along each axis in the first `early_steps` steps; not for `patches`.
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
        foreground: float = 0.0,
        foreground_steps: int = 0,
        augmented: bool = False,
        early_size: tuple[int, ...] = (),
        early_steps: int = 0,
    ) -> None:
        self.store, self.size, self.views, self.seed, self.device = store, size, views, seed, device
        self.patches, self.share, self.augmented = patches, share, augmented or views.augment.labelled
        self.foreground = Foreground(store, foreground, seed, foreground_steps) if foreground else None
        self.early_size, self.early_steps = early_size, early_steps
        self.grids = {each: output_grid(each, store.voxels.device) for each in (size, early_size) if each}
        self.labelled = seeding.Shuffled(len(store.labelled), batch.labelled, seed, seeding.LABELLED)
        self.unlabelled, self.partners = (
            (seeding.Shuffled(len(store.unlabelled), batch.unlabelled, seed, stream) if unlabelled else None)
            for stream in (seeding.UNLABELLED, seeding.PARTNERS)
        )

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        return self.make(to_device(self.draw(step), self.device))

    def weak_views(self, step: int) -> Tensor:
        """The weak views of a step's labelled and unlabelled images, without partners: (B, C, *S)."""
        drawn = to_device(self.draw(step), self.device)
        images = [self._weak(drawn.labelled)[0]]
        if drawn.unlabelled is not None:
            images += self._weak(drawn.unlabelled)[0].chunk(2)[:1]
        return torch.cat(images)

    def draw(self, step: int) -> Drawn:
        """The host's work for a batch: draw random parameters and, with a mapped store, look up the voxels."""
        size = self.early_size if step < self.early_steps else self.size
        items, around = self.store.labelled[self.labelled(step)], None
        if self.foreground:
            items, around = self.foreground(items, step)
        drawn = seeding.generator(self.seed, seeding.LABELLED_VIEWS, step)
        part = self._part(len(items))
        labelled = self._draw_weak(items, drawn, part, size, labels=True, around=around)
        augmented = None
        if self.augmented:
            drawn = seeding.generator(self.seed, seeding.AUGMENTATION, step)
            augmented = draw_augmentation(self.views.augment, len(items), len(self.size), drawn).of(part)
        if self.unlabelled is None or self.partners is None:
            return Drawn(labelled, None, None, None, augmented)
        drawn = seeding.generator(self.seed, seeding.UNLABELLED_VIEWS, step)
        items = self.store.unlabelled[torch.cat([self.unlabelled(step), self.partners(step)])]
        first = self._part(len(items) // 2)
        part = torch.cat([first, first + len(items) // 2])
        weak, both = self._draw_weak(items, drawn, part, size, labels=False), _both(part)
        strong = draw_strong(self.views.strong, 2 * len(items), len(self.size), drawn, self.store.colours).of(both)
        start, stop = draw_boxes(self.views.cutmix, 2 * len(items), size, drawn)
        return Drawn(labelled, weak, strong, (start[both], stop[both]), augmented)

    def make(self, drawn: Drawn) -> Batch:
        """Make the batch from what `draw` gave, on the device. A function of tensors alone, with fixed shapes.

        Only the noise of augmented images is drawn here, by PyTorch's generator, which a training seeds anew each step.
        """
        x, y = self._weak(drawn.labelled)
        assert y is not None
        if drawn.augment is not None:
            x, y = augment(x, y, drawn.augment, self.views.augment, self.store.colours)
        if drawn.unlabelled is None or drawn.strong is None or drawn.boxes is None:
            return Batch(x, y, None, None)
        weak, _ = self._weak(drawn.unlabelled)
        strong = apply_strong(weak.repeat_interleave(2, 0), drawn.strong, self.views.strong)
        strong = strong.view(len(weak), 2, *weak.shape[1:])
        size = drawn.labelled.size
        box = box_mask(*drawn.boxes, size).view(len(weak), 2, *size)
        half = len(weak) // 2
        u, partners = (Unlabelled(weak[rows], strong[rows], box[rows]) for rows in (slice(half), slice(half, None)))
        return Batch(x, y, u, partners)

    def _part(self, count: int) -> Tensor:
        """The numbers of this share's images among `count`, (count / n,) int64."""
        number, shares = self.share
        return torch.arange(count // shares) + number * (count // shares)

    def _draw_weak(
        self,
        items: Tensor,
        drawn: torch.Generator,
        part: Tensor,
        size: tuple[int, ...],
        labels: bool,
        around: Tensor | None = None,
    ) -> Weak:
        """Draw weak views for all items; keep those whose numbers are in `part`."""
        draw = draw_weak(self.views.weak, len(items), drawn).of(part)
        place = torch.rand(*self.store.size[items].shape, generator=drawn)[part] if self.patches else None
        locations = self.store.locate(items[part])
        if place is not None:
            shown = None if around is None else around[part]
            matrix, centre = patch_map(draw, locations.size, size, place, shown)
        else:
            matrix, centre = resize_map(draw, locations.size)
        weak = Weak(locations, matrix, centre, size, labels, None)
        return weak._replace(stored=self._one_by_one(weak)) if self.store.mapped else weak

    def _look_up(self, weak: Weak) -> Stored:
        lookup = look_up(weak.matrix, weak.centre, weak.locations.size, self.grids[weak.size], self.views.weak.plane)
        return self.store.read(weak.locations, lookup, weak.labels)

    def _one_by_one(self, weak: Weak) -> Stored:
        """As `_look_up`, in half the time on a CPU: the voxels of one item stay in its cache."""

        def item(k: int) -> Weak:
            one: Weak = tree_map_only(Tensor, lambda value: value[k : k + 1], weak)
            return one

        voxels, labels, inside = zip(*(self._look_up(item(k)) for k in range(len(weak.matrix))), strict=True)
        return Stored(torch.cat(voxels), torch.cat(labels) if weak.labels else None, torch.cat(inside))

    def _weak(self, weak: Weak) -> tuple[Tensor, Tensor | None]:
        """Images (B, C, *S), and labels (B, *S) if they are wanted."""
        stored = weak.stored or self._look_up(weak)
        return grey_values(stored, weak.locations), label_maps(stored) if stored.labels is not None else None


def to_device(drawn: Drawn, device: torch.device) -> Drawn:
    """Move what was drawn to the device; the host does not wait for the copy."""

    def move(value: Tensor) -> Tensor:
        return (value.pin_memory() if device.type == "cuda" else value).to(device, non_blocking=True)

    moved: Drawn = tree_map_only(Tensor, move, drawn)
    return moved


def _both(part: Tensor) -> Tensor:
    """Numbers of images (B,) -> numbers of their two strong views (2B,)."""
    return torch.stack([2 * part, 2 * part + 1], 1).flatten()
