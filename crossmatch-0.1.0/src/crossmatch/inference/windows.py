"""Sliding windows: predict a scan that is larger than the patch, and average the windows where they overlap.

Shapes: C channels, K classes, *S the scan, *P the patch, W windows at a time. Two or three axes.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

# Width of the Gaussian weights in patches, chosen on validation cases of six short trainings, where on average 1/8
# (Isensee et al., nnU-Net, Nature Methods 18, 2021) did worse (docs/results/inference/windows_validation.json).
SIGMA_SHARE = 1 / 2


def window_starts(size: int, patch: int, step: int) -> list[int]:
    """First voxels of the windows along one axis: every `step` voxels, the last one moved back to end with the axis.

    >>> window_starts(size=10, patch=4, step=4)
    [0, 4, 6]
    """
    count = -(-(size - patch) // step) + 1
    return [min(k * step, size - patch) for k in range(count)]


def even_starts(size: int, patch: int, step: int) -> list[int]:
    """First voxels of windows at even distances along one axis: as few as possible, at most `step` apart.

    >>> even_starts(size=10, patch=4, step=4)
    [0, 3, 6]
    """
    gaps = -(-(size - patch) // step)
    return [k * (size - patch) // max(1, gaps) for k in range(gaps + 1)]


def even_stride(size: Sequence[int], patch: Sequence[int]) -> list[int]:
    """Half of the patch, and a third of it along the axis with most patches, where an additional window helps most."""
    longest = max(range(len(patch)), key=lambda axis: size[axis] / patch[axis])
    return [max(1, p // (3 if axis == longest else 2)) for axis, p in enumerate(patch)]


def sliding_window(
    probabilities: Callable[[Tensor], Tensor],
    image: Tensor,
    patch: Sequence[int],
    stride: Sequence[int] | Literal["even"],
    batch: int,
) -> Iterator[tuple[slice, Tensor]]:
    """Average a network's probabilities over windows, from the first axis' first rows to its last.

    Rows are yielded as soon as no later window covers them. The sums then need the memory of one patch's thickness,
    K * P * (the other axes), not of the whole scan. Weights are products of one factor an axis, and the windows lie on
    a grid. The sum of weights at a voxel is therefore such a product too, and needs no volume.

    Args:
        probabilities: (W, C, *P) -> (W, K, *P).
        image: (C, *S) on the device that computes; an axis shorter than the patch is padded with 0 on both sides.
        patch: *P; stride: voxels from window to window on each axis, the last one moved back to end with the scan, and
            every window counting alike (the published protocols). ``even`` lays them evenly, `even_stride` apart or
            less, with Gaussian weights, which trust the middle of a window most.
        batch: W, windows at a time.

    Yields:
        (rows, values): a slice of the first axis of *S, and its probabilities (K, rows, ...), on the image's device.
    """
    size = tuple(image.shape[1:])
    before = [max(p - n, 0) // 2 for n, p in zip(size, patch, strict=True)]
    after = [max(p - n, 0) - b for n, p, b in zip(size, patch, before, strict=True)]
    if any(after):
        image = functional.pad(image, [n for pair in reversed(list(zip(before, after, strict=True))) for n in pair])
    shape = image.shape[1:]
    if stride == "even":
        axes = zip(shape, patch, even_stride(shape, patch), strict=True)
        starts = [even_starts(n, p, step) for n, p, step in axes]
    else:
        starts = [window_starts(n, p, step) for n, p, step in zip(shape, patch, stride, strict=True)]
    factors = [window_weights(p, gaussian=stride == "even").to(image.device) for p in patch]
    sums = [_sums(n, begin, factor) for n, begin, factor in zip(shape, starts, factors, strict=True)]
    weight = _product(factors)
    within = tuple(slice(b, b + n) for b, n in zip(before, size, strict=True))  # the scan within its padding
    thick, places = patch[0], list(itertools.product(*starts[1:]))
    total: Tensor | None = None
    for row, following in zip(starts[0], [*starts[0][1:], image.shape[1]], strict=True):
        slab = image[:, row : row + thick]
        for first in range(0, len(places), batch):
            windows = [
                (slice(None), *(slice(s, s + p) for s, p in zip(place, patch[1:], strict=True)))
                for place in places[first : first + batch]
            ]
            found = probabilities(torch.stack([slab[(slice(None), *window)] for window in windows])) * weight
            if total is None:
                total = found.new_zeros(found.shape[1], thick, *image.shape[2:])
            for window, values in zip(windows, found, strict=True):
                total[(slice(None), *window)] += values
        assert total is not None
        ready = min(following - row, thick)
        counted = _product([sums[0][row : row + ready], *sums[1:]])
        low, high = max(row, within[0].start), min(row + ready, within[0].stop)
        if low < high:
            inner = (slice(None), slice(low - row, high - row), *within[1:])
            yield slice(low - before[0], high - before[0]), (total[:, :ready] / counted)[inner]
        total[:, : thick - ready] = total[:, ready:].clone()
        total[:, thick - ready :] = 0


def window_weights(n: int, gaussian: bool) -> Tensor:
    """(n,) weights along one axis of a window; a voxel's weight is the product of those along all axes."""
    if not gaussian:
        return torch.ones(n)
    position = torch.arange(n) - (n - 1) / 2
    return torch.exp(-0.5 * (position / (n * SIGMA_SHARE)) ** 2)


def _sums(size: int, starts: Sequence[int], factor: Tensor) -> Tensor:
    """(size,) weights of all windows along one axis added up."""
    total = factor.new_zeros(size)
    for start in starts:
        total[start : start + len(factor)] += factor
    return total


def _product(factors: Sequence[Tensor]) -> Tensor:
    """Outer product of one vector an axis."""
    product = factors[0]
    for factor in factors[1:]:
        product = product.unsqueeze(-1) * factor
    return product
