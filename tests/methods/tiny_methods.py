"""Methods on tiny networks and batches of noise, for the tests of methods."""

import torch
from torch import Tensor

from crossmatch.losses import DiceSettings
from crossmatch.methods import METHODS, Batch, Method, Unlabelled
from crossmatch.networks import UNet

SIZES = {2: (16, 12), 3: (8, 12, 6)}
# Settings under which a network that has learned nothing yet is sure enough to teach.
SURE = {"supervised": {}, "crossmatch": {"threshold": 0.3}}


def build(name: str, dims: int, **changes: object) -> Method:
    """A method on a U-Net of two levels without dropout, seeded; `changes` go to its settings."""
    torch.manual_seed(0)
    network = UNet(dims, 2, 3, channels=(4, 8), dropout=(0.0, 0.0))
    kind, settings = METHODS[name]
    return kind(network, settings(**(SURE.get(name, {}) | changes)), DiceSettings())


def noise(dims: int, labelled: int = 2, unlabelled: int = 3) -> Batch:
    """Images of two channels and labels of three classes, nothing in them to learn."""
    drawn = torch.Generator().manual_seed(dims)
    size = SIZES[dims]

    def draw() -> Unlabelled:
        weak = torch.rand(unlabelled, 2, *size, generator=drawn)
        strong = torch.rand(unlabelled, 2, 2, *size, generator=drawn)
        return Unlabelled(weak, strong, torch.rand(unlabelled, 2, *size, generator=drawn) < 0.3)

    x = torch.rand(labelled, 2, *size, generator=drawn)
    y = torch.randint(0, 3, (labelled, *size), generator=drawn)
    return Batch(x, y, draw(), draw())


def first_loss(method: Method, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """The terms of one step, dropout seeded."""
    torch.manual_seed(seed)
    return method(batch, torch.tensor(0.5))
