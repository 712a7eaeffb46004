"""The weak image view: right-angle turns, flips, rotations and resizing as one affine map, sampled once.

Shapes: B batch, C channels, D spatial axes, *S space of the output. An output voxel i lies at u in [-1, 1]^D, its
source at `centre + matrix @ u` in voxels of the source: turning, rotating and resizing compose into one nearest
neighbour look-up of image and label together, instead of a rounding after each.
Source: released code github.com/AiEson/CrossMatch, commit 59772e0 (order 0 throughout).
"""

import math
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from crossmatch.settings import Settings

Probability = Annotated[float, Field(ge=0, le=1)]


class WeakSettings(Settings):
    """Turn and flip, or else perhaps rotate. Released 2D: probabilities 0.5, up to 20 degrees."""

    turn_probability: Probability = 0.5
    rotation_probability: Probability = 0.5  # of those that are not turned
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 20.0


class WeakDraw(NamedTuple):
    """Parameters of B weak views, in the plane of the first two axes."""

    turns: Tensor  # (B,) int64, quarter turns 0..3
    flip: Tensor  # (B,) int64: -1 none, else the axis that is reversed after turning
    angle: Tensor  # (B,) float32, radians


def draw_weak(settings: WeakSettings, count: int, generator: torch.Generator) -> WeakDraw:
    """Draw the parameters of `count` weak views (on the CPU: a few numbers, the same on every device)."""
    choice, turn, axis, chance, angle = torch.rand(5, count, generator=generator)
    turned = choice < settings.turn_probability
    rotated = ~turned & (chance < settings.rotation_probability)
    return WeakDraw(
        turns=torch.where(turned, (turn * 4).long(), 0),
        flip=torch.where(turned, (axis * 2).long(), -1),
        angle=torch.where(rotated, (2 * angle - 1) * math.radians(settings.rotation_degrees), 0.0),
    )


def weak_map(draw: WeakDraw, size: Tensor) -> Tensor:
    """Affine part of the look-up of the weak view of whole images, resized to the output.

    Args:
        draw: parameters of B views.
        size: (B, D) voxels of each source image on each axis.

    Returns:
        (B, D, D) matrices from output coordinates in [-1, 1] to source voxels about the centre.
    """
    half = torch.diag_embed((size.float() - 1) / 2)
    return _rotation(draw.angle, size.shape[1]) @ half @ _turn_and_flip(draw.turns, draw.flip, size.shape[1])


def _rotation(angle: Tensor, dims: int) -> Tensor:
    matrix = torch.eye(dims).repeat(len(angle), 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 0, 1] = -angle.sin()
    matrix[:, 1, 0] = angle.sin()
    return matrix


def _turn_and_flip(turns: Tensor, flip: Tensor, dims: int) -> Tensor:
    """Signed permutations: output[u] = flip(rot90(image, turns), flip)[u]."""
    quarter = torch.eye(dims)
    quarter[:2, :2] = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])  # np.rot90: out[i, j] = in[j, -i]
    powers = torch.stack([torch.linalg.matrix_power(quarter, k) for k in range(4)])
    signs = torch.where(torch.arange(dims) == flip.unsqueeze(1), -1.0, 1.0)
    return powers[turns] @ torch.diag_embed(signs)


def output_grid(size: tuple[int, ...], device: torch.device | None = None) -> Tensor:
    """(D, *size) coordinates of the output voxels in [-1, 1], first and last voxel of an axis at its ends."""
    axes = [torch.linspace(-1, 1, n, device=device) if n > 1 else torch.zeros(1, device=device) for n in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


class Lookup(NamedTuple):
    """Where each output voxel is read from."""

    source: Tensor  # (B, *S) int64, position within the flattened source image, 0 where outside
    inside: Tensor  # (B, *S) bool


def look_up(matrix: Tensor, size: Tensor, grid: Tensor) -> Lookup:
    """Nearest source voxel of every output voxel.

    Args:
        matrix: (B, D, D), see `weak_map`; size: (B, D) source voxels an axis; grid: (D, *S), see `output_grid`.
        All on one device. Half-way positions round up, as SciPy's order 0 does, up to float32 rounding.
    """
    size = size.view(*size.shape, *[1] * (grid.ndim - 1))
    position = torch.einsum("bij,j...->bi...", matrix, grid) + (size - 1) / 2
    nearest = torch.floor(position + 0.5).long()
    inside = ((nearest >= 0) & (nearest < size)).all(1)
    nearest = torch.minimum(nearest.clamp(min=0), size - 1)
    index = nearest[:, 0]
    for axis in range(1, size.shape[1]):
        index = index * size[:, axis] + nearest[:, axis]
    return Lookup(index, inside)
