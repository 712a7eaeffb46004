"""The strong image view: grey values and sharpness of whole batches, on their device.

Shapes: B batch, C channels, *S space.
Source: released code github.com/AiEson/CrossMatch, commit 59772e0. 2D: torchvision's ColorJitter (saturation and hue do
nothing on grey images; `colour.py` has it for colours), then Pillow's blur. Here the blur is a true Gaussian, and
images stay floats. 3D: torchio's RandomBiasField, RandomGamma and RandomBlur, with the released ranges.
"""

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.utils._pytree import tree_map_only

from crossmatch.perturb.bias import bias_field, coefficients_of
from crossmatch.perturb.colour import ColourDraw, apply_colour, draw_colour, per_image
from crossmatch.settings import Fraction, LowerFirst, NonNegative, Positive, Settings

BLUR_RADIUS_SIGMAS = 4.0  # where the Gaussian is cut, as in SciPy


class StrongSettings(Settings):
    """The strong view: what happens to grey values, and the blur. The defaults are the released 2D constants.

    Released 3D: brightness and contrast 0, bias and gamma 0.5, a blur of another width along each axis.
    """

    jitter_probability: Fraction = 0.8
    """How often brightness, contrast, saturation, hue, bias and gamma change."""
    brightness: Fraction = 0.5
    """b of the brightness factor U(1 - b, 1 + b), for images in [0, 1]."""
    contrast: Fraction = 0.5
    """b of the contrast factor U(1 - b, 1 + b), for images in [0, 1]."""
    saturation: Fraction = 0.5
    """s of the saturation factor U(1 - s, 1 + s), only for three channels with data.normalise = colour."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.25
    """h of the hue's shift U(-h, h), in turns of the colour circle. Only for colour images, like saturation."""
    grey_probability: Fraction = 0.0
    """How often a colour image becomes grey. UniMatch's released code: 0.2."""
    bias: NonNegative = 0.0
    """b of a smooth gain: coefficients U(-b, b) of its logarithm."""
    gamma: NonNegative = 0.0
    """g of the exponent exp(U(-g, g))."""
    blur_probability: Fraction = 0.5
    """How often an image is blurred."""
    blur_sigma: Annotated[tuple[Positive, Positive], LowerFirst] = (0.1, 2.0)
    """Width of the Gaussian, in voxels."""
    blur_each_axis: bool = False
    """Draw one width for each axis; otherwise one for all axes."""


class StrongDraw(NamedTuple):
    """Parameters of B strong views. Factors and exponents are 1, the rest 0, where nothing happens. None: unused."""

    brightness: Tensor  # (B,)
    contrast: Tensor  # (B,)
    contrast_first: Tensor  # (B,) bool
    sigma: Tensor  # (B, D) voxels
    bias: Tensor | None  # (B, n, ..., n), see `bias_field`
    gamma: Tensor | None  # (B,)
    colour: ColourDraw | None = None  # of colour images; the order of their changes is in here

    def of(self, views: Tensor) -> "StrongDraw":
        """The parameters of some of the views, by number."""
        chosen: StrongDraw = tree_map_only(Tensor, lambda value: value[views], self)
        return chosen


def draw_strong(
    settings: StrongSettings, count: int, dims: int, generator: torch.Generator, colours: bool = False
) -> StrongDraw:
    """Draw the parameters of `count` strong views on the CPU, so that they are the same for every device.

    Args:
        colours: whether the channels of the images are red, green and blue in [0, 1].
    """
    jitter, brightness, contrast, order, blur, sigma = torch.rand(6, count, generator=generator)
    jittered, (low, high) = jitter < settings.jitter_probability, settings.blur_sigma
    widths = sigma.unsqueeze(1).expand(count, dims)
    if settings.blur_each_axis:
        widths = torch.rand(count, dims, generator=generator)
    bias = gamma = None
    if settings.bias > 0:
        drawn = settings.bias * coefficients_of(dims, count, generator)
        bias = torch.where(per_image(jittered, drawn), drawn, 0.0)
    if settings.gamma > 0:
        exponent = torch.exp(settings.gamma * (2 * torch.rand(count, generator=generator) - 1))
        gamma = torch.where(jittered, exponent, 1.0)
    colour = None
    if colours:  # drawn last, so that grey images see what they saw without it
        colour = draw_colour(settings.saturation, settings.hue, settings.grey_probability, jittered, generator)
    return StrongDraw(
        brightness=torch.where(jittered, 1 + settings.brightness * (2 * brightness - 1), 1.0),
        contrast=torch.where(jittered, 1 + settings.contrast * (2 * contrast - 1), 1.0),
        contrast_first=order < 0.5,
        sigma=torch.where((blur < settings.blur_probability).unsqueeze(1), low + (high - low) * widths, 0.0),
        bias=bias,
        gamma=gamma,
        colour=colour,
    )


def apply_strong(x: Tensor, draw: StrongDraw, settings: StrongSettings) -> Tensor:
    """Images (B, C, *S) -> strong views: grey values or colours, then blur. The order of their changes is drawn."""
    if draw.colour is not None:
        x = apply_colour(x, draw.brightness, draw.contrast, draw.colour)
    elif settings.brightness or settings.contrast:
        first = per_image(draw.contrast_first, x)
        x = torch.where(first, adjust_contrast(x, draw.contrast), x)
        x = adjust_brightness(x, draw.brightness)
        x = torch.where(first, x, adjust_contrast(x, draw.contrast))
    if draw.bias is not None:
        x = x * bias_field(draw.bias, tuple(x.shape[2:])).unsqueeze(1)
    if draw.gamma is not None:
        x = adjust_gamma(x, draw.gamma)
    return gaussian_blur(x, draw.sigma)


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply each image (B, C, *S) with its factor (B,), cut to [0, 1]."""
    return (x * per_image(factor, x)).clamp(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply each channel's distance from its mean by a factor (B,); (B, C, *S), cut to [0, 1]."""
    mean = x.mean(tuple(range(2, x.ndim)), keepdim=True)
    return (mean + (x - mean) * per_image(factor, x)).clamp(0, 1)


def adjust_gamma(x: Tensor, exponent: Tensor) -> Tensor:
    """sign(x) |x|^exponent for images (B, C, *S), which may be negative, with an exponent (B,) for each."""
    return x.sign() * x.abs() ** per_image(exponent, x)


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image (B, C, *S) along every axis with its own sigma (B, D), in voxels. 0 leaves it as it is.

    Weights are cut at four sigma and normalised over the voxels that exist, so that a constant stays constant at
    borders. The blur is one matrix product an axis, so that each image can have another sigma.
    """
    for axis in range(2, x.ndim):
        size = x.shape[axis]
        matrix = _blur_matrix(sigma[:, axis - 2], size).view(len(x), *[1] * (x.ndim - 3), size, size)
        x = (x.movedim(axis, -1) @ matrix).movedim(-1, axis)
    return x


def _blur_matrix(sigma: Tensor, size: int) -> Tensor:
    """(B,) -> (B, size, size); column j holds the weights of the inputs of output j."""
    position = torch.arange(size, device=sigma.device)
    distance = (position.unsqueeze(0) - position.unsqueeze(1)).abs().float()
    width = sigma.view(-1, 1, 1).clamp(min=1e-6)
    near = distance <= torch.floor(BLUR_RADIUS_SIGMAS * width + 0.5)
    weights = torch.where(near, torch.exp(-0.5 * (distance / width) ** 2), 0.0)
    return weights / weights.sum(1, keepdim=True)
