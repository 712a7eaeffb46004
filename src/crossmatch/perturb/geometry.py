"""The weak image view: right-angle turns, flips, rotation and resizing or cropping, as one affine map.

Shapes: B batch, C channels, D spatial axes, *S space of the output. An output voxel lies at u in [-1, 1]^D. It is read
from `centre + matrix @ u`, in voxels of the source. So all transforms together are one look-up of the nearest voxel,
the same for image and label, and positions are rounded only once.
Source: released code github.com/AiEson/CrossMatch, commit 59772e0 (which rounds after each transform).
"""

import math
from typing import Annotated, NamedTuple

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from crossmatch.perturb.affine import turn
from crossmatch.settings import Fraction, Settings

Axis = Annotated[int, Field(ge=0, le=2)]


def _two_axes(plane: tuple[int, int]) -> tuple[int, int]:
    if plane[0] == plane[1]:
        raise ValueError("name two different axes, counted from 0")
    return plane


class WeakSettings(Settings):
    """The weak view: an image is turned and flipped; if not, it may be rotated. Released 3D: always turned.

    Turns and flips mix up left and right: set turn_probability to 0 if the network must tell them apart.
    """

    turn_probability: Fraction = 0.5
    """How often an image is turned by a multiple of 90 degrees and flipped."""
    rotation_probability: Fraction = 0.5
    """How often an image that was not turned is rotated."""
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 20.0
    """Largest angle of the rotation."""
    plane: Annotated[tuple[Axis, Axis], AfterValidator(_two_axes)] = (0, 1)
    """The two axes in whose plane images are turned, flipped and rotated."""


class WeakDraw(NamedTuple):
    """Parameters of B weak views."""

    turns: Tensor  # (B,) int64, quarter turns 0..3
    flip: Tensor  # (B,) int64: -1 none, else the axis of the plane, 0 or 1, that is reversed after turning
    angle: Tensor  # (B,) float32, radians
    plane: tuple[int, int]  # the two axes that all of it happens in

    def of(self, views: Tensor) -> "WeakDraw":
        """The parameters of some of the views, by number."""
        return self._replace(turns=self.turns[views], flip=self.flip[views], angle=self.angle[views])


def draw_weak(settings: WeakSettings, count: int, generator: torch.Generator) -> WeakDraw:
    """Draw the parameters of `count` weak views on the CPU, so that they are the same for every device."""
    choice, turn, axis, chance, angle = torch.rand(5, count, generator=generator)
    turned = choice < settings.turn_probability
    rotated = ~turned & (chance < settings.rotation_probability)
    return WeakDraw(
        turns=torch.where(turned, (turn * 4).long(), 0),
        flip=torch.where(turned, (axis * 2).long(), -1),
        angle=torch.where(rotated, (2 * angle - 1) * math.radians(settings.rotation_degrees), 0.0),
        plane=settings.plane,
    )


def resize_map(draw: WeakDraw, size: Tensor) -> tuple[Tensor, Tensor]:
    """Look-up of the weak view of whole images, resized to the output.

    Args:
        draw: parameters of B views.
        size: (B, D) voxels of each source image on each axis.

    Returns:
        (B, D, D) matrices from output coordinates in [-1, 1] to source voxels about the centre, and centres (B, D).
    """
    dims, centre = size.shape[1], (size.float() - 1) / 2
    matrix = turn(draw.angle, draw.plane, dims) @ torch.diag_embed(centre) @ _turn_and_flip(draw, dims)
    return matrix, centre


def patch_map(
    draw: WeakDraw, size: Tensor, patch: tuple[int, ...], place: Tensor, around: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Look-up of the weak view of a patch of each image, without resizing. Returns what `resize_map` returns.

    The patch is cut after turning, so its edges turn too. All places within the image are equally likely. On an axis
    shorter than the patch, the image lies in the middle.

    Args:
        draw, size: as of `resize_map`.
        patch: voxels of the output on each axis.
        place: (B, D) numbers in [0, 1), which choose the place.
        around: (B, D) int64, a voxel that lies in the middle half of the patch, or as near to it as the image's edges
            allow; -1 where there is none to show.
    """
    dims, edges = len(patch), torch.tensor(patch)
    turned = _turn_and_flip(draw, dims)
    extent = (turned.abs() @ edges.float()).round().long()  # (B, D) voxels that the patch takes of the source
    room = size - extent
    start = torch.where(room >= 0, (place * (room + 1)).long(), torch.div(room, 2, rounding_mode="floor"))
    if around is not None:
        near = around - ((0.25 + 0.5 * place) * extent).long()
        near = torch.minimum(near.clamp(min=0), room)
        start = torch.where((around >= 0) & (room >= 0), near, start)
    half = torch.diag_embed((edges.float() - 1) / 2)
    return turn(draw.angle, draw.plane, dims) @ turned @ half, start + (extent - 1) / 2


def _turn_and_flip(draw: WeakDraw, dims: int) -> Tensor:
    """Signed permutations (B, D, D): output[u] = flip(rot90(image, turns, plane), flip)[u]."""
    quarter, (first, second) = torch.eye(dims), draw.plane
    quarter[first, first] = quarter[second, second] = 0
    quarter[first, second], quarter[second, first] = 1, -1  # np.rot90: out[i, j] = in[j, -i]
    powers = torch.stack([torch.linalg.matrix_power(quarter, k) for k in range(4)])
    flipped = torch.tensor([*draw.plane, -1])[draw.flip]  # -1 takes the last: no axis
    signs = torch.where(torch.arange(dims) == flipped.unsqueeze(1), -1.0, 1.0)
    return powers[draw.turns] @ torch.diag_embed(signs)


def output_grid(size: tuple[int, ...], device: torch.device | None = None) -> Tensor:
    """Coordinates (D, *size) of the output voxels. Along each axis they go from -1, first voxel, to 1, last voxel."""
    axes = [torch.linspace(-1, 1, n, device=device) if n > 1 else torch.zeros(1, device=device) for n in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


class Lookup(NamedTuple):
    """Where each output voxel is read from."""

    source: Tensor  # (B, *S) int64, position within the flattened source image, at its edge where outside
    inside: Tensor  # (B, *S) bool


def look_up(matrix: Tensor, centre: Tensor, size: Tensor, grid: Tensor, plane: tuple[int, int] = (0, 1)) -> Lookup:
    """Nearest source voxel of every output voxel.

    Args:
        matrix, centre: (B, D, D) and (B, D), see `resize_map`.
        size: (B, D) source voxels on each axis.
        grid: (D, *S), see `output_grid`.
        plane: the two axes that the matrices may mix. Along other axes the source depends on the place along that axis
            alone, which saves memory and time.

    Positions half-way between two voxels are rounded up, as by SciPy with order 0.
    """
    axes = range(grid.ndim - 1)
    size, centre, matrix = (value.view(*value.shape, *[1] * len(axes)) for value in (size, centre, matrix))
    along = [grid[axis][tuple(slice(None if other == axis else 1) for other in axes)] for axis in axes]
    index, inside = torch.zeros_like(size[:, 0]), torch.ones_like(size[:, 0], dtype=torch.bool)
    for axis in axes:
        position = centre[:, axis]
        for other in plane if axis in plane else (axis,):
            position = position + matrix[:, axis, other] * along[other]
        nearest, last = (position + 0.5).floor_(), size[:, axis] - 1
        inside = inside & (nearest >= 0) & (nearest <= last)
        index = index * size[:, axis] + torch.minimum(nearest.clamp_(min=0), last.float()).long()
    return Lookup(index, inside)
