"""Networks from the weights of the released code, so that published checkpoints can be used and compared.

Source of the names: github.com/AiEson/CrossMatch, commit 59772e0: `UNet` of its 2D code (also the U-Net of SSL4MIS,
BCP, UniMatch) and `VNet` of its 3D code.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pydantic import ValidationError
from torch import Tensor

from crossmatch.errors import UserError, listed
from crossmatch.networks.layers import Normalisation
from crossmatch.networks.segmenter import Segmenter
from crossmatch.networks.unet import DROPOUT, UNet, UNetSettings
from crossmatch.networks.vnet import CONVOLUTIONS, VNet, VNetSettings

# released name -> ours, as regular expressions tried in order
_UNET_NAMES = (
    (r"encoder\.in_conv\.conv_conv\.(.+)", r"encoder.blocks.0.\1"),
    (r"encoder\.down(\d)\.maxpool_conv\.1\.conv_conv\.(.+)", r"encoder.blocks.\1.\2"),
    (r"decoder\.up(\d)\.conv1x1\.(.+)", r"decoder.ups.{\1-1}.enlarge.0.\2"),
    (r"decoder\.up(\d)\.conv\.conv_conv\.(.+)", r"decoder.ups.{\1-1}.block.\2"),
    (r"decoder\.out_conv\.(.+)", r"head.\1"),
)
_BLOCKS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")  # five down, four up again
_VNET_NAMES = (
    *((rf"block_{word}\.conv\.(.+)", rf"encoder.blocks.{i}.\1") for i, word in enumerate(_BLOCKS[:5])),
    *((rf"block_{word}\.conv\.(.+)", rf"decoder.blocks.{i}.\1") for i, word in enumerate(_BLOCKS[5:])),
    *((rf"block_{word}_dw\.conv\.(.+)", rf"encoder.downs.{i}.\1") for i, word in enumerate(_BLOCKS[:4])),
    *((rf"block_{word}_up\.conv\.(.+)", rf"decoder.ups.{i}.\1") for i, word in enumerate(_BLOCKS[4:8])),
    (r"out_conv\.(.+)", r"head.\1"),
)


class _Released(NamedTuple):
    """A network of the released code: how its state is recognised, how its names become ours, how ours is built."""

    title: str
    first: str  # the weights (outputs, inputs, *kernel) of its first convolution
    last: str  # the weights (classes, inputs, *kernel) of its output convolution
    names: tuple[tuple[str, str], ...]
    build: Callable[[Mapping[str, Tensor], int, int, int], Segmenter]  # our names, dims, in_channels, classes


def from_reference(state: Mapping[str, Tensor]) -> Segmenter:
    """Our network with the weights of a released checkpoint. Names and shapes say all about it but dropout.

    Args:
        state: the state dict as saved by the released code: plain, under the key ``model``, or with ``module.``
            prefixes; ``num_batches_tracked`` entries may be missing.

    Returns:
        A `UNet` or `VNet` in train mode. Its dropout rates are the released ones, or 0 for a U-Net of other than five
        levels. Set ``p`` of its ``nn.Dropout*`` modules to change them.

    Raises:
        UserError: the names are not those of a network known here, or some are missing or left over.
    """
    inner = state.get("model", state)
    if not isinstance(inner, Mapping):
        raise UserError("The checkpoint's entry 'model' is no state dict; pass the dict of names and tensors itself.")
    plain = {name.removeprefix("module."): value for name, value in inner.items()}
    for released in _RELEASED:
        if released.first in plain:
            return _filled(released, plain)
    expected = " or ".join(f"the released {released.title} ('{released.first}', ...)" for released in _RELEASED)
    raise UserError(
        f"These weights have the names of no network known here: expected {expected}, found {listed(sorted(plain))}."
    )


def _filled(released: _Released, state: Mapping[str, Tensor]) -> Segmenter:
    foreign = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if foreign:
        raise UserError(
            f"The {released.title}'s state has entries that are no tensors ({listed(foreign)}): pass the state dict "
            "alone."
        )
    renamed = {_rename(name, released.names): value for name, value in state.items()}
    first, last = state[released.first], state.get(released.last)
    if last is None or first.ndim not in (4, 5) or last.ndim != first.ndim:
        raise UserError(
            f"The {released.title}'s state is incomplete or of another network: '{released.last}' is missing, or it or "
            f"'{released.first}' is no convolution of two or three axes."
        )
    network = released.build(renamed, first.ndim - 2, first.shape[1], last.shape[0])
    ours = network.state_dict()
    missing = [name for name in ours if name not in renamed and not name.endswith("num_batches_tracked")]
    unknown = [name for name in renamed if name not in ours]
    misshapen = [name for name, value in ours.items() if name in renamed and renamed[name].shape != value.shape]
    if missing or unknown or misshapen:
        raise UserError(
            f"The {released.title}'s state does not fit: {len(missing)} weights are missing ({listed(missing)}), "
            f"{len(unknown)} are unknown ({listed(unknown)}) and {len(misshapen)} have another shape "
            f"({listed(misshapen)}). Is it a checkpoint of another variant?"
        )
    network.load_state_dict(renamed, strict=False)
    return network


def _rename(name: str, names: tuple[tuple[str, str], ...]) -> str:
    for pattern, target in names:
        if re.fullmatch(pattern, name):
            ours = re.sub(pattern, target, name)
            return re.sub(r"\{(\d)-1\}", lambda match: str(int(match[1]) - 1), ours)
    return name


def _unet(state: Mapping[str, Tensor], dims: int, in_channels: int, classes: int) -> UNet:
    levels = 0
    while f"encoder.blocks.{levels}.0.weight" in state:
        levels += 1
    if levels < 2:
        raise UserError("The U-Net's state is incomplete: the 'encoder.down*' are missing.")
    dropout = DROPOUT if levels == len(DROPOUT) else (0.0,) * levels
    settings = UNetSettings(width=state["encoder.blocks.0.0.weight"].shape[0], dropout=dropout)
    return UNet(dims, in_channels, classes, settings)


def _vnet(state: Mapping[str, Tensor], dims: int, in_channels: int, classes: int) -> VNet:
    width, normalisation = state["encoder.blocks.0.0.weight"].shape[0], _vnet_normalisation(state)
    try:
        settings = VNetSettings(width=width, normalisation=normalisation)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(f"The V-Net's state does not fit: {problem}.") from None
    return VNet(dims, in_channels, classes, settings)


def _vnet_normalisation(state: Mapping[str, Tensor]) -> Normalisation:
    """Batch and group normalisation have weights; the others show in where a block's second convolution stands."""
    if any(name.endswith("running_mean") for name in state):
        return "batch"
    if any(name.endswith(".weight") and value.ndim == 1 for name, value in state.items()):
        return "group"
    third_is_conv = any(f"encoder.blocks.{level}.2.weight" in state for level in range(len(CONVOLUTIONS)))
    return "none" if third_is_conv else "instance"  # convolution, ReLU, convolution; else a layer in between


_RELEASED = (
    _Released("U-Net", "encoder.in_conv.conv_conv.0.weight", "decoder.out_conv.weight", _UNET_NAMES, _unet),
    _Released("V-Net", "block_one.conv.0.weight", "out_conv.weight", _VNET_NAMES, _vnet),
)
