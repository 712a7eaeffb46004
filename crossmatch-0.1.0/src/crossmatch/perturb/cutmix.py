"""CutMix boxes: where the image and pseudo-label of a partner replace those of an image.

Shapes: B batch, D spatial axes, *S space. Source: released code github.com/AiEson/CrossMatch, commit 59772e0 (after
UniMatch): volume share U(0.02, 0.4), aspect U(0.3, 1 / 0.3), drawn again until the box lies within the image.
"""

from typing import Annotated

import torch
from torch import Tensor

from crossmatch.settings import Fraction, LowerFirst, Positive, Settings

CANDIDATES = 64  # aspects drawn at once for each box


class CutMixSettings(Settings):
    """The boxes that a strong view takes from its partner. The defaults are the released constants."""

    probability: Fraction = 0.5
    """How often a strong view gets a box from its partner."""
    share: Annotated[tuple[Fraction, Fraction], LowerFirst] = (0.02, 0.4)
    """Share of the image's area or volume that the box covers."""
    aspect: Annotated[tuple[Positive, Positive], LowerFirst] = (0.3, 1 / 0.3)
    """r of the first two edges, (V / r)^(1/D) and (V r)^(1/D), of a box of volume V on D axes."""


def draw_boxes(
    settings: CutMixSettings, count: int, size: tuple[int, ...], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw `count` boxes in images of `size` voxels; first and last-but-one corner, (count, D) int64 each.

    A box of volume V and aspect r has the edges (V / r)^(1/D) and (V r)^(1/D), and V^(1/D) on all further axes.
    The released code draws r and a place again until the box fits. The same distribution comes from drawing r in
    proportion to the number of places where the box fits, and then one of these places. That is done here. A box that
    is not drawn is empty. A box that fits with no aspect is cut to the image.
    """
    dims, extent = len(size), torch.tensor(size)
    chance, share, pick = torch.rand(3, count, generator=generator)
    aspect, place = torch.rand(count, CANDIDATES, generator=generator), torch.rand(count, dims, generator=generator)
    volume = (settings.share[0] + (settings.share[1] - settings.share[0]) * share) * extent.prod()
    aspect = settings.aspect[0] + (settings.aspect[1] - settings.aspect[0]) * aspect
    stretch = torch.stack([1 / aspect, aspect, *[torch.ones_like(aspect)] * (dims - 2)], -1)
    edges = ((volume.view(-1, 1, 1) * stretch) ** (1 / dims)).long()
    places = (extent - edges + 1).clamp(min=0).double().prod(-1).cumsum(1)
    chosen = (places > pick.unsqueeze(1) * places[:, -1:]).long().argmax(1)
    edges = torch.minimum(edges[torch.arange(count), chosen], extent)
    start = (place * (extent - edges + 1)).long()
    drawn = (chance < settings.probability).unsqueeze(1)
    return start, torch.where(drawn, start + edges, start)


def box_mask(start: Tensor, stop: Tensor, size: tuple[int, ...]) -> Tensor:
    """Corners (B, D) -> bool (B, *size), True from `start` to before `stop`."""
    mask = torch.ones(len(start), *size, dtype=torch.bool, device=start.device)
    for axis, length in enumerate(size):
        position = torch.arange(length, device=start.device)
        within = (position >= start[:, axis, None]) & (position < stop[:, axis, None])
        mask &= within.view(len(start), *[1] * axis, length, *[1] * (len(size) - axis - 1))
    return mask
