"""Strong augmentation of labelled images, in geometry and grey values, as nnU-Net v2 trains.

Shapes: B batch, C channels, D spatial axes, *S space.
Source: Isensee et al., Nature Methods 18, 203-211, 2021; ranges, probabilities and order of the released trainer,
github.com/MIC-DKFZ/nnUNet, commit 0e49508, and of its transforms, github.com/MIC-DKFZ/batchgeneratorsv2, commit
3cb4f07. Elastic deformation is switched off there, and left out here. Differences:

- Images may be z-scored, as there, or lie in [0, 1]. So the noise is in units of each channel's standard deviation,
  contrast and gamma work between each channel's lowest and highest value, and brightness multiplies without a limit.
- Rotations go up to 30 degrees in each plane, also in 2D, where the weak view has quarter turns already. Released in
  2D: 180 degrees, or 15 for patches more than 1.5 times as long as wide. Released in 3D: 30 degrees, but patches with
  edges more than 3 times apart are turned and rescaled slice by slice.
- Voxels from outside the image are 0, with label 0 (background), as in the weak view. The released code first cuts a
  larger patch, so that fewer of them are seen.
- Labels are those of the nearest voxel, as in the weak view. Released: the class that interpolates highest.
- All channels of an image are changed alike. The released code draws for each channel.
- Red, green and blue are changed together, so that no colour shifts because its channels were scaled apart: noise,
  contrast and gamma take deviation, range and mean of all three, contrast goes away from or towards the mean grey as in
  the strong view (`colour.py`). The released code takes each channel by itself.
- The blur is cut at four sigma and normalised at borders (`gaussian_blur`). Released: six sigma, borders mirrored.
"""

import math
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.utils._pytree import tree_map_only

from crossmatch.perturb.affine import mirror, move, rotation_matrix
from crossmatch.perturb.colour import blend, luma, mean_grey
from crossmatch.perturb.image import adjust_contrast, adjust_gamma, gaussian_blur
from crossmatch.settings import Fraction, LowerFirst, NonNegative, Positive, Settings

AroundOne = tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(ge=1)]]

SMALLEST_SPREAD = 1e-7  # of grey values, for divisions: the released gamma transform's


class AugmentSettings(Settings):
    """Augmentation of labelled images, by the released constants of nnU-Net.

    The released code blurs 0.2 and coarsens 0.25 of the images, each in half of their channels. With one channel,
    that is half as often. Mirroring mixes up left and right: set its probability to 0 if these must be told
    apart.
    """

    labelled: bool = False
    """Whether labelled images are augmented, for every method alike; `supervised_strong` always does."""
    scaling_probability: Fraction = 0.2
    """How often an image is scaled."""
    scaling: Annotated[tuple[Positive, Positive], LowerFirst] = (0.7, 1.4)
    """Factor of the field of view. Above 1 everything gets smaller."""
    rotation_probability: Fraction = 0.2
    """How often an image is rotated."""
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 30.0
    """Largest angle, in each plane of two axes."""
    noise_probability: Fraction = 0.1
    """How often Gaussian noise is added."""
    noise: Annotated[tuple[NonNegative, NonNegative], LowerFirst] = (0.0, 0.1)
    """Standard deviation of the noise, as a share of the channel's; the released code calls it variance."""
    blur_probability: Fraction = 0.1
    """How often an image is blurred."""
    blur_sigma: Annotated[tuple[Positive, Positive], LowerFirst] = (0.5, 1.0)
    """Width of the Gaussian in voxels, drawn for each axis."""
    brightness_probability: Fraction = 0.15
    """How often the brightness changes."""
    brightness: AroundOne = (0.75, 1.25)
    """Factor of the grey values."""
    contrast_probability: Fraction = 0.15
    """How often the contrast changes."""
    contrast: AroundOne = (0.75, 1.25)
    """Factor of the distance from the mean. The range of values is kept."""
    low_resolution_probability: Fraction = 0.125
    """How often an image is made coarse and enlarged again."""
    low_resolution: Annotated[tuple[Positive, Annotated[float, Field(le=1)]], LowerFirst] = (0.5, 1.0)
    """Share of the voxels that is left along each axis."""
    inverted_gamma_probability: Fraction = 0.1
    """How often gamma is applied to the inverted image."""
    gamma_probability: Fraction = 0.3
    """How often gamma is applied."""
    gamma: AroundOne = (0.7, 1.5)
    """Exponent of both gamma transforms."""
    mirror_probability: Fraction = 0.5
    """How often each axis is mirrored."""


class AugmentDraw(NamedTuple):
    """Parameters of B views, shaped to broadcast. Factors and exponents are 1, the rest 0, where nothing happens."""

    matrix: Tensor  # (B, D, D) from a voxel's offset to the centre to its source's
    mirror: Tensor  # (B, D) bool, axes to reverse
    noise: Tensor  # (B, 1, *1) standard deviation, in units of the channel's
    sigma: Tensor  # (B, D) voxels
    brightness: Tensor  # (B, 1, *1)
    contrast: Tensor  # (B, 1, *1)
    low_resolution: Tensor  # (B, 1, *1) voxels left on each axis, as a share
    inverted_gamma: Tensor  # (B, 1, *1)
    gamma: Tensor  # (B, 1, *1)

    def of(self, views: Tensor) -> "AugmentDraw":
        """The parameters of some of the views, by number."""
        chosen: AugmentDraw = tree_map_only(Tensor, lambda value: value[views], self)
        return chosen


def draw_augmentation(settings: AugmentSettings, count: int, dims: int, generator: torch.Generator) -> AugmentDraw:
    """Draw the parameters of `count` views of `dims` axes on the CPU, so that they are the same for every device."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    def between(ends: tuple[float, float], *shape: int) -> Tensor:
        return ends[0] + (ends[1] - ends[0]) * uniform(*shape)

    def around_one(ends: tuple[float, float]) -> Tensor:
        """Half of the values lie below 1 and half above, each half uniform."""
        side = 2 * uniform() - 1
        return torch.where(side < 0, 1 + side * (1 - ends[0]), 1 + side * (ends[1] - 1))

    def sometimes(probability: float, value: Tensor, otherwise: float) -> Tensor:
        return torch.where((uniform() < probability).view(count, *[1] * (value.ndim - 1)), value, otherwise)

    def for_each_image(value: Tensor) -> Tensor:
        return value.view(count, 1, *[1] * dims)

    scale = sometimes(settings.scaling_probability, between(settings.scaling), 1.0)
    turn, planes = math.radians(settings.rotation_degrees), dims * (dims - 1) // 2
    angle = sometimes(settings.rotation_probability, between((-turn, turn), planes), 0.0)
    return AugmentDraw(
        matrix=scale.view(count, 1, 1) * rotation_matrix(angle, dims),
        mirror=uniform(dims) < settings.mirror_probability,
        noise=for_each_image(sometimes(settings.noise_probability, between(settings.noise), 0.0)),
        sigma=sometimes(settings.blur_probability, between(settings.blur_sigma, dims), 0.0),
        brightness=for_each_image(sometimes(settings.brightness_probability, around_one(settings.brightness), 1.0)),
        contrast=for_each_image(sometimes(settings.contrast_probability, around_one(settings.contrast), 1.0)),
        low_resolution=for_each_image(
            sometimes(settings.low_resolution_probability, between(settings.low_resolution), 1.0)
        ),
        inverted_gamma=for_each_image(sometimes(settings.inverted_gamma_probability, around_one(settings.gamma), 1.0)),
        gamma=for_each_image(sometimes(settings.gamma_probability, around_one(settings.gamma), 1.0)),
    )


def augment(
    x: Tensor, y: Tensor, draw: AugmentDraw, settings: AugmentSettings, colours: bool = False
) -> tuple[Tensor, Tensor]:
    """Images (B, C, *S) float32 and labels (B, *S) int64 -> the same, augmented.

    With `colours` the channels are red, green and blue, and are changed together. The noise is drawn here, by PyTorch's
    generator of the images' device. A transform that a view did not draw leaves it unchanged, bit for bit. A transform
    of probability 0 is not computed.
    """
    y = y.unsqueeze(1)
    if settings.scaling_probability or settings.rotation_probability:
        x, y = move(x, draw.matrix, "bilinear"), move(y, draw.matrix, "nearest")
    x = _grey_values(x, draw, settings, colours)
    if settings.mirror_probability:
        x, y = mirror(x, draw.mirror), mirror(y, draw.mirror)
    return x, y.squeeze(1)


def _grey_values(x: Tensor, draw: AugmentDraw, settings: AugmentSettings, colours: bool) -> Tensor:
    over = tuple(range(1 if colours else 2, x.ndim))  # what has one deviation, range and mean
    if settings.noise_probability:
        spread = x.std(over, correction=0, keepdim=True)
        x = x + draw.noise * spread * torch.randn_like(x)
    if settings.blur_probability:
        x = gaussian_blur(x, draw.sigma)
    if settings.brightness_probability:
        x = x * draw.brightness
    if settings.contrast_probability:
        (unit, low, span), factor = _unit_range(x, over), draw.contrast.flatten()
        changed = blend(unit, mean_grey(luma(unit)), factor) if colours else adjust_contrast(unit, factor)
        x = torch.where(draw.contrast == 1, x, low + span * changed)
    if settings.low_resolution_probability:
        x = torch.where(draw.low_resolution == 1, x, coarsen(x, draw.low_resolution))
    if settings.inverted_gamma_probability:
        x = torch.where(draw.inverted_gamma == 1, x, -gamma_keeping_statistics(-x, draw.inverted_gamma.flatten(), over))
    if settings.gamma_probability:
        x = torch.where(draw.gamma == 1, x, gamma_keeping_statistics(x, draw.gamma.flatten(), over))
    return x


def coarsen(x: Tensor, share: Tensor) -> Tensor:
    """Images (B, C, *S) reduced to a share of the voxels of each axis (nearest), and enlarged again (linear).

    `share` is (B, 1, *1). Along one axis, both steps together are a weighted mean of two voxels of the original.
    """
    for axis in range(2, x.ndim):
        fine = x.shape[axis]
        position = torch.arange(fine, device=x.device).view(-1, *[1] * (x.ndim - axis - 1))
        coarse = (share * fine).round().long().clamp(min=1)
        middle = ((position + 0.5) * coarse / fine - 0.5).clamp(min=0)
        before = middle.long()
        after = torch.minimum(before + 1, coarse - 1)
        first, second = ((2 * index + 1) * fine // (2 * coarse) for index in (before, after))
        x = torch.lerp(x.take_along_dim(first, axis), x.take_along_dim(second, axis), middle - before)
    return x


def gamma_keeping_statistics(x: Tensor, exponent: Tensor, over: tuple[int, ...]) -> Tensor:
    """Images (B, C, *S), with their range as 0 to 1, to an exponent (B,). Mean and deviation are kept.

    `over` are the axes that have one range, mean and deviation: those of space, or all but the first.
    """
    unit, low, span = _unit_range(x, over)
    curved = low + span * adjust_gamma(unit, exponent)
    deviation, mean = torch.std_mean(x, over, keepdim=True)
    curved_deviation, curved_mean = torch.std_mean(curved, over, keepdim=True)
    return mean + (curved - curved_mean) * deviation / curved_deviation.clamp(min=SMALLEST_SPREAD)


def _unit_range(x: Tensor, over: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Images (B, C, *S) scaled to [0, 1] by their range over some axes, their lowest value there, and its span."""
    low, high = x.amin(over, keepdim=True), x.amax(over, keepdim=True)
    return (x - low) / (high - low).clamp(min=SMALLEST_SPREAD), low, high - low
