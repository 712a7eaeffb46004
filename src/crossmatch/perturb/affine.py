"""Turns, scaling and mirroring of images and label maps that already have the network's size, about their centre.

Shapes: B batch, C channels, D spatial axes, *S space, P = D (D - 1) / 2 planes of two axes: one in 2D, three in 3D.
Offsets are counted in voxels, whatever a voxel's size in mm. Unlike the weak view (`geometry`), images are
interpolated: a second rounding to voxels would show.
"""

import functools
import itertools
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def rotation_matrix(angle: Tensor, dims: int) -> Tensor:
    """Angles (B, P) in radians -> (B, D, D): turns in the planes (0, 1), (0, 2), (1, 2), the last one first.

    A turn takes its plane's first axis towards the second. It is the exponential of the angle times a skew matrix,
    whatever the number of axes.
    """
    planes = list(itertools.combinations(range(dims), 2))
    skew = torch.zeros(len(planes), dims, dims)
    for k, (first, second) in enumerate(planes):
        skew[k, second, first], skew[k, first, second] = 1, -1
    # in float64: PyTorch's exponential in float32 is off by 5e-5, and autocast would multiply in bfloat16
    turns = torch.linalg.matrix_exp((angle.view(-1, len(planes), 1, 1) * skew).double())
    product: Tensor = functools.reduce(torch.matmul, turns.unbind(1))
    return product.float()


def move(image: Tensor, matrix: Tensor, mode: Literal["bilinear", "nearest"]) -> Tensor:
    """Read every voxel of (B, C, *S) at `matrix` (B, D, D) times its offset to the centre; 0 comes in from outside.

    Args:
        mode: "bilinear" interpolates along all axes of an image, "nearest" keeps labels (below 2^24) what they are.

    Returns:
        Same shape and dtype; bit for bit the same where the matrix is the identity.
    """
    edges = torch.tensor(image.shape[2:], device=image.device)
    relative = matrix * edges / edges.unsqueeze(1)  # between coordinates from -1 to 1 along each axis
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
