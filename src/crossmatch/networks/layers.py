"""Layers for images of two or three spatial axes. This is the only file that knows the difference.

Shapes: B batch, C channels, *S space (two or three axes).
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

Normalisation = Literal["batch", "instance", "group", "none"]
Upsampling = Literal["transposed", "linear", "nearest"]  # how a decoder doubles the size of its feature maps
GROUPS = 16  # of group normalisation, as in the released V-Net

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_CONV_TRANSPOSE: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
_BATCH_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORM: dict[int, type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]] = {
    2: nn.InstanceNorm2d,
    3: nn.InstanceNorm3d,
}
_DROPOUT: dict[int, type[nn.Dropout2d] | type[nn.Dropout3d]] = {2: nn.Dropout2d, 3: nn.Dropout3d}
_MAX_POOL: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_LINEAR_MODE = {2: "bilinear", 3: "trilinear"}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def other_upsamplings(own: Upsampling) -> list[Upsampling]:
    """All kinds but `own`, for further decoders that are to differ from a network's.

    >>> other_upsamplings("linear")
    ['transposed', 'nearest']
    """
    kinds: tuple[Upsampling, ...] = get_args(Upsampling)
    return [kind for kind in kinds if kind != own]


def conv(dims: int, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True) -> nn.Module:
    """Convolution of an odd kernel: (B, inputs, *S) -> (B, outputs, *S / stride)."""
    return _CONV[dims](inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)


def conv_halving(dims: int, inputs: int, outputs: int, kernel: int = 2) -> nn.Module:
    """Convolution of stride 2: (B, inputs, *S) -> (B, outputs, *S / 2).

    Args:
        kernel: 2, without overlap, or a larger even number; then zeros lie around the image.
    """
    return _CONV[dims](inputs, outputs, kernel, stride=2, padding=kernel // 2 - 1)


def conv_doubling(dims: int, inputs: int, outputs: int) -> nn.Module:
    """Transposed convolution of kernel 2 and stride 2: (B, inputs, *S) -> (B, outputs, 2 * S)."""
    return _CONV_TRANSPOSE[dims](inputs, outputs, 2, stride=2)


def batch_norm(dims: int, channels: int) -> nn.Module:
    """Batch normalisation with the defaults of PyTorch (momentum 0.1, epsilon 1e-5)."""
    return _BATCH_NORM[dims](channels)


def group_count(channels: int) -> int:
    """Groups that group normalisation makes of `channels`: 16, or one a channel where there are fewer.

    Raises:
        ValueError: the channels neither divide 16 nor are a multiple of it.
    """
    if channels % GROUPS and GROUPS % channels:
        raise ValueError(
            f"group normalisation makes {GROUPS} groups of the channels; {channels} neither divide {GROUPS} nor are a "
            "multiple of it: change the number, or take another normalisation"
        )
    return min(GROUPS, channels)


def normalisation(dims: int, kind: Normalisation, channels: int) -> list[nn.Module]:
    """The one layer of this kind, or none for "none"; "instance" has no weights, as is PyTorch's default.

    Raises:
        ValueError: "group", and the channels do not divide into groups.
    """
    match kind:
        case "batch":
            return [batch_norm(dims, channels)]
        case "instance":
            return [_INSTANCE_NORM[dims](channels)]
        case "group":
            return [nn.GroupNorm(group_count(channels), channels)]
        case "none":
            return []


def channel_dropout(dims: int, rate: float) -> nn.Module:
    """Dropout of whole channels of each image, the others scaled by 1 / (1 - rate); the identity in eval mode."""
    return _DROPOUT[dims](rate)


def max_pool(dims: int) -> nn.Module:
    """Halve every spatial axis."""
    return _MAX_POOL[dims](2)


def resize_linear(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Linear interpolation on a grid whose first and last points are those of the input (``align_corners``).

    The result has the type of `x`. Autocast on a GPU computes it in float32. Without the conversion, features that are
    joined with it would become float32 too.
    """
    return functional.interpolate(x, size=size, mode=_LINEAR_MODE[len(size)], align_corners=True).to(x.dtype)


def enlarge(x: Tensor, size: tuple[int, ...], how: Literal["nearest", "linear"]) -> Tensor:
    """Nearest or linear interpolation on a grid whose outer edges, not its points, are those of the input.

    (B, C, *S) -> (B, C, *size) of the same type.
    """
    mode = _LINEAR_MODE[len(size)] if how == "linear" else how
    return functional.interpolate(x, size=size, mode=mode).to(x.dtype)


class Doubling(nn.Module):
    """Interpolation to twice the size, by `resize_linear` or the nearest neighbour."""

    def __init__(self, mode: Literal["linear", "nearest"]) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, 2 * S) of the same type."""
        size = tuple(2 * n for n in x.shape[2:])
        return resize_linear(x, size) if self.mode == "linear" else functional.interpolate(x, size=size).to(x.dtype)
