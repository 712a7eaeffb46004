"""Networks from the weights of the released code, so that published checkpoints can be used and compared.

Source of the names: github.com/AiEson/CrossMatch, commit 59772e0, `UNet` (also the U-Net of SSL4MIS, BCP, UniMatch).
"""

import re
from collections.abc import Mapping

from torch import Tensor

from crossmatch.errors import UserError
from crossmatch.networks.segmenter import Segmenter
from crossmatch.networks.unet import DROPOUT, UNet

# released name -> ours, as regular expressions tried in order
_UNET_NAMES = (
    (r"encoder\.in_conv\.conv_conv\.(.+)", r"down.0.\1"),
    (r"encoder\.down(\d)\.maxpool_conv\.1\.conv_conv\.(.+)", r"down.\1.\2"),
    (r"decoder\.up(\d)\.conv1x1\.(.+)", r"up.{\1-1}.reduce.\2"),
    (r"decoder\.up(\d)\.conv\.conv_conv\.(.+)", r"up.{\1-1}.block.\2"),
    (r"decoder\.out_conv\.(.+)", r"head.\1"),
)


def from_reference(state: Mapping[str, Tensor]) -> Segmenter:
    """Our network with the weights of a released checkpoint; widths, channels and classes are read from the shapes.

    Args:
        state: the state dict as saved by the released code: plain, under the key ``model``, or with ``module.``
            prefixes; ``num_batches_tracked`` entries may be missing.

    Returns:
        The network in train mode. Dropout rates are not in a state dict: the released ones for five levels, else 0;
        they are ``nn.Dropout`` modules, set ``p`` to change them.

    Raises:
        UserError: the names are not those of a network known here, or some are missing or left over.
    """
    inner = state.get("model", state)
    if not isinstance(inner, Mapping):
        raise UserError("The checkpoint's entry 'model' is no state dict; pass the dict of names and tensors itself.")
    plain = {name.removeprefix("module."): value for name, value in inner.items()}
    if "encoder.in_conv.conv_conv.0.weight" in plain:
        return _unet(plain)
    raise UserError(
        "These weights have the names of no network known here: expected the released U-Net "
        f"('encoder.in_conv.conv_conv.0.weight', ...), found {sorted(plain)[:3]}."
    )


def _unet(state: Mapping[str, Tensor]) -> UNet:
    renamed = {_rename(name): value for name, value in state.items()}
    widths: list[int] = []
    while (weight := renamed.get(f"down.{len(widths)}.0.weight")) is not None:
        widths.append(weight.shape[0])
    first, head = renamed["down.0.0.weight"], renamed.get("head.weight")
    if head is None or len(widths) < 2:
        raise UserError(
            "The U-Net's state is incomplete: 'decoder.out_conv.weight' or the 'encoder.down*' are missing."
        )
    dropout = DROPOUT if len(widths) == len(DROPOUT) else (0.0,) * len(widths)
    network = UNet(first.ndim - 2, first.shape[1], head.shape[0], widths, dropout)
    ours = network.state_dict()
    missing = [name for name in ours if name not in renamed and not name.endswith("num_batches_tracked")]
    unknown = [name for name in renamed if name not in ours]
    misshapen = [name for name, value in ours.items() if name in renamed and renamed[name].shape != value.shape]
    if missing or unknown or misshapen:
        raise UserError(
            f"The U-Net's state does not fit: {len(missing)} weights are missing {missing[:3]}, {len(unknown)} are "
            f"unknown {unknown[:3]} and {len(misshapen)} have another shape {misshapen[:3]}. Is it a checkpoint of "
            "another variant?"
        )
    network.load_state_dict(renamed, strict=False)
    return network


def _rename(name: str) -> str:
    for pattern, target in _UNET_NAMES:
        if re.fullmatch(pattern, name):
            ours = re.sub(pattern, target, name)
            return re.sub(r"\{(\d)-1\}", lambda match: str(int(match[1]) - 1), ours)
    return name
