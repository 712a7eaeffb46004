"""A network of your own in one file: two levels and a skip connection, in 2D and 3D, trained by any method.

    .venv/bin/python examples/new_network.py DATA OUT [STEPS]

DATA is a dataset, for instance that of train_and_predict.py; OUT is a new folder for the run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

import crossmatch
from crossmatch.networks.layers import Doubling, batch_norm, conv, max_pool
from crossmatch.networks.segmenter import NetworkSettings, Segmenter


class TwoLevelsSettings(NetworkSettings):
    """What a recipe, or a keyword of `crossmatch.train`, can set."""

    width: int = 16
    """Channels of the finest level. The coarse one has twice as many."""

    @property
    def multiple(self) -> int:
        """Images are halved once."""
        return 2


class Encoder(nn.Module):
    """Images (B, C, *S) -> feature maps of size S and S / 2. Methods disturb these, between encoder and decoder."""

    def __init__(self, dims: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.first = block(dims, in_channels, width)
        self.second = nn.Sequential(max_pool(dims), block(dims, width, 2 * width))

    def forward(self, x: Tensor) -> list[Tensor]:
        """The feature maps, finest first."""
        fine = self.first(x)
        return [fine, self.second(fine)]


class Decoder(nn.Module):
    """Those feature maps -> the one that the head makes logits of."""

    def __init__(self, dims: int, width: int) -> None:
        super().__init__()
        self.enlarge = Doubling("linear")
        self.last = block(dims, 3 * width, width)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The decoded maps, finest first: here only one."""
        fine, coarse = features
        return [self.last(torch.cat([fine, self.enlarge(coarse)], 1))]


class TwoLevels(Segmenter):
    """A U-Net of two levels.

    Shapes: B batch, C channels, K classes, *S space, 2 or 3 axes.
    """

    Settings = TwoLevelsSettings

    def __init__(self, dims: int, in_channels: int, classes: int, settings: TwoLevelsSettings) -> None:
        super().__init__(dims, in_channels, classes, settings)
        self.decoder_channels = (settings.width,)
        self.encoder = Encoder(dims, in_channels, settings.width)
        self.decoder = Decoder(dims, settings.width)
        self.head = self.another_head()


def block(dims: int, inputs: int, outputs: int) -> nn.Module:
    """Convolution, normalisation, ReLU: (B, inputs, *S) -> (B, outputs, *S)."""
    return nn.Sequential(conv(dims, inputs, outputs, 3), batch_norm(dims, outputs), nn.ReLU())


# From here on every recipe and command of this process knows it. A run with it is loaded after this line, too.
crossmatch.networks.NETWORKS["two_levels"] = TwoLevels


def main(data: Path, out: Path, steps: int = 600) -> None:
    """Train it by CrossMatch, in the phantom's recipe."""
    model = crossmatch.train("phantom", data, out, network__name="two_levels", network__width=8, train__steps=steps)
    weights = sum(weight.numel() for weight in model.network.parameters())
    print(f"{model}: {weights} weights")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("steps", metavar="STEPS", type=int, nargs="?", default=600)
    main(**vars(parser.parse_args()))
