"""Networks by name. A new network is a file with a `Segmenter` and its settings, and a line in `NETWORKS`."""

from crossmatch.networks.segmenter import NetworkSettings, Segmenter
from crossmatch.networks.unet import UNet
from crossmatch.networks.vnet import VNet

NETWORKS: dict[str, type[Segmenter]] = {"unet": UNet, "vnet": VNet}

__all__ = ["NETWORKS", "NetworkSettings", "Segmenter", "UNet", "VNet"]
