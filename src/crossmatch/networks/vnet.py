"""The V-Net of the CrossMatch experiments on the left atrium, for two or three spatial axes.

Shapes: B batch, C channels, K classes, W width, *S space.
Source: released code github.com/AiEson/CrossMatch, commit 59772e0: W-2W-4W-8W-16W channels with 1, 2, 3, 3, 3
convolutions a level, convolutions of stride 2 between the levels, skip connections that are added, ReLU. The residual
connections inside the levels of the original (Milletari et al., 3DV 2016) are not used there, nor here.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from crossmatch.networks import layers
from crossmatch.networks.layers import Normalisation, Upsampling
from crossmatch.networks.pyramid import PyramidSettings
from crossmatch.networks.residual import ResidualEncoder
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import BelowOne

CONVOLUTIONS = (1, 2, 3, 3, 3)  # of each level, finest first, in the encoder and again in the decoder


class VNetSettings(PyramidSettings):
    """Width, normalisation and dropout. The defaults are the released 3D constants."""

    dropout: BelowOne = 0.5
    """Dropout rate of whole channels of the deepest features and, in a plain pass, of the finest."""

    @property
    def levels(self) -> int:
        """How many levels there are."""
        return len(CONVOLUTIONS)


RELEASED = VNetSettings()


class ConvStack(nn.Sequential):
    """Some times convolution 3, normalisation, ReLU: (B, inputs, *S) -> (B, outputs, *S)."""

    def __init__(self, dims: int, inputs: int, outputs: int, convolutions: int, normalisation: Normalisation) -> None:
        parts: list[nn.Module] = []
        for channels in [inputs, *[outputs] * (convolutions - 1)]:
            parts += _activated(dims, layers.conv(dims, channels, outputs, kernel=3), outputs, normalisation)
        super().__init__(*parts)


class VNetEncoder(nn.Module):
    """(B, C, *S) -> five feature maps, finest first, level l (B, 2^l W, *S / 2^l); the last one with dropout.

    Args:
        blocks: the convolutions of each level, finest first.
        downs: what leads from each level to the next.
        dropout: for the deepest features.
    """

    def __init__(self, blocks: Iterable[nn.Module], downs: Iterable[nn.Module], dropout: nn.Module) -> None:
        super().__init__()
        self.blocks, self.downs, self.dropout = nn.ModuleList(blocks), nn.ModuleList(downs), dropout

    def forward(self, x: Tensor) -> list[Tensor]:
        """The feature maps."""
        features = [self.blocks[0](x)]
        for down, block in zip(self.downs, self.blocks[1:], strict=True):
            features.append(block(down(features[-1])))
        features[-1] = self.dropout(features[-1])
        return features


class VNetDecoder(nn.Module):
    """The encoder's feature maps -> four, finest first, level l (B, 2^l W, *S / 2^l). Skip connections are added.

    Args:
        ups: what leads from each level to the next finer one, deepest first.
        blocks: the convolutions of each level but the deepest, coarsest first.
    """

    def __init__(self, ups: Iterable[nn.Module], blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.ups, self.blocks = nn.ModuleList(ups), nn.ModuleList(blocks)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The decoded maps."""
        decoded = [features[-1]]
        for up, block, skip in zip(self.ups, self.blocks, reversed(features[:-1]), strict=True):
            decoded.append(block(up(decoded[-1]) + skip))
        return decoded[:0:-1]


class VNet(Segmenter):
    """The V-Net.

    In train mode whole channels are dropped in two places: the deepest features, at the end of the encoder, and the
    finest features before the head, in the plain pass `forward` alone (`last_dropout`). `decode` drops nothing, so
    feature views of one encoding differ by their perturbation alone. The released code does the same in its passes of
    several views.

    Args:
        dims: 2 or 3 spatial axes.
        in_channels: C.
        classes: K, background included.
        settings: width; normalisation after every convolution but the last ("group" has 16 groups, or one a channel
            where there are fewer; "instance" has no weights, and needs more than one voxel at the deepest level); rate
            of both dropouts.
    """

    Settings = VNetSettings
    UPSAMPLING = "transposed"
    settings: VNetSettings

    def __init__(self, dims: int, in_channels: int, classes: int, settings: VNetSettings = RELEASED) -> None:
        super().__init__(dims, in_channels, classes, settings)
        channels = settings.channels
        self.decoder_channels = channels[:-1]
        # The order of these four lists and of the head is the order in which the initial weights are drawn.
        levels = zip([in_channels, *channels[1:]], channels, CONVOLUTIONS, strict=True)
        blocks = [self._block(inputs, outputs, convolutions) for inputs, outputs, convolutions in levels]
        decoder_blocks = self._decoder_blocks()
        downs = [
            nn.Sequential(*_activated(dims, layers.conv_halving(dims, fine, coarse), coarse, settings.normalisation))
            for fine, coarse in pairwise(channels)
        ]
        self.encoder = VNetEncoder(blocks, downs, layers.channel_dropout(dims, settings.dropout))
        self.decoder = VNetDecoder(self._ups(self.UPSAMPLING), decoder_blocks)
        self.last_dropout = layers.channel_dropout(dims, settings.dropout)
        self.head = self.another_head()

    def another_encoder(self) -> nn.Module:
        """A residual encoder with the network's normalisation and fresh weights."""
        chosen = self.settings
        return self._laid_out(ResidualEncoder(self.dims, self.in_channels, chosen.channels, chosen.normalisation))

    def another_decoder(self, upsampling: Upsampling | None = None) -> nn.Module:
        """A further decoder with fresh weights; its upsampling is transposed unless another one is asked for."""
        return self._laid_out(VNetDecoder(self._ups(upsampling or self.UPSAMPLING), self._decoder_blocks()))

    def _block(self, inputs: int, outputs: int, convolutions: int) -> nn.Module:
        return ConvStack(self.dims, inputs, outputs, convolutions, self.settings.normalisation)

    def _decoder_blocks(self) -> list[nn.Module]:
        levels = zip(self.settings.channels[-2::-1], CONVOLUTIONS[-2::-1], strict=True)
        return [self._block(width, width, convolutions) for width, convolutions in levels]

    def _ups(self, upsampling: Upsampling) -> list[nn.Module]:
        """Transposed convolutions, or interpolation and then a convolution 3; with normalisation and ReLU."""
        ups: list[nn.Module] = []
        for coarse, fine in pairwise(reversed(self.settings.channels)):
            if upsampling == "transposed":
                parts = [layers.conv_doubling(self.dims, coarse, fine)]
            else:
                parts = [layers.Doubling(upsampling), layers.conv(self.dims, coarse, fine, kernel=3)]
            ups.append(nn.Sequential(*parts[:-1], *_activated(self.dims, parts[-1], fine, self.settings.normalisation)))
        return ups


def _activated(dims: int, convolution: nn.Module, outputs: int, normalisation: Normalisation) -> list[nn.Module]:
    # ReLU works in place: for its gradient, the layer before it needs its input, not its output
    return [convolution, *layers.normalisation(dims, normalisation, outputs), nn.ReLU(inplace=True)]
