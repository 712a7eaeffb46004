"""What every network offers: an encoder and a decoder with a list of feature maps between them.

That seam is where methods perturb features; further heads go onto the decoder's own feature maps.
Shapes: B batch, C channels, K classes, *S space.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from crossmatch.settings import Settings


class NetworkSettings(Settings):
    """What a recipe can set of a network."""

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Every spatial axis of an image must be a multiple of this."""

    def check_size(self, size: Sequence[int], batch: int) -> None:
        """Raise ValueError that names a legal size when batches of images of `size` voxels do not fit the network."""
        legal = tuple(-(-n // self.multiple) * self.multiple for n in size)
        if tuple(size) != legal:
            raise ValueError(f"data.size {size} must be multiples of {self.multiple} for this network; next: {legal}")
        if batch == 1 and all(n == self.multiple for n in size):
            raise ValueError(f"data.size {size} leaves normalisation one voxel a batch: double an axis, or batch two")


class Segmenter(nn.Module, ABC):
    """A segmentation network cut in two.

    Args:
        dims: number of spatial axes, 2 or 3.
        in_channels: C, channels of the input image.
        classes: K, classes of the output, background included.
        settings: an object of the class's `Settings`.

    Attributes:
        dims, in_channels, classes, settings: as given.
        Settings: the class of the network's settings.
        multiple: every spatial axis of the input must be a multiple of this.
        decoder_channels: channels of the feature maps of `decode_features`, finest first.
        head: the decoder's last layer, finest features -> logits.
    """

    Settings: ClassVar[type[NetworkSettings]]
    settings: NetworkSettings
    decoder_channels: tuple[int, ...]
    head: nn.Module

    def __init__(self, dims: int, in_channels: int, classes: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.dims, self.in_channels, self.classes = dims, in_channels, classes
        self.settings, self.multiple = settings, settings.multiple

    @abstractmethod
    def encode(self, x: Tensor) -> list[Tensor]:
        """(B, C, *S) -> feature maps, finest first."""

    @abstractmethod
    def decode_features(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The encoder's feature maps -> the decoder's, both finest first; level l is of size S / 2^l."""

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        """Feature maps as `encode` gives them -> logits (B, K, *S)."""
        logits: Tensor = self.head(self.decode_features(features)[0])
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> logits (B, K, *S). In train mode a network may drop features here that `decode` keeps."""
        return self.decode(self.encode(x))

    def check_input(self, x: Tensor) -> None:
        """Raise ValueError that names the next legal size when `x` does not fit this network."""
        if x.ndim != self.dims + 2 or x.shape[1] != self.in_channels:
            expected = "(B, {}, {})".format(self.in_channels, ", ".join("HWD"[: self.dims]))
            raise ValueError(f"this network takes images of shape {expected}, got {tuple(x.shape)}")
        size, step = tuple(x.shape[2:]), self.multiple
        legal = tuple(-(-n // step) * step for n in size)
        if size != legal:
            raise ValueError(f"image size {size} is not a multiple of {step} on every axis; the next legal is {legal}")
