"""Segment one scan at its own size, in its own order of axes: whole slices that are resized, or patches in windows.

Shapes: I items (slices of a scan, or the scan itself), C channels, K classes, *S a scan as stored or an item in the
dataset's frame, *N an item at the recipe's voxel size.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmatch.batches.intensity import Window, colour_windows, scale
from crossmatch.batches.items import from_items, stored_shape, to_items
from crossmatch.batches.resample import resize_maps, resize_rows
from crossmatch.dataset.orientation import UNTURNED, Frame, into_frame, inverse, turn_voxels
from crossmatch.errors import UserError
from crossmatch.formats import Volume
from crossmatch.inference.agreement import Views
from crossmatch.inference.windows import sliding_window
from crossmatch.networks import Segmenter
from crossmatch.networks.layers import resize_linear
from crossmatch.perturb.geometry import look_up, output_grid
from crossmatch.recipes.schema import Recipe

Resize = Callable[[Tensor, tuple[int, ...]], Tensor]  # (I, C, *S), *N -> (I, C, *N)


def check_voxels(voxels: NDArray[Any], origin: str) -> None:
    """Raise a UserError if one channel of a scan (*S) is constant or not finite; `origin` names it."""
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise UserError(
            f"{origin} has voxels that are NaN or infinite: replace them (for instance by 0), or leave it out."
        )
    if voxels.min() == voxels.max():
        raise UserError(f"{origin} is constant, every voxel is {voxels.flat[0]:g}: export it again, or leave it out.")


@dataclass(frozen=True)
class Predictor:
    """A network with all that is needed to segment a scan as it is stored."""

    network: Segmenter
    recipe: Recipe
    slice_axis: int  # in the frame
    device: torch.device
    flips: bool = False  # average over the mirror images in the plane that training flips in
    probabilities: bool = False  # return them too: 8 K bytes a voxel of memory
    fixed: Sequence[Window] = ()  # of data.normalise = "ct", one a channel of the network: see `ensemble.windows_of`
    frame: Frame | None = None  # of the training scans, see `orientation.py`; None: scans are taken as stored
    views: Views | None = None  # makes every pass, see `agreement.py`
    bf16: bool = False  # compute the network in bfloat16, not in float32

    @torch.inference_mode()
    def __call__(self, channels: Sequence[Volume], path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """Segment one scan.

        Args:
            channels: the scan as stored, one volume (*S) a channel.
            path: the scan's file, for messages.

        Returns:
            Labels (*S), uint8, and maps, float32, or None if none are wanted: probabilities (K, *S), and after them the
            uncertainty (1, *S) where `views` decode everything. Labels are the most probable classes at the scan's own
            size. Where the recipe resizes labels (the published ACDC protocol), they are those at the network's size,
            enlarged by nearest neighbour.

        Raises:
            UserError: a channel on another grid than the first, or a scan that does not suit the recipe.
        """
        channels, turn = into_frame(channels, self.frame, path)
        first, axis, data = channels[0], self.slice_axis, self.recipe.data
        shape = to_items(first.voxels, self.recipe.dims, axis, path).shape
        fixed = self.fixed or colour_windows([one.voxels for one in channels], data.normalise)
        images = torch.empty(shape[0], max(len(channels), len(fixed)), *shape[1:])
        for k in range(images.shape[1]):
            scaled = scale(channels[k % len(channels)].voxels, data.normalise, fixed[k] if fixed else None)
            images[:, k] = torch.from_numpy(to_items(scaled, self.recipe.dims, axis, path))
            del scaled
        labels = np.empty(shape, np.uint8)
        count = len(range(self._classes_and_uncertainty)[self._wanted])
        maps = np.empty((count, *labels.shape), np.float32) if count else None
        if data.sampling == "patch":
            _, *size = stored_shape(first.shape, first.spacing_mm, data.spacing_mm, self.recipe.dims, axis, path)
            for k in range(len(labels)):
                self._windows(images[k], tuple(size), labels[k], None if maps is None else maps[:, k])
        else:
            for start in range(0, len(labels), self.recipe.predict.batch):
                part = slice(start, start + self.recipe.predict.batch)
                label, probability = self._resized(images[part])
                labels[part] = label.numpy()
                if maps is not None and probability is not None:
                    maps[:, part] = probability.numpy().swapaxes(0, 1)
        back = inverse(turn)
        whole = turn_voxels(from_items(labels, len(first.shape), axis), back).astype(np.uint8, copy=False)
        if turn != UNTURNED:
            whole = np.asfortranarray(whole)  # no view with negative steps, which torch does not take
        if maps is None:
            return whole, None
        turned = [turn_voxels(from_items(maps[k], len(first.shape), axis), back) for k in range(len(maps))]
        return whole, np.stack(turned, dtype=np.float32)

    def _windows(
        self, image: Tensor, size: tuple[int, ...], labels: NDArray[np.uint8], maps: NDArray[np.float32] | None
    ) -> None:
        """Segment one item (C, *S) by sliding windows, into `labels` (*S) and `maps` (K, *S)."""
        native, data = tuple(image.shape[1:]), self.recipe.data
        image = image.to(self.device)
        if size != native:
            image = resize_maps(image.unsqueeze(0), size)[0]
        settings = self.recipe.predict
        found = sliding_window(self._average_flips, image, data.size, settings.stride, settings.batch)
        if size != native:  # the maps of a whole scan at its own size would need 4 K bytes a voxel
            found = resize_rows(found, size[0], native)
        for rows, values in found:
            labels[rows] = _most_probable(values[: self.network.classes], 0).to("cpu", torch.uint8).numpy()
            if maps is not None:
                maps[:, rows] = values[self._wanted].cpu().numpy()
            del values  # before the next are made

    def _resized(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """(I, C, *S) -> labels (I, *S) uint8 and the wanted maps (I, M, *S), on the CPU."""
        images, native = images.to(self.device), tuple(images.shape[2:])
        at_borders = self.recipe.data.interpolation == "linear"  # both grids coincide there; else at outer centres
        reduce: Resize = resize_maps if at_borders else _resize_nearest
        enlarge: Resize = resize_maps if at_borders else resize_linear
        small = self._average_flips(reduce(images, self.recipe.data.size))
        by_label, classes = self.recipe.predict.resize == "labels", self.network.classes
        some = bool(range(self._classes_and_uncertainty)[self._wanted])
        full = None if by_label and not some else enlarge(small, native)
        if by_label:
            label = _enlarge_labels(_most_probable(small[:, :classes], 1).unsqueeze(1), native).squeeze(1)
        else:
            assert full is not None
            label = _most_probable(full[:, :classes], 1)
        wanted = full[:, self._wanted].cpu() if full is not None and some else None
        return label.to("cpu", torch.uint8), wanted

    def _average_flips(self, images: Tensor) -> Tensor:
        """(B, C, *N) -> probabilities (B, K, *N), float32."""
        plane = [2 + axis for axis in self.recipe.views.weak.plane]
        subsets = itertools.chain.from_iterable(itertools.combinations(plane, n) for n in range(3))
        flips = list(subsets) if self.flips else [()]
        total = torch.zeros(())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            if self.views is not None:
                return self.views.look(images, flips)
            for axes in flips:
                total = total.to(images.device) + self.network(images.flip(axes)).float().softmax(1).flip(axes)
        return total / len(flips)

    @property
    def _classes_and_uncertainty(self) -> int:
        """Maps that a pass gives."""
        return self.network.classes + (self.views is not None and self.views.whole)

    @property
    def _wanted(self) -> slice:
        """Those of them that are returned."""
        return slice(0 if self.probabilities else self.network.classes, self._classes_and_uncertainty)


def _most_probable(maps: Tensor, axis: int) -> Tensor:
    """The class with the greatest value along the axis of K, the first of equal ones; the axis is dropped.

    Not by `argmax`, which takes ten times as long on CPUs where K is not the last axis (PyTorch 2.13).
    """
    return maps.max(axis).indices


def _resize_nearest(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """(I, C, *S) -> (I, C, *size) by order 0, on the grid that training looks images up on."""
    native = torch.tensor([images.shape[2:]], device=images.device)
    centre = (native.float() - 1) / 2
    lookup = look_up(torch.diag_embed(centre), centre, native, output_grid(size, images.device))
    return images.flatten(2)[:, :, lookup.source[0]]


def _enlarge_labels(labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """(I, 1, *S) -> (I, 1, *size) by order 0, in the arithmetic of SciPy's zoom: half-way positions round as there."""
    for axis, n in enumerate(size, start=2):
        step = (labels.shape[axis] - 1) / max(n - 1, 1)
        nearest = (torch.arange(n, dtype=torch.float64) * step + 0.5).floor().long()
        labels = labels.index_select(axis, nearest.to(labels.device))
    return labels
