"""A network that looks at its own features with parts dropped: they are decoded again and give further masks.

The encoder is not run again. Only what surrounds the mask is decoded again, within a share of the whole, so that a
prediction takes about half as long again.

Shapes: B images (slices or windows), K classes, *N an image as the network sees it.
Source: feature views are those of Zhao et al., "CrossMatch", IEEE JBHI 2024.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from crossmatch.inference.agreement import Views, entropy_of
from crossmatch.networks import Segmenter

# Voxels that are decoded again, as a share of the images'. Decoding is about 60 % of a pass of the phantoms' U-Net and
# V-Net, and small parts run slower than large ones: speed/quality.py measures what it comes to.
BUDGET = 0.7
WHOLE = 2  # decodings of everything, where a map is wanted
MARGIN = 8  # voxels around the mask that are decoded again with it; with 2, the cut changes masks more than the drops


class Box(NamedTuple):
    """A part that is cut out of an image; its size is given separately."""

    image: int
    start: tuple[int, ...]  # its first voxel


class FeatureViews(Views):
    """Watches the passes of one network.

    Single elements are dropped. Channels alternate between the rates, so that one decoding has features with weak and
    with strong dropout. The random numbers are the same in every call. Whole channels, as the methods drop them,
    give noisier estimates from as few decodings (docs/quality.md).

    Args:
        network: an encoder, a decoder and a head.
        rates: of the drops, weak and strong.
        whole: decode all of every image again, twice, whatever it takes; for maps of uncertainty.
    """

    def __init__(self, network: Segmenter, rates: Sequence[float], whole: bool = False) -> None:
        self.network, self.rates = network, rates
        self._factors: list[Tensor] = []
        super().__init__(network.classes, whole)

    def start(self) -> None:
        """Forget what was counted."""
        super().start()
        self._random = torch.Generator().manual_seed(0)  # of each scan anew: estimates do not depend on scans before
        self._pooled, self._images = torch.zeros(()), 0

    @property
    def names(self) -> list[str]:
        """The decodings, in words."""
        dropped = f"features dropped at {' and '.join(f'{rate:g}' for rate in self.rates)}"
        return ["plain", *[dropped] * (WHOLE if self.whole else 1)]

    def look(self, images: Tensor, flips: Sequence[tuple[int, ...]]) -> Tensor:
        """See `Views`. Single mirror images are compared with their mean, too."""
        features = self.network.encode(images)  # not mirrored
        single = [self.network.decode(features).float().softmax(1)]
        single += [self.network(images.flip(axes)).float().softmax(1).flip(axes) for axes in flips[1:]]
        mean = single[0] if len(single) == 1 else torch.stack(single).mean(0)
        entropy = self.see(features, mean, single if len(single) > 1 else ())
        return mean if entropy is None else torch.cat([mean, entropy], 1)

    def see(self, features: Sequence[Tensor], probabilities: Tensor, mirrored: Sequence[Tensor] = ()) -> Tensor | None:
        """Count one pass.

        Args:
            features: of the encoder, of images (B, C, *N), finest first.
            probabilities: (B, K, *N), float32, from which the mask is made.
            mirrored: (B, K, *N) each, of single mirror images, turned back.

        Returns:
            With `whole` the entropy of the mean of all decodings (B, 1, *N), 1 where all classes are alike; else None.
        """
        self._draw(features)
        labels = self.count_mask(probabilities)
        pooled = features[-1].float().flatten(2).mean(2).sum(0).cpu()
        self._pooled, self._images = self._pooled + pooled, self._images + len(labels)
        for number, one in enumerate(mirrored, start=1):
            self.count(number, one.max(1).indices, labels)
        if self.whole:
            everything = [Box(image, (0,) * (labels.ndim - 1)) for image in range(len(labels))]
            total = probabilities.clone()
            for _ in range(WHOLE):
                decoded = self._decode(features, everything, tuple(labels.shape[1:]))
                self.count(0, decoded.max(1).indices, labels)
                total += decoded
            return entropy_of(total / (1 + WHOLE), 1).unsqueeze(1)
        boxes, size = _boxes(labels, self.network.multiple)
        if boxes:
            most = max(1, int(BUDGET * len(labels) * labels[0].numel() / math.prod(size)))
            if most < len(boxes):
                voxels = (labels > 0).flatten(1).sum(1).tolist()
                boxes = sorted(boxes, key=lambda box: -voxels[box.image])[:most]
            found = self._decode(features, boxes, size).max(1).indices
            self.count(0, found, torch.stack([labels[box.image][_places(box, size)] for box in boxes]))
        return None

    def _features(self) -> Tensor:
        return (self._pooled / max(1, self._images)).double().reshape(-1)

    def _decode(self, features: Sequence[Tensor], boxes: Sequence[Box], size: tuple[int, ...]) -> Tensor:
        """Probabilities (boxes, K, *size) with parts of the features dropped."""
        dropped = []
        for whole, factors in zip(features, self._factors, strict=True):
            scale = [features[0].shape[axis] // whole.shape[axis] for axis in range(2, whole.ndim)]
            shape = [n // by for n, by in zip(size, scale, strict=True)]
            into = torch.empty(
                (len(boxes), whole.shape[1], *shape),
                dtype=whole.dtype,
                device=whole.device,
                memory_format=self.network.memory_format,
            )
            for one, box in zip(into, boxes, strict=True):
                cut = whole[box.image][(slice(None), *_places(box, size, scale))]
                torch.mul(cut, self._mask(cut, factors), out=one)
            dropped.append(into)
        return self.network.decode(dropped).float().softmax(1)

    def _mask(self, one: Tensor, factors: Tensor) -> Tensor:
        """What a feature map (C, *S) is multiplied with, from another place of `factors` (V, C) each time."""
        voxels = one[0].numel()
        first = int(torch.randint(len(factors) - voxels + 1, (1,), generator=self._random))
        return factors[first : first + voxels].view(*one.shape[1:], len(one)).movedim(-1, 0)

    def _draw(self, features: Sequence[Tensor]) -> None:
        """For each level factors (V, C): 0, or 1 / (1 - rate). Drawn once, for twice as many voxels as a map has."""
        if self._factors and len(self._factors[0]) == 2 * features[0][0, 0].numel():
            return
        random = torch.Generator().manual_seed(0)
        self._factors = []
        for one in features:
            rates = torch.tensor(self.rates).repeat(one.shape[1])[: one.shape[1]]
            kept = torch.rand(2 * one[0, 0].numel(), one.shape[1], generator=random) >= rates
            self._factors.append((kept / (1 - rates)).to(one))


def _boxes(labels: Tensor, multiple: int) -> tuple[list[Box], tuple[int, ...]]:
    """Boxes around the masks of label maps (B, *N), and their size: one for all, and a multiple on each axis."""
    space, shown = labels.shape[1:], labels > 0
    ends = []
    for axis in range(1, labels.ndim):
        line = shown.movedim(axis, 1).flatten(2).any(2)  # (B, n)
        ends.append(torch.stack([line.byte().argmax(1), line.shape[1] - line.flip(1).byte().argmax(1)], 1))
    there = shown.flatten(1).any(1)
    images: list[int] = torch.nonzero(there)[:, 0].tolist()
    if not images:
        return [], ()
    found = torch.stack(ends, 1)[there].cpu()  # (images, axes, 2)
    low = (found[..., 0] - MARGIN).clamp_min(0) // multiple * multiple
    high = -(-(found[..., 1] + MARGIN) // multiple) * multiple
    size = tuple(min(n, int(width)) for n, width in zip(space, (high - low).max(0).values, strict=True))
    starts = torch.minimum(low, torch.tensor(space) - torch.tensor(size)).tolist()
    return [Box(image, tuple(start)) for image, start in zip(images, starts, strict=True)], size


def _places(box: Box, size: tuple[int, ...], factors: Sequence[int] | None = None) -> tuple[slice, ...]:
    """Where a box lies in its image, or in a feature map that is smaller by a factor on each axis."""
    scaled = zip(box.start, size, factors or [1] * len(size), strict=True)
    return tuple(slice(start // factor, (start + n) // factor) for start, n, factor in scaled)
