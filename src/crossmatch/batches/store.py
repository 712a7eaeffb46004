"""The voxels that a run trains on, in one flat tensor: on the device if they fit, else in a mapped file.

They are integers, or float32 where a scan needs more levels, see `reading.py`.

Shapes: I items (see `items.py`), C channels, D spatial axes, N voxels in all; B items of a batch, *S a view's size.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crossmatch.batches.ahead import WORKERS, Prefetch
from crossmatch.batches.intensity import Normalise, Window, are_colours
from crossmatch.batches.reading import Reading, StoredItems
from crossmatch.batches.writer import Writer
from crossmatch.dataset.dataset import Case
from crossmatch.dataset.layout import IGNORE
from crossmatch.dataset.orientation import Frame
from crossmatch.errors import UserError
from crossmatch.perturb.geometry import Lookup

CHUNK = 2**24  # label voxels looked at together


class Locations(NamedTuple):
    """Where B items lie in a store, and how their stored integers are scaled: a few numbers for each item."""

    offset: Tensor  # (B, C) int64, first voxel of each channel
    label_offset: Tensor  # (B,) int64, -1 where the item has no label
    size: Tensor  # (B, D) int64
    zero: Tensor  # (B, C) float32, as the next three; see `Store`
    factor: Tensor
    low: Tensor
    high: Tensor


class Stored(NamedTuple):
    """Voxels and labels that were looked up for B views."""

    voxels: Tensor  # (B, C, *S) int16, or float32
    labels: Tensor | None  # (B, *S) uint8
    inside: Tensor  # (B, *S) bool, False where the view reaches beyond the item


@dataclass(frozen=True)
class Store:
    """Voxels and labels of all items, and where each item lies. Positions stay on the CPU, where views are drawn."""

    voxels: Tensor  # (N,) int16 or float32
    labels: Tensor  # (M,) uint8, of the labelled items only
    offset: Tensor  # (I,) int64, first voxel of the item's first channel
    channel_stride: Tensor  # (I,) int64, voxels from one channel to the next
    label_offset: Tensor  # (I,) int64, -1 where the item has no label
    size: Tensor  # (I, D) int64
    zero: Tensor  # (I, C) float32, stored integer that becomes 0
    factor: Tensor  # (I, C) float32, 1 / unit in stored integers
    low: Tensor  # (I, C) float32, the lowest grey value that the network sees, 0 if values are scaled to [0, 1]
    high: Tensor  # (I, C) float32, the highest one, 1 then
    labelled: Tensor  # item numbers
    unlabelled: Tensor  # item numbers

    classes: int = 256  # K, with background: a voxel of this label is one to be ignored
    mapped: bool = False  # voxels lie in a file: the host looks them up, whichever device computes
    colours: bool = False  # the channels are red, green and blue in [0, 1]

    @cached_property
    def label_counts(self) -> Tensor:
        """Voxels of each label value, (256,) int64, on the CPU. Counted in parts, which needs little memory."""
        parts = torch.split(self.labels, CHUNK)
        return torch.stack([torch.bincount(part.cpu(), minlength=256) for part in parts]).sum(0)

    def locate(self, items: Tensor) -> Locations:
        """Where some items lie, on the CPU."""
        channel = torch.arange(self.zero.shape[1]) * self.channel_stride[items, None]
        return Locations(
            offset=self.offset[items, None] + channel,
            label_offset=self.label_offset[items],
            size=self.size[items],
            zero=self.zero[items],
            factor=self.factor[items],
            low=self.low[items],
            high=self.high[items],
        )

    def read(self, locations: Locations, lookup: Lookup, labels: bool) -> Stored:
        """Look up voxels, and labels if they are wanted, on the device of the voxels."""
        extra = [1] * (lookup.source.ndim - 1)
        offset, label_offset = (
            locations.offset.view(*locations.offset.shape, *extra),
            locations.label_offset.view(-1, *extra),
        )
        return Stored(
            voxels=torch.take(self.voxels, lookup.source.unsqueeze(1) + offset),
            labels=torch.take(self.labels, lookup.source + label_offset) if labels else None,
            inside=lookup.inside,
        )


def grey_values(stored: Stored, locations: Locations) -> Tensor:
    """Images (B, C, *S) with grey values scaled as `intensity.scale` does; 0 outside the item."""
    extra = [1] * (stored.inside.ndim - 1)
    zero, factor, low, high = (value.view(*value.shape, *extra) for value in locations[3:])
    image = ((stored.voxels.float() - zero) * factor).clamp(low, high)
    return image * stored.inside.unsqueeze(1)


def label_maps(stored: Stored) -> Tensor:
    """Labels (B, *S) int64, background outside the item."""
    assert stored.labels is not None
    return (stored.labels * stored.inside).long()


def load_store(
    labelled: Sequence[Case],
    unlabelled: Sequence[Case],
    *,
    dims: int,
    slice_axis: int,
    normalise: Normalise,
    labels: Mapping[str, int] | None = None,
    fixed: Sequence[Window] = (),
    spacing_mm: Sequence[float] = (),
    size: tuple[int, ...] = (),
    frame: Frame | None = None,
    device: torch.device,
    memory_map: Path | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Store:
    """Read every case once.

    Args:
        labelled, unlabelled: training cases; only labels of the labelled ones are opened.
        dims: 2 cuts volumes into slices along `slice_axis`; 3 takes them whole.
        normalise: see `intensity.py`; fixed: the windows of ``ct``, one a channel.
        labels: name -> value of all that label files may hold, see `Dataset.drawn`.
        spacing_mm: voxel size that items are resampled to; size: voxels that they are resized to, whatever their own
            size; both empty: as stored. With a size, cases are read in threads.
        frame: of the dataset, see `orientation.py`; None: the axes of scans stay as stored.
        device: where the voxels go if `memory_map` is None.
        memory_map: a file that holds the voxels; the labels go into a second one beside it.
        progress: called after each case.

    Raises:
        UserError: a file cannot be read, has fewer axes than the recipe, or does not state a voxel size that is needed;
            a channel or label lies on another grid than the first channel.
    """
    label_map = memory_map and memory_map.with_suffix(f".labels{memory_map.suffix}")
    read = Reading(dims, slice_axis, normalise, labels, fixed, spacing_mm, frame, size)
    both = [*labelled, *unlabelled]
    rows: list[tuple[int, int, int, tuple[int, ...]]] = []  # of a case: items, first voxel, first label, item's size
    windows: list[Sequence[Window]] = []

    def items_of(number: int) -> StoredItems:
        return read(both[number], with_label=number < len(labelled))

    with ExitStack() as stack:
        items_in_order: Callable[[int], StoredItems] = items_of
        writer = stack.enter_context(Writer(memory_map, np.int16))
        label_writer = stack.enter_context(Writer(label_map, np.uint8))
        if size:  # what is kept is small, so that several can wait
            items_in_order = stack.enter_context(Prefetch(items_of, len(both), min(WORKERS, os.cpu_count() or 1)))
        for number in range(len(both)):
            items = items_in_order(number)
            start = writer.append(items.voxels)
            label_start = -1 if items.label is None else label_writer.append(items.label)
            rows.append((items.voxels.shape[1], start, label_start, items.voxels.shape[2:]))
            windows.append(items.windows)
            del items  # before the next are read
            progress()
        if not rows:
            raise UserError("There is no training case to load: check splits/train.txt and the labelled subset.")
        voxels, label_voxels = writer.finish(device), label_writer.finish(device)
    counts, starts, label_starts, sizes = (torch.tensor(column) for column in zip(*rows, strict=True))
    case_of = torch.repeat_interleave(torch.arange(len(rows)), counts)  # (I,)
    before = (torch.arange(len(case_of)) - (counts.cumsum(0) - counts)[case_of]) * sizes.prod(1)[case_of]
    low, high, zero, unit = torch.tensor(windows, dtype=torch.float64)[case_of].unbind(-1)  # (I, C)
    labelled_items = int(counts[: len(labelled)].sum())
    return Store(
        voxels=voxels,
        labels=label_voxels,
        offset=starts[case_of] + before,
        channel_stride=(counts * sizes.prod(1))[case_of],
        label_offset=torch.where(label_starts[case_of] < 0, -1, label_starts[case_of] + before),
        size=sizes[case_of],
        zero=zero.float(),
        factor=(1 / unit).float(),
        low=((low - zero) / unit).float(),
        high=((high - zero) / unit).float(),
        labelled=torch.arange(labelled_items),
        unlabelled=torch.arange(labelled_items, len(case_of)),
        classes=256 if labels is None else len(labels) - (IGNORE in labels),
        mapped=memory_map is not None,
        colours=are_colours(normalise, low.shape[1]),
    )


def voxel_bytes(shapes: Iterable[tuple[int, ...]], channels: int, wide: bool = False) -> int:
    """The bytes that the voxels of scans of these shapes take in a store; `wide`: as float32."""
    return sum((4 if wide else 2) * channels * int(np.prod(shape)) for shape in shapes)
