"""Rotation, scaling and mirroring about the centre, for images and label maps that have the network's size already.

Shapes: B batch, C channels, D spatial axes, *S space, P = D (D - 1) / 2 planes of two axes: one in 2D, three in 3D.
Offsets are in voxels, not in mm. Images are interpolated, unlike in the weak view (`geometry`): rounding to voxels a
second time would show.
"""

import functools
import itertools
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def turn(angle: Tensor, plane: tuple[int, int], dims: int) -> Tensor:
    """Angles (B,) in radians -> rotation matrices (B, D, D) that take the plane's first axis towards the second."""
    matrix, (first, second) = torch.eye(dims, device=angle.device, dtype=angle.dtype).repeat(len(angle), 1, 1), plane
    matrix[:, first, first] = matrix[:, second, second] = angle.cos()
    matrix[:, first, second] = -angle.sin()
    matrix[:, second, first] = angle.sin()
    return matrix


def rotation_matrix(angle: Tensor, dims: int) -> Tensor:
    """Angles (B, P) in radians -> matrices (B, D, D): rotations in the planes (0, 1), (0, 2), (1, 2), last first."""
    planes = itertools.combinations(range(dims), 2)
    # in float64, as autocast would multiply in bfloat16; Apple's GPUs have no float64, and train in float32
    exact = angle.float() if angle.device.type == "mps" else angle.double()
    turns = [turn(one, plane, dims) for one, plane in zip(exact.unbind(1), planes, strict=True)]
    return functools.reduce(torch.matmul, turns).float()


def move(image: Tensor, matrix: Tensor, mode: Literal["bilinear", "nearest"]) -> Tensor:
    """Read every voxel of (B, C, *S) at `matrix` (B, D, D) times its offset to the centre; 0 comes in from outside.

    Args:
        mode: "bilinear" interpolates along all axes of an image, "nearest" keeps labels (below 2^24) what they are.

    Returns:
        Same shape and dtype; bit for bit the same where the matrix is the identity.
    """
    sizes = image.shape[2:]
    rows = [[matrix[:, i, j] * (to / own) for j, to in enumerate(sizes)] for i, own in enumerate(sizes)]
    relative = torch.stack([torch.stack(row, 1) for row in rows], 1)  # between coordinates from -1 to 1 on each axis
    backwards = relative.flip(1, 2)  # affine_grid counts axes from the last
    theta = torch.cat([backwards, torch.zeros_like(backwards[:, :, :1])], 2)
    grid = affine_grid(theta, list(image.shape), align_corners=False)
    moved: Tensor = grid_sample(image.float(), grid, mode, "zeros", align_corners=False)
    still = (matrix == torch.eye(matrix.shape[1], device=matrix.device)).flatten(1).all(1)
    return torch.where(still.view(-1, *[1] * (image.ndim - 1)), image, moved.to(image.dtype))


def mirror(image: Tensor, axes: Tensor) -> Tensor:
    """Reverse (B, C, *S) along the axes where `axes` (B, D) is True."""
    for axis in range(2, image.ndim):
        chosen = axes[:, axis - 2].view(-1, *[1] * (image.ndim - 1))
        image = torch.where(chosen, image.flip(axis), image)
    return image
