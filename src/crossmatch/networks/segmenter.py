"""What every network is: an encoder, a decoder and a head, three modules with lists of feature maps between them.

Methods work between these modules. They perturb what lies between encoder and decoder, and can ask the network for
further decoders, further heads, or a further network.
Shapes: B batch, C channels, K classes, *S space.
"""

import copy
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from crossmatch.networks import layers
from crossmatch.networks.layers import Upsampling
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


class Segmenter(nn.Module):
    """A segmentation network: ``head(decoder(encoder(x))[0])``.

    A network of one's own sets `encoder`, `decoder`, `head` and `decoder_channels` in its constructor.

    Args:
        dims: number of spatial axes, 2 or 3.
        in_channels: C, channels of the input image.
        classes: K, classes of the output, background included.
        settings: an object of the class's `Settings`.

    Attributes:
        dims, in_channels, classes, settings: as given.
        Settings: the class of the network's settings.
        HEAD_KERNEL: kernel size of the network's head.
        UPSAMPLING: how the network's decoder enlarges feature maps.
        encoder: images (B, C, *S) -> list of feature maps, finest first. It has ``blocks``, one module a level.
        decoder: that list -> list of decoded maps, finest first; level l is of size S / 2^l.
        head: finest decoded map -> logits (B, K, *S).
        decoder_channels: channels of the decoded maps, finest first.
        last_dropout: what the plain pass does between decoder and head.
        multiple: every spatial axis of the input must be a multiple of this.
        memory_format: how the weights are laid out, see `to_channels_last`.
    """

    Settings: ClassVar[type[NetworkSettings]]
    HEAD_KERNEL: ClassVar[int] = 1
    UPSAMPLING: ClassVar[Upsampling]
    settings: NetworkSettings
    encoder: nn.Module
    decoder: nn.Module
    head: nn.Module
    decoder_channels: tuple[int, ...]

    def __init__(self, dims: int, in_channels: int, classes: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.dims, self.in_channels, self.classes = dims, in_channels, classes
        self.settings, self.multiple = settings, settings.multiple
        self.last_dropout: nn.Module = nn.Identity()
        self.memory_format = torch.contiguous_format

    def encode(self, x: Tensor) -> list[Tensor]:
        """The encoder's feature maps of images (B, C, *S).

        Raises:
            ValueError: the images have another number of axes or channels, or a size that does not fit.
        """
        self.check_input(x)
        features: list[Tensor] = self.encoder(x)
        return features

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        """Feature maps as `encode` gives them -> logits (B, K, *S), without `last_dropout`."""
        logits: Tensor = self.head(self.decoder(features)[0])
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> logits (B, K, *S): the plain pass, with `last_dropout`."""
        logits: Tensor = self.head(self.last_dropout(self.decoder(self.encode(x))[0]))
        return logits

    def another_decoder(self, upsampling: Upsampling | None = None) -> nn.Module:
        """A further decoder for the same encoder and head, with fresh weights.

        Args:
            upsampling: how it enlarges feature maps; None: `UPSAMPLING`.
        """
        raise NotImplementedError(f"{type(self).__name__} builds no further decoders")

    def another_encoder(self) -> nn.Module:
        """An encoder of another kind for the same decoder, with fresh weights: residual, see `ResidualEncoder`."""
        raise NotImplementedError(f"{type(self).__name__} builds no encoder of another kind")

    def another_head(self, level: int = 0, outputs: int | None = None, kernel: int | None = None) -> nn.Module:
        """A further head, with fresh weights: a convolution that keeps the size.

        Args:
            level: the decoded map that it is for, 0 is the finest.
            outputs: its channels; None: one a class.
            kernel: its kernel size; None: that of the network's own head.
        """
        head = layers.conv(self.dims, self.decoder_channels[level], outputs or self.classes, kernel or self.HEAD_KERNEL)
        return self._laid_out(head)

    def another(self) -> Self:
        """A network of the same kind, in the same mode, with fresh weights."""
        fresh = type(self)(self.dims, self.in_channels, self.classes, self.settings)
        another = copy.deepcopy(self)
        another.load_state_dict(fresh.state_dict())
        return another

    def check_input(self, x: Tensor) -> None:
        """Raise ValueError that names the next legal size when `x` does not fit this network."""
        if x.ndim != self.dims + 2 or x.shape[1] != self.in_channels:
            expected = "(B, {}, {})".format(self.in_channels, ", ".join("HWD"[: self.dims]))
            raise ValueError(f"this network takes images of shape {expected}, got {tuple(x.shape)}")
        size, step = tuple(x.shape[2:]), self.multiple
        legal = tuple(-(-n // step) * step for n in size)
        if size != legal:
            raise ValueError(f"image size {size} is not a multiple of {step} on every axis; the next legal is {legal}")

    def _laid_out(self, module: nn.Module) -> nn.Module:
        return module.to(memory_format=self.memory_format)  # type: ignore[call-overload, no-any-return]


def to_channels_last(network: Segmenter) -> Segmenter:
    """Lay the weights out as convolutions run fastest. Feature maps, further decoders and heads follow them."""
    network.memory_format = layers.CHANNELS_LAST[network.dims]
    return network.to(memory_format=network.memory_format)  # type: ignore[call-overload, no-any-return]
