"""The strong image view: brightness, contrast and Gaussian blur of whole batches, on the device they are on.

Shapes: B batch, C channels, *S space. Images lie in [0, 1].
Source: released code github.com/AiEson/CrossMatch, commit 59772e0 (torchvision's ColorJitter, whose saturation and hue
do nothing on grey images, then Pillow's blur; here the blur is a true Gaussian and images keep their float precision).
"""

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from crossmatch.perturb.geometry import Probability
from crossmatch.settings import LowerFirst, Settings

Positive = Annotated[float, Field(gt=0)]

BLUR_RADIUS_SIGMAS = 4.0  # where the Gaussian is cut, as in SciPy


class StrongSettings(Settings):
    """Released 2D constants."""

    jitter_probability: Probability = 0.8
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.5  # factor U(1 - b, 1 + b)
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.5
    blur_probability: Probability = 0.5
    blur_sigma: Annotated[tuple[Positive, Positive], LowerFirst] = (0.1, 2.0)  # pixels


class StrongDraw(NamedTuple):
    """Parameters of B strong views; factors are 1 and sigma is 0 where nothing happens."""

    brightness: Tensor  # (B,)
    contrast: Tensor  # (B,)
    contrast_first: Tensor  # (B,) bool
    sigma: Tensor  # (B,) pixels


def draw_strong(settings: StrongSettings, count: int, generator: torch.Generator) -> StrongDraw:
    """Draw the parameters of `count` strong views (on the CPU: a few numbers, the same on every device)."""
    jitter, brightness, contrast, order, blur, sigma = torch.rand(6, count, generator=generator)
    jittered, (low, high) = jitter < settings.jitter_probability, settings.blur_sigma
    return StrongDraw(
        brightness=torch.where(jittered, 1 + settings.brightness * (2 * brightness - 1), 1.0),
        contrast=torch.where(jittered, 1 + settings.contrast * (2 * contrast - 1), 1.0),
        contrast_first=order < 0.5,
        sigma=torch.where(blur < settings.blur_probability, low + (high - low) * sigma, 0.0),
    )


def apply_strong(x: Tensor, draw: StrongDraw) -> Tensor:
    """Images (B, C, *S) in [0, 1] -> strong views, same shape and range; brightness and contrast in either order."""
    first = _per_image(draw.contrast_first, x)
    x = torch.where(first, adjust_contrast(x, draw.contrast), x)
    x = adjust_brightness(x, draw.brightness)
    x = torch.where(first, x, adjust_contrast(x, draw.contrast))
    return gaussian_blur(x, draw.sigma)


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply each image (B, C, *S) with its factor (B,), cut to [0, 1]."""
    return (x * _per_image(factor, x)).clamp(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Move each channel of (B, C, *S) away from its mean by a factor (B,), cut to [0, 1]; factor 0 gives the mean."""
    mean = x.mean(tuple(range(2, x.ndim)), keepdim=True)
    return (mean + (x - mean) * _per_image(factor, x)).clamp(0, 1)


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image (B, C, *S) along every axis with its own sigma (B,) in voxels; 0 leaves it as it is.

    Weights are cut at four sigma and normalised over the voxels that exist, so a constant stays constant at borders.
    One matrix product an axis: sigma differs from image to image without a kernel of another size.
    """
    for axis in range(2, x.ndim):
        size = x.shape[axis]
        matrix = _blur_matrix(sigma, size).view(len(x), *[1] * (x.ndim - 3), size, size)
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


def _per_image(value: Tensor, x: Tensor) -> Tensor:
    return value.view(-1, *[1] * (x.ndim - 1))
