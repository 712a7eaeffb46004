"""Signed distance maps of masks, computed exactly on the device: what a distance head learns (DTC, SASSNet).

Shapes: B batch, C channels, *S space; one mask a channel and image, each on its own.
"""

import torch
from torch import Tensor

# Numbers that are compared at a time: what a CPU's cache holds, and enough to keep a GPU busy (0.5 GB).
PIECE = {"cpu": 2**19}
LARGE_PIECE = 2**27


@torch.no_grad()
def squared_distance(mask: Tensor) -> Tensor:
    """Squared Euclidean distance of every voxel to the nearest voxel outside the mask; 0 outside.

    One axis after the other, d(i) = min over j of d(j) + (i - j)^2, with every pair of voxels of a line tried: exact,
    and with shapes known beforehand.

    Args:
        mask: bool (B, C, *S).

    Returns:
        float32 (B, C, *S), in voxels squared. Where a mask has no outside: one number, above any distance in the image.
    """
    squared = mask * float(sum(length**2 for length in mask.shape[2:]))
    for axis in range(2, mask.ndim):
        length = mask.shape[axis]
        place = torch.arange(length, device=mask.device, dtype=torch.float32)
        steps = (place - place.unsqueeze(1)).square()
        lines = squared.movedim(axis, -1)
        at_once = max(1, PIECE.get(mask.device.type, LARGE_PIECE) // length**2)
        pieces = torch.split(lines.reshape(-1, length), at_once)
        nearest = torch.cat([(piece.unsqueeze(1) + steps).amin(-1) for piece in pieces])
        squared = nearest.view(lines.shape).movedim(-1, axis)
    return squared


@torch.no_grad()
def signed_distance(mask: Tensor) -> Tensor:
    """Distance to the boundary: from -1, deepest inside a mask, over 0 on its boundary to 1, farthest outside.

    Inside: minus the distance to the background, over its maximum in this image. Outside: the distance to the mask,
    over its maximum. 0 on the boundary: voxels of the mask with a face neighbour in the background. The image's edge is
    no boundary. An empty mask is 1 everywhere and a full one -1 (released: 0 and NaN).

    Source: Luo et al., "Semi-supervised Medical Image Segmentation through Dual-task Consistency", AAAI 2021; released
    code github.com/HiLab-git/DTC, commit 2525b9c, code/utils/util.py, which leaves the device for SciPy.

    Args:
        mask: bool (B, C, *S).

    Returns:
        float32 (B, C, *S), without unit.
    """
    space = tuple(range(2, mask.ndim))
    inside, outside = squared_distance(mask), squared_distance(~mask)
    depth, height = inside.sqrt(), outside.sqrt()
    depth = depth / depth.amax(space, keepdim=True).clamp(min=1)  # 0 for an empty mask, 1 for a full one
    height = height / height.amax(space, keepdim=True).clamp(min=1)
    return (height - depth).masked_fill(inside == 1, 0.0)
