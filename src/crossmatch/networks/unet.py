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
from crossmatch.networks.segmenter import NetworkSettings, Segmenter
from crossmatch.settings import BelowOne, Count

DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)


class UNetSettings(NetworkSettings):
    """Width and dropout; the defaults are the released 2D constants."""

    width: Count = 16  # channels of the finest level; each further level has twice as many
    # rate of each level of the encoder, finest first; there are as many levels as rates
    dropout: Annotated[tuple[BelowOne, ...], Field(min_length=2)] = DROPOUT

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level, finest first."""
        return tuple(self.width * 2**level for level in range(len(self.dropout)))

    @property
    def multiple(self) -> int:
        """Every axis of an image must be a multiple of this."""
        return int(2 ** (len(self.dropout) - 1))


RELEASED = UNetSettings()


class ConvBlock(nn.Sequential):
    """Twice convolution 3, batch normalisation, LeakyReLU; element dropout between the two."""

    def __init__(self, dims: int, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__(
            layers.conv(dims, inputs, outputs, kernel=3),
            layers.batch_norm(dims, outputs),
            nn.LeakyReLU(),
            nn.Dropout(dropout),
            layers.conv(dims, outputs, outputs, kernel=3),
            layers.batch_norm(dims, outputs),
            nn.LeakyReLU(),
        )


class Up(nn.Module):
    """Halve the channels, double the size, join the skip connection, convolve."""

    def __init__(self, dims: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = layers.conv(dims, inputs, outputs, kernel=1)
        self.block = ConvBlock(dims, 2 * outputs, outputs, dropout=0.0)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Coarse features (B, inputs, *S / 2) and their skip (B, outputs, *S) -> (B, outputs, *S)."""
        upsampled = layers.resize_linear(self.reduce(coarse), tuple(skip.shape[2:]))
        joined: Tensor = self.block(torch.cat([skip, upsampled], dim=1))
        return joined


class UNet(Segmenter):
    """U-Net with an open seam between encoder and decoder.

    Args:
        dims: 2 or 3 spatial axes.
        in_channels: C.
        classes: K, background included.
        settings: width and dropout. Every level below the first halves the size.
    """

    Settings = UNetSettings
    settings: UNetSettings

    def __init__(self, dims: int, in_channels: int, classes: int, settings: UNetSettings = RELEASED) -> None:
        super().__init__(dims, in_channels, classes, settings)
        channels = settings.channels
        self.decoder_channels = channels[:-1]
        inputs = [in_channels, *channels[:-1]]
        self.down = nn.ModuleList(
            ConvBlock(dims, i, o, p) for i, o, p in zip(inputs, channels, settings.dropout, strict=True)
        )
        self.pool = layers.max_pool(dims)
        self.up = nn.ModuleList(Up(dims, coarse, fine) for coarse, fine in pairwise(reversed(channels)))
        self.head = layers.conv(dims, channels[0], classes, kernel=3)

    def encode(self, x: Tensor) -> list[Tensor]:
        """(B, C, *S) -> one feature map a level, finest first, level l of size S / 2^l."""
        self.check_input(x)
        features = [self.down[0](x)]
        for block in self.down[1:]:
            features.append(block(self.pool(features[-1])))
        return features

    def decode_features(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps as `encode` gives them -> one a level but the deepest, finest first, level l of size S / 2^l."""
        decoded = [features[-1]]
        for up, skip in zip(self.up, reversed(features[:-1]), strict=True):
            decoded.append(up(decoded[-1], skip))
        return decoded[:0:-1]
