"""The V-Net of the CrossMatch experiments on the left atrium, for two or three spatial axes.

Shapes: B batch, C channels, K classes, W width, *S space.
Source: released code github.com/AiEson/CrossMatch, commit 59772e0: W-2W-4W-8W-16W channels with 1, 2, 3, 3, 3
convolutions a level, convolutions of stride 2 between the levels, skip connections that are added, ReLU. The residual
connections inside the levels of the original (Milletari et al., 3DV 2016) are not used there, nor here.
"""

from collections.abc import Sequence
from itertools import pairwise

from pydantic import model_validator
from torch import Tensor, nn

from crossmatch.networks import layers
from crossmatch.networks.layers import Normalisation
from crossmatch.networks.segmenter import NetworkSettings, Segmenter
from crossmatch.settings import BelowOne, Count

CONVOLUTIONS = (1, 2, 3, 3, 3)  # of each level, finest first, in the encoder and again in the decoder
MULTIPLE: int = 2 ** (len(CONVOLUTIONS) - 1)


class VNetSettings(NetworkSettings):
    """Width, normalisation and dropout; the defaults are the released 3D constants."""

    width: Count = 16  # channels of the finest level; each further level has twice as many
    normalisation: Normalisation = "batch"
    dropout: BelowOne = 0.5

    @model_validator(mode="after")
    def _channels_make_groups(self) -> "VNetSettings":
        if self.normalisation == "group":
            layers.group_count(self.width)  # deeper levels have a power of two times as many: they divide as well
        return self

    @property
    def multiple(self) -> int:
        """Every spatial axis of an image must be a multiple of this."""
        return MULTIPLE

    def check_size(self, size: Sequence[int], batch: int) -> None:
        """Also refuse a size that leaves instance normalisation one voxel at the deepest level."""
        super().check_size(size, batch)
        if self.normalisation == "instance" and all(n == MULTIPLE for n in size):
            raise ValueError(f"data.size {size} is too small for instance normalisation: double an axis")


RELEASED = VNetSettings()


def _activated(dims: int, convolution: nn.Module, outputs: int, normalisation: Normalisation) -> list[nn.Module]:
    # ReLU in place: what is before it, normalisation or convolution, needs its input for the gradient, not its output
    return [convolution, *layers.normalisation(dims, normalisation, outputs), nn.ReLU(inplace=True)]


class ConvBlock(nn.Sequential):
    """Some times convolution 3, normalisation, ReLU: (B, inputs, *S) -> (B, outputs, *S)."""

    def __init__(self, dims: int, inputs: int, outputs: int, convolutions: int, normalisation: Normalisation) -> None:
        parts: list[nn.Module] = []
        for channels in [inputs, *[outputs] * (convolutions - 1)]:
            parts += _activated(dims, layers.conv(dims, channels, outputs, kernel=3), outputs, normalisation)
        super().__init__(*parts)


class VNet(Segmenter):
    """V-Net with an open seam between encoder and decoder.

    Whole channels are dropped in two places, in train mode: the deepest features at the end of `encode`, and the finest
    features before the last convolution of the plain pass `forward`. `decode` drops nothing, so that feature views of
    one encoding differ by their perturbation alone; the released code does the same in its passes of several views.

    Args:
        dims: 2 or 3 spatial axes.
        in_channels: C.
        classes: K, background included.
        settings: width; normalisation after every convolution but the last ("group" has 16 groups, or one a channel
            where there are fewer; "instance" has no weights, and needs more than one voxel at the deepest level); rate
            of both dropouts.
    """

    Settings = VNetSettings
    settings: VNetSettings

    def __init__(self, dims: int, in_channels: int, classes: int, settings: VNetSettings = RELEASED) -> None:
        super().__init__(dims, in_channels, classes, settings)
        normalisation = settings.normalisation
        channels = [settings.width * 2**level for level in range(len(CONVOLUTIONS))]
        self.decoder_channels = tuple(channels[:-1])
        widths = [*channels, *channels[-2::-1]]  # down and up again
        self.blocks = nn.ModuleList(
            ConvBlock(dims, inputs, outputs, convolutions, normalisation)
            for inputs, outputs, convolutions in zip(
                [in_channels, *widths[1:]], widths, [*CONVOLUTIONS, *CONVOLUTIONS[-2::-1]], strict=True
            )
        )
        self.down = nn.ModuleList(
            nn.Sequential(*_activated(dims, layers.conv_halving(dims, fine, coarse), coarse, normalisation))
            for fine, coarse in pairwise(channels)
        )
        self.up = nn.ModuleList(
            nn.Sequential(*_activated(dims, layers.conv_doubling(dims, coarse, fine), fine, normalisation))
            for coarse, fine in pairwise(reversed(channels))
        )
        self.dropout = layers.channel_dropout(dims, settings.dropout)
        self.head = layers.conv(dims, settings.width, classes, kernel=1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """(B, C, *S) -> five feature maps, finest first, level l (B, 2^l W, *S / 2^l); the last with dropout."""
        self.check_input(x)
        features = [self.blocks[0](x)]
        for down, block in zip(self.down, self.blocks[1:], strict=False):
            features.append(block(down(features[-1])))
        features[-1] = self.dropout(features[-1])
        return features

    def decode_features(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps as `encode` gives them -> four, finest first, level l (B, 2^l W, *S / 2^l); without dropout."""
        decoded = [features[-1]]
        for up, block, skip in zip(self.up, self.blocks[len(features) :], reversed(features[:-1]), strict=True):
            decoded.append(block(up(decoded[-1]) + skip))
        return decoded[:0:-1]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> logits (B, K, *S): in train mode `decode` of `encode` with a second dropout in between."""
        logits: Tensor = self.head(self.dropout(self.decode_features(self.encode(x))[0]))
        return logits
