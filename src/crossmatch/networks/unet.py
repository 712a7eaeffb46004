"""The U-Net of the CrossMatch experiments on ACDC, for two or three spatial axes.

Shapes: B batch, C channels, K classes, *S space.
Source: released code github.com/AiEson/CrossMatch, commit 59772e0: 16-32-64-128-256 channels, LeakyReLU, batch
normalisation, element dropout inside the encoder's blocks, decoder of a 1x1 convolution and linear upsampling.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from crossmatch.networks import layers
from crossmatch.networks.layers import Normalisation, Upsampling
from crossmatch.networks.pyramid import PyramidSettings
from crossmatch.networks.residual import ResidualEncoder
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import BelowOne

DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)


class UNetSettings(PyramidSettings):
    """Width, normalisation and dropout. The defaults are the released 2D constants."""

    dropout: Annotated[tuple[BelowOne, ...], Field(min_length=2)] = DROPOUT
    """Rates of element dropout in the encoder, one for each level, finest first. There are as many levels as rates."""

    @property
    def levels(self) -> int:
        """How many levels there are."""
        return len(self.dropout)


RELEASED = UNetSettings()


class ConvPair(nn.Sequential):
    """Twice convolution 3, normalisation, LeakyReLU, with element dropout between the two."""

    def __init__(self, dims: int, inputs: int, outputs: int, normalisation: Normalisation, dropout: float) -> None:
        super().__init__(
            layers.conv(dims, inputs, outputs, kernel=3),
            *layers.normalisation(dims, normalisation, outputs),
            nn.LeakyReLU(),
            nn.Dropout(dropout),
            layers.conv(dims, outputs, outputs, kernel=3),
            *layers.normalisation(dims, normalisation, outputs),
            nn.LeakyReLU(),
        )


class Up(nn.Module):
    """Halve the channels and double the size, join the skip connection, convolve.

    Transposed upsampling is one convolution. The others are a 1x1 convolution, then interpolation.
    """

    def __init__(
        self, dims: int, inputs: int, outputs: int, normalisation: Normalisation, upsampling: Upsampling
    ) -> None:
        super().__init__()
        self.enlarge: nn.Module = (
            layers.conv_doubling(dims, inputs, outputs)
            if upsampling == "transposed"
            else nn.Sequential(layers.conv(dims, inputs, outputs, kernel=1), layers.Doubling(upsampling))
        )
        self.block = ConvPair(dims, 2 * outputs, outputs, normalisation, dropout=0.0)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Coarse features (B, inputs, *S / 2) and their skip (B, outputs, *S) -> (B, outputs, *S)."""
        joined: Tensor = self.block(torch.cat([skip, self.enlarge(coarse)], dim=1))
        return joined


class UNetEncoder(nn.Module):
    """(B, C, *S) -> one feature map a level, finest first, level l of size S / 2^l."""

    def __init__(self, dims: int, in_channels: int, settings: UNetSettings) -> None:
        super().__init__()
        widths = pairwise([in_channels, *settings.channels])
        self.blocks = nn.ModuleList(
            ConvPair(dims, inputs, outputs, settings.normalisation, rate)
            for (inputs, outputs), rate in zip(widths, settings.dropout, strict=True)
        )
        self.pool = layers.max_pool(dims)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The feature maps."""
        features = [self.blocks[0](x)]
        for block in self.blocks[1:]:
            features.append(block(self.pool(features[-1])))
        return features


class UNetDecoder(nn.Module):
    """The encoder's feature maps -> one a level but the deepest, finest first, level l of size S / 2^l."""

    def __init__(self, dims: int, settings: UNetSettings, upsampling: Upsampling) -> None:
        super().__init__()
        widths = pairwise(reversed(settings.channels))
        self.ups = nn.ModuleList(Up(dims, coarse, fine, settings.normalisation, upsampling) for coarse, fine in widths)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The decoded maps."""
        decoded = [features[-1]]
        for up, skip in zip(self.ups, reversed(features[:-1]), strict=True):
            decoded.append(up(decoded[-1], skip))
        return decoded[:0:-1]


class UNet(Segmenter):
    """The U-Net. Every level below the first halves the size and doubles the channels.

    Args:
        dims: 2 or 3 spatial axes.
        in_channels: C.
        classes: K, background included.
        settings: width and dropout.
    """

    Settings = UNetSettings
    HEAD_KERNEL = 3
    UPSAMPLING = "linear"
    settings: UNetSettings

    def __init__(self, dims: int, in_channels: int, classes: int, settings: UNetSettings = RELEASED) -> None:
        super().__init__(dims, in_channels, classes, settings)
        self.decoder_channels = settings.channels[:-1]
        self.encoder = UNetEncoder(dims, in_channels, settings)
        self.decoder = self.another_decoder()
        self.head = self.another_head()

    def another_encoder(self) -> nn.Module:
        """A residual encoder with the network's normalisation and fresh weights."""
        chosen = self.settings
        return self._laid_out(ResidualEncoder(self.dims, self.in_channels, chosen.channels, chosen.normalisation))

    def another_decoder(self, upsampling: Upsampling | None = None) -> nn.Module:
        """A further decoder with fresh weights; its upsampling is linear unless another one is asked for."""
        return self._laid_out(UNetDecoder(self.dims, self.settings, upsampling or self.UPSAMPLING))
