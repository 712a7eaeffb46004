"""Networks by name. A new one is a file with a `Segmenter` and a line in `NETWORKS`."""

from crossmatch.networks.segmenter import Segmenter
from crossmatch.networks.unet import UNet

NETWORKS: dict[str, type[UNet]] = {"unet": UNet}

__all__ = ["NETWORKS", "Segmenter", "UNet"]
