"""The U-Net of the CrossMatch experiments on ACDC, for two or three spatial axes.

Shapes: B batch, C channels, K classes, *S space.
Source: released code github.com/AiEson/CrossMatch, commit 59772e0: 16-32-64-128-256 channels, LeakyReLU, batch
normalisation, element dropout inside the encoder's blocks, decoder of a 1x1 convolution and linear upsampling.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from crossmatch.networks import layers
from crossmatch.networks.segmenter import NetworkSettings, Segmenter

CHANNELS = (16, 32, 64, 128, 256)
DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)


class UNetSettings(NetworkSettings):
    """Widths and dropout of each level; the defaults are the released ones."""

    channels: tuple[Annotated[int, Field(ge=1)], ...] = CHANNELS
    dropout: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = DROPOUT

    @model_validator(mode="after")
    def _one_rate_a_level(self) -> "UNetSettings":
        if len(self.channels) < 2 or len(self.channels) != len(self.dropout):
            raise ValueError(
                f"{len(self.channels)} channels and {len(self.dropout)} dropout rates: give one of each a level"
            )
        return self

    @property
    def multiple(self) -> int:
        """Every axis of an image must be a multiple of this."""
        return int(2 ** (len(self.channels) - 1))


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
        channels: feature channels of each level, finest first; every level below the first halves the size.
        dropout: element dropout rate inside the encoder's block of each level.
    """

    def __init__(
        self,
        dims: int,
        in_channels: int,
        classes: int,
        channels: Sequence[int] = CHANNELS,
        dropout: Sequence[float] = DROPOUT,
    ) -> None:
        super().__init__()
        if len(dropout) != len(channels):
            raise ValueError(f"one dropout rate a level: got {len(dropout)} rates for {len(channels)} levels")
        self.dims, self.in_channels, self.classes = dims, in_channels, classes
        self.multiple, self.decoder_channels = 2 ** (len(channels) - 1), tuple(channels[:-1])
        inputs = [in_channels, *channels[:-1]]
        self.down = nn.ModuleList(ConvBlock(dims, i, o, p) for i, o, p in zip(inputs, channels, dropout, strict=True))
        self.pool = layers.max_pool(dims)
        self.up = nn.ModuleList(
            Up(dims, coarse, fine) for fine, coarse in zip(channels[-2::-1], channels[:0:-1], strict=True)
        )
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
