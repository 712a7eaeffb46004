"""Resamples scans to another voxel size: images by averaging and linear interpolation, labels by nearest neighbour.

The old and the new grid cover the same space: their outer voxel borders coincide.

Shapes: *S and *N are the voxels along each axis, old and new; two or three axes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Rows = tuple[slice, Tensor]  # some rows of the first axis, and what lies there: (C, rows, ...)

_COLUMNS = 16  # at least so many in a product: of fewer, MKL adds in another order and rounds otherwise
_SLAB = 2**25  # values of the maps that `resize_rows` makes at a time: 128 MiB


def new_size(shape: Sequence[int], spacing_mm: Sequence[float], wanted_mm: Sequence[float]) -> tuple[int, ...]:
    """Voxels along each axis (*N), at least 1, that cover the space of `shape` at a spacing near `wanted_mm`.

    >>> new_size(shape=(300, 300, 10), spacing_mm=(1, 1, 8), wanted_mm=(1.5, 1.5, 2))
    (200, 200, 40)
    """
    axes = zip(shape, spacing_mm, wanted_mm, strict=True)
    return tuple(max(1, round(n * old / new)) for n, old, new in axes)


def new_affine(affine: NDArray[Any], shape: Sequence[int], size: Sequence[int]) -> NDArray[np.float64]:
    """The affine (4, 4) of the new grid: scaled steps, and the first voxel's centre moved with its size."""
    scale = np.ones(3)
    scale[: len(shape)] = np.array(shape) / np.array(size)
    moved = np.array(affine, dtype=np.float64)
    moved[:3, :3] = moved[:3, :3] * scale
    moved[:3, 3] = affine[:3, 3] + affine[:3, :3] @ ((scale - 1) / 2)
    return moved


def resize_image(image: NDArray[Any], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Grey values (*S) -> float32 (*N): means over the voxel where an axis shrinks, linear where it grows."""
    return resize_maps(torch.from_numpy(image.astype(np.float32))[None, None], size)[0, 0].numpy()


def resize_labels(label: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """Labels (*S) -> (*N), the label at each new voxel's centre, in the type they came in."""
    for axis, n in enumerate(size):
        centre = (np.arange(n) + 0.5) * (label.shape[axis] / n)
        label = np.take(label, np.floor(centre).astype(np.intp), axis=axis)
    return label


def resize_maps(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """(B, C, *S) float32 -> (B, C, *N), computed as `resize_image` does, on the device of the maps."""
    for axis, n in enumerate(size, start=2):
        if maps.shape[axis] != n:
            weights = _weights(maps.shape[axis], n).to(maps.device)
            maps = (maps.movedim(axis, -1) @ weights).movedim(-1, axis)
    return maps


def resize_rows(chunks: Iterable[Rows], old: int, size: Sequence[int]) -> Iterator[Rows]:
    """Maps at another size, a slab of the first axis at a time, as soon as the rows that it needs are there.

    Neither the old nor the new maps are ever held whole.

    Args:
        chunks: (rows, maps (C, rows, ...)) from the first of `old` rows to the last, without a gap.
        old: rows in all; size: *N.

    Yields:
        (rows, maps (C, rows, *N[1:])), computed as `resize_maps` does.
    """
    weights = _weights(old, size[0])
    used = (weights > 0).int()
    first, end = used.argmax(0).tolist(), (old - used.flip(0).argmax(0)).tolist()  # of the old rows for each new one
    held: Tensor | None = None
    begin = done = 0  # the first old row that is held, and the first new row that is not made
    for rows, maps in chunks:
        held = maps if held is None else torch.cat([held, maps], 1)
        del maps
        thick = max(1, _SLAB // (len(held) * math.prod(size[1:])))
        while done < size[0] and end[done] <= rows.stop:
            stop = done + 1
            while stop < min(done + thick, size[0]) and end[stop] <= rows.stop:
                stop += 1
            part = slice(first[done], end[stop - 1])
            share = functional.pad(weights[part, done:stop], (0, max(0, _COLUMNS - (stop - done)))).to(held.device)
            slab = (held[:, part.start - begin : part.stop - begin].movedim(1, -1) @ share)[..., : stop - done]
            yield slice(done, stop), resize_maps(slab.movedim(-1, 1)[None], (stop - done, *size[1:]))[0]
            done = stop
        if done < size[0]:
            held, begin = held[:, first[done] - begin :].clone(), first[done]


def _weights(old: int, new: int) -> Tensor:
    """(old, new): column j holds the shares of the old voxels in the new voxel j, along one axis."""
    step = old / new
    voxel, centre = torch.arange(old).unsqueeze(1).double(), (torch.arange(new) + 0.5) * step - 0.5
    if step > 1:  # the part of each old voxel that the new one covers
        weights = (0.5 + step / 2 - (voxel - centre).abs()).clamp(0, 1)
    else:  # linear between the two nearest centres, constant beyond the outermost
        weights = (1 - (voxel - centre.clamp(0, old - 1)).abs()).clamp(min=0)
    return (weights / weights.sum(0)).float()
