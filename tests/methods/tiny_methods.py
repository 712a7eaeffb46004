"""Methods on tiny networks and batches of noise, for the tests of methods."""

import torch
from torch import Tensor

from crossmatch.losses import DiceSettings
from crossmatch.methods import METHODS, Batch, Method, Unlabelled
from crossmatch.networks import NETWORKS
from crossmatch.perturb.augment import AugmentSettings

# (network, axes) -> voxels of an image; a V-Net takes multiples of 16
SIZES = {("unet", 2): (16, 12), ("unet", 3): (8, 12, 6), ("vnet", 2): (64, 32), ("vnet", 3): (16, 32, 16)}
# Every augmentation of every image: the loss of a tiny V-Net is smoother than with one or two of them, unlucky ones.
ALWAYS = {name: 1.0 for name in AugmentSettings.model_fields if name.endswith("_probability")}
# Settings under which a network that has learned nothing yet is sure enough to teach.
SURE = {
    "supervised": {},
    "supervised_strong": {"augment": ALWAYS},
    "crossmatch": {"threshold": 0.3},
}


def build(name: str, dims: int, network: str = "unet", **changes: object) -> Method:
    """A method on a U-Net of two levels or a V-Net of two filters, without dropout, seeded.

    `changes` go to the method's settings.
    """
    torch.manual_seed(0)
    small = {"unet": {"channels": (4, 8), "dropout": (0.0, 0.0)}, "vnet": {"filters": 2, "dropout": 0.0}}
    built = NETWORKS[network][0](dims, 2, 3, **small[network])
    kind, settings = METHODS[name]
    return kind(built, settings(**(SURE.get(name, {}) | changes)), DiceSettings())


def noise(dims: int, network: str = "unet", labelled: int = 2, unlabelled: int = 3) -> Batch:
    """Images of two channels and labels of three classes, nothing in them to learn."""
    drawn = torch.Generator().manual_seed(dims)
    size = SIZES[network, dims]

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
