"""An encoder of another kind: residual blocks, as in a ResNet-34, with feature maps of the shapes of U-Net and V-Net.

Shapes: B batch, C channels, *S space.
Source: He et al., "Deep Residual Learning", CVPR 2016; as second encoder in the released code of SDCL,
github.com/pascalcpp/SDCL, commit cfb260f, code/networks/resnet.py and resnet3d.py.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from crossmatch.networks import layers
from crossmatch.networks.layers import Normalisation

STEM_KERNEL = 7
BLOCKS = (3, 4, 6, 3)  # of each level below the finest; deeper ones have as many as the last


class ResidualBlock(nn.Module):
    """Twice convolution 3 and normalisation, beside a shortcut; ReLU. The first convolution may halve the size."""

    def __init__(self, dims: int, inputs: int, outputs: int, stride: int, normalisation: Normalisation) -> None:
        super().__init__()
        self.convolved = nn.Sequential(
            layers.conv(dims, inputs, outputs, kernel=3, stride=stride, bias=False),
            *layers.normalisation(dims, normalisation, outputs),
            nn.ReLU(),
            layers.conv(dims, outputs, outputs, kernel=3, bias=False),
            *layers.normalisation(dims, normalisation, outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(
                layers.conv(dims, inputs, outputs, kernel=1, stride=stride, bias=False),
                *layers.normalisation(dims, normalisation, outputs),
            )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *S) -> (B, outputs, *S / stride)."""
        y: Tensor = self.activation(self.convolved(x) + self.shortcut(x))
        return y


class ResidualEncoder(nn.Module):
    """(B, C, *S) -> one feature map a level, finest first, level l of size S / 2^l. There is no dropout.

    The finest level is a convolution 7 with normalisation and ReLU at full size.

    Args:
        dims: 2 or 3 spatial axes.
        in_channels: C.
        channels: of each level, finest first.
        normalisation: after each convolution.
    """

    def __init__(self, dims: int, in_channels: int, channels: Sequence[int], normalisation: Normalisation) -> None:
        super().__init__()
        stem = nn.Sequential(
            layers.conv(dims, in_channels, channels[0], STEM_KERNEL, bias=False),
            *layers.normalisation(dims, normalisation, channels[0]),
            nn.ReLU(),
        )
        stages = [
            nn.Sequential(
                ResidualBlock(dims, fine, coarse, 2, normalisation),
                *(ResidualBlock(dims, coarse, coarse, 1, normalisation) for _ in range(_blocks(level) - 1)),
            )
            for level, (fine, coarse) in enumerate(pairwise(channels))
        ]
        self.blocks = nn.ModuleList([stem, *stages])

    def forward(self, x: Tensor) -> list[Tensor]:
        """The feature maps."""
        features = [x]
        for block in self.blocks:
            features.append(block(features[-1]))
        return features[1:]


def _blocks(level: int) -> int:
    return BLOCKS[min(level, len(BLOCKS) - 1)]
