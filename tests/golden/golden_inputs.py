"""The inputs of the golden numbers, drawn again from their seeds, so that they need not be stored.

The released networks and the logits for the released objectives were drawn by PyTorch's CPU generator. `make.py`
compares every number here with the files of the released code's run.
"""

import math

import torch
from torch import Tensor

STREAMS = ("x", "w_n", "w_w", "w_s", "s1_n", "s2_n", "s2_w", "s2_s", "mix_n", "mix_w", "mix_s")
NORM = (("weight", 0.5, 1.5), ("bias", -0.2, 0.2), ("running_mean", -0.2, 0.2), ("running_var", 0.5, 1.5))
# V-Net: name, convolutions, channels in (0: those of the image) and out as multiples of the width, kernel
BLOCKS = (
    ("block_one", 1, 0, 1, 3),
    ("block_one_dw", 1, 1, 2, 2),
    ("block_two", 2, 2, 2, 3),
    ("block_two_dw", 1, 2, 4, 2),
    ("block_three", 3, 4, 4, 3),
    ("block_three_dw", 1, 4, 8, 2),
    ("block_four", 3, 8, 8, 3),
    ("block_four_dw", 1, 8, 16, 2),
    ("block_five", 3, 16, 16, 3),
    ("block_five_up", 1, 16, 8, 2),
    ("block_six", 3, 8, 8, 3),
    ("block_six_up", 1, 8, 4, 2),
    ("block_seven", 3, 4, 4, 3),
    ("block_seven_up", 1, 4, 2, 2),
    ("block_eight", 2, 2, 2, 3),
    ("block_eight_up", 1, 2, 1, 2),
    ("block_nine", 1, 1, 1, 3),
)
FULL_SIZE = 1_810_820  # weights of the convolutions of a full-size U-Net, which was drawn before the small one


def unet() -> tuple[dict[str, Tensor], Tensor]:
    """The state of a released U-Net of width 4 with 4 classes, and images (2, 1, 64, 64)."""
    torch.manual_seed(11)
    torch.rand(FULL_SIZE)
    width, names = [4, 8, 16, 32, 64], ["encoder.in_conv", *(f"encoder.down{i}.maxpool_conv.1" for i in range(1, 5))]
    state: dict[str, Tensor] = {}
    norms: list[tuple[str, int]] = []

    def pair(name: str, inputs: int, outputs: int) -> None:
        for place, channels in ((0, inputs), (4, outputs)):
            state.update(_convolution(f"{name}.conv_conv.{place}", (outputs, channels, 3, 3)))
            norms.append((f"{name}.conv_conv.{place + 1}", outputs))

    for name, inputs, outputs in zip(names, [1, *width], width, strict=False):
        pair(name, inputs, outputs)
    for level in range(1, 5):
        coarse, fine = width[-level], width[-level - 1]
        state.update(_convolution(f"decoder.up{level}.conv1x1", (fine, coarse, 1, 1)))
        pair(f"decoder.up{level}.conv", 2 * fine, fine)
    state.update(_convolution("decoder.out_conv", (4, 4, 3, 3)))
    return state | _norms(norms), torch.rand(2, 1, 64, 64)


def vnet() -> tuple[dict[str, Tensor], Tensor]:
    """The state of a released V-Net of width 4 with 2 classes, and an image (1, 1, 32, 48, 32)."""
    torch.manual_seed(31)
    state: dict[str, Tensor] = {}
    norms: list[tuple[str, int]] = []
    for name, convolutions, coming, going, kernel in BLOCKS:
        for place in range(convolutions):
            inputs, outputs = 4 * coming or 1, 4 * going
            shape = (inputs, outputs) if name.endswith("_up") else (outputs, inputs)
            state |= _convolution(f"{name}.conv.{3 * place}", (*shape, kernel, kernel, kernel), outputs)
            norms.append((f"{name}.conv.{3 * place + 1}", outputs))
    state |= _convolution("out_conv", (2, 4, 1, 1, 1))
    return state | _norms(norms), torch.randn(1, 1, 32, 48, 32)


def objective(dims: int) -> tuple[dict[str, Tensor], Tensor]:
    """Logits of every stream and labels ``y``; CutMix boxes (B, 2, *S)."""
    shape, seed, common, own = {2: ((3, 4, 48, 48), 12, 3.0, 2.0), 3: ((2, 2, 20, 16, 12), 32, 1.5, 1.0)}[dims]
    torch.manual_seed(seed)
    base = common * torch.randn(shape)
    streams = {name: base + own * torch.randn(shape) for name in STREAMS}
    streams["y"] = torch.randint(0, shape[1], (shape[0], *shape[2:]))
    boxes = torch.zeros(shape[0], 2, *shape[2:], dtype=torch.bool)
    for image, view, *corners in BOXES[dims]:
        boxes[(image, view, *(slice(start, stop) for start, stop in corners))] = True
    return streams, boxes


# image, strong view, then first and last-but-one voxel of every axis
BOXES = {
    2: (
        (0, 0, (5, 30), (10, 20)),
        (2, 0, (0, 12), (30, 48)),
        (1, 1, (8, 40), (4, 24)),
        (2, 1, (20, 26), (0, 40)),
    ),
    3: (
        (0, 0, (2, 12), (3, 9), (1, 8)),
        (1, 1, (0, 15), (8, 16), (2, 12)),
    ),
}


def _convolution(name: str, shape: tuple[int, ...], outputs: int | None = None) -> dict[str, Tensor]:
    """PyTorch's initial weights and bias: uniform within 1 / sqrt(second axis times kernel)."""
    bound = (shape[1] * math.prod(shape[2:])) ** -0.5
    weight = torch.nn.init.kaiming_uniform_(torch.empty(shape), a=math.sqrt(5))
    return {f"{name}.weight": weight, f"{name}.bias": torch.empty(outputs or shape[0]).uniform_(-bound, bound)}


def _norms(norms: list[tuple[str, int]]) -> dict[str, Tensor]:
    return {
        f"{name}.{part}": torch.empty(channels).uniform_(low, high)
        for name, channels in norms
        for part, low, high in NORM
    }
