"""Layers for images of two or three spatial axes. This is the only file that knows the difference.

Shapes: B batch, C channels, *S space (two or three axes).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from crossmatch.networks.segmenter import Segmenter

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_LINEAR_MODE = {2: "bilinear", 3: "trilinear"}
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def conv(dims: int, inputs: int, outputs: int, kernel: int) -> nn.Module:
    """Convolution with stride 1 that keeps the size: (B, inputs, *S) -> (B, outputs, *S)."""
    return _CONV[dims](inputs, outputs, kernel, padding=kernel // 2)


def batch_norm(dims: int, channels: int) -> nn.Module:
    """Batch normalisation with the defaults of PyTorch (momentum 0.1, epsilon 1e-5)."""
    return _BATCH_NORM[dims](channels)


def max_pool(dims: int) -> nn.Module:
    """Halve every spatial axis."""
    return _MAX_POOL[dims](2)


def resize_linear(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Linear interpolation on a grid whose first and last points are those of the input (``align_corners``)."""
    return functional.interpolate(x, size=size, mode=_LINEAR_MODE[len(size)], align_corners=True)


def resize_centred(x: Tensor, smaller: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
    """Means over the voxels merged down to `smaller`, then linear interpolation to `size`; outer borders coincide."""
    merged = functional.interpolate(x, size=smaller, mode="area")
    return functional.interpolate(merged, size=size, mode=_LINEAR_MODE[len(size)], align_corners=False)


def to_channels_last(network: Segmenter) -> Segmenter:
    """Lay the weights out as convolutions run fastest; feature maps follow the weights."""
    return network.to(memory_format=_CHANNELS_LAST[network.dims])  # type: ignore[call-overload, no-any-return]
