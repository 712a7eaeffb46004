"""Networks by name. A new one is a file with a `Segmenter` and its settings, and a line in `NETWORKS`."""

from typing import Any

from crossmatch.networks.segmenter import Segmenter
from crossmatch.networks.unet import UNet, UNetSettings
from crossmatch.networks.vnet import VNet, VNetSettings

# name -> (network, its settings); a network is built as Network(dims, in_channels, classes, **settings)
NETWORKS: dict[str, tuple[Any, Any]] = {
    "unet": (UNet, UNetSettings),
    "vnet": (VNet, VNetSettings),
}

__all__ = ["NETWORKS", "Segmenter", "UNet", "VNet"]
