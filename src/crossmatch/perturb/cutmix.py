"""CutMix boxes: where a partner's image and pseudo-label replace one's own.

Shapes: B batch, D spatial axes, *S space. Source: released code github.com/AiEson/CrossMatch, commit 59772e0 (after
UniMatch): volume share U(0.02, 0.4), aspect U(0.3, 1 / 0.3), drawn anew until the box lies within the image.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from crossmatch.perturb.geometry import Probability
from crossmatch.settings import Settings

CANDIDATES = 64  # boxes drawn at once, the first that fits is taken; none fits in 1 of 10,000 draws at share 0.4


class CutMixSettings(Settings):
    """Released constants."""

    probability: Probability = 0.5
    share: tuple[Probability, Probability] = (0.02, 0.4)  # of the image's area or volume
    aspect: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.3, 1 / 0.3)


def draw_boxes(
    settings: CutMixSettings, count: int, size: tuple[int, ...], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw `count` boxes in images of `size` voxels; first and last-but-one corner, (count, D) int64 each.

    With V the box's volume and r its aspect, the edges are (V / r)^(1/D), (V r)^(1/D) and V^(1/D) on all further axes.
    A box that is not drawn (probability) is empty. If no candidate fits, the first is cut off at the image's border.
    """
    dims, extent = len(size), torch.tensor(size)
    chance, share = torch.rand(2, count, generator=generator)
    volume = (settings.share[0] + (settings.share[1] - settings.share[0]) * share) * extent.prod()
    aspect_and_place = torch.rand(1 + dims, count, CANDIDATES, generator=generator)
    aspect = settings.aspect[0] + (settings.aspect[1] - settings.aspect[0]) * aspect_and_place[0]
    stretch = torch.stack([1 / aspect, aspect, *[torch.ones_like(aspect)] * (dims - 2)], -1)
    edges = ((volume.view(-1, 1, 1) * stretch) ** (1 / dims)).long()
    start = (aspect_and_place[1:].movedim(0, -1) * extent).long()
    fits = (start + edges <= extent).all(-1)
    chosen = fits.long().argmax(1).view(-1, 1, 1).expand(-1, 1, dims)
    start, edges = start.gather(1, chosen).squeeze(1), edges.gather(1, chosen).squeeze(1)
    drawn = (chance < settings.probability).unsqueeze(1)
    return start, torch.where(drawn, torch.minimum(start + edges, extent), start)


def box_mask(start: Tensor, stop: Tensor, size: tuple[int, ...]) -> Tensor:
    """Corners (B, D) -> bool (B, *size), True from `start` to before `stop`."""
    mask = torch.ones(len(start), *size, dtype=torch.bool, device=start.device)
    for axis, length in enumerate(size):
        position = torch.arange(length, device=start.device)
        within = (position >= start[:, axis, None]) & (position < stop[:, axis, None])
        mask &= within.view(len(start), *[1] * axis, length, *[1] * (len(size) - axis - 1))
    return mask
