"""Weights of the released V-Net: equal outputs, what is read from names and shapes, and states that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crossmatch.errors import UserError
from crossmatch.networks.reference import from_reference

RTOL, ATOL = 1e-4, 1e-5  # of the golden numbers, see their README

# released name, convolutions, channels in and out as multiples of the width (0: those of the image), kernel
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
NORM_WEIGHTS = {
    "batch": ("weight", "bias", "running_mean", "running_var"),
    "group": ("weight", "bias"),
    "instance": (),
    "none": (),
}


def _released_state(
    width: int = 2, normalisation: str = "batch", dims: int = 3, in_channels: int = 1, classes: int = 2
) -> dict[str, Tensor]:
    """A random state with the names and shapes of the released V-Net."""
    stride = 2 if normalisation == "none" else 3  # convolution, normalisation, ReLU
    shapes: dict[str, tuple[int, ...]] = {}
    for name, convolutions, coming, going, kernel in BLOCKS:
        outputs = going * width
        for i in range(convolutions):
            inputs = coming * width or in_channels
            pair = (inputs, outputs) if name.endswith("_up") else (outputs, inputs)
            shapes[f"{name}.conv.{stride * i}.weight"] = (*pair, *(kernel,) * dims)
            shapes[f"{name}.conv.{stride * i}.bias"] = (outputs,)
            for part in NORM_WEIGHTS[normalisation]:
                shapes[f"{name}.conv.{stride * i + 1}.{part}"] = (outputs,)
    shapes["out_conv.weight"] = (classes, width, *(1,) * dims)
    shapes["out_conv.bias"] = (classes,)
    drawn = torch.Generator().manual_seed(0)
    return {name: 0.1 + torch.rand(shape, generator=drawn) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Tensor]:
    with np.load(shared / "golden" / "vnet3d_shared.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def _weights(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[2:]: value for name, value in golden.items() if name.startswith("w:")}


def test_equal_to_the_released_network_in_eval(golden):
    network = from_reference(_weights(golden)).eval()
    torch.testing.assert_close(network(golden["input"]), golden["logits_eval"], rtol=RTOL, atol=ATOL)


def test_equal_to_the_released_network_in_train_without_dropout(golden):
    network = from_reference(_weights(golden)).train()
    for module in network.modules():
        if isinstance(module, nn.Dropout3d):
            module.p = 0.0
    batch = torch.cat([golden["input"], golden["input"].flip(2)])
    torch.testing.assert_close(network(batch), golden["logits_train_nodrop"], rtol=RTOL, atol=ATOL)


def test_the_stand_in_state_has_the_released_names_and_shapes(golden):
    """The other tests here run without the golden file, on `_released_state`: it must be like the real one."""
    theirs = {name: value.shape for name, value in _weights(golden).items()}
    assert {name: value.shape for name, value in _released_state(4).items()} == theirs


@pytest.mark.parametrize(
    ("normalisation", "layer", "width"),
    [("batch", nn.BatchNorm3d, 2), ("group", nn.GroupNorm, 16), ("instance", nn.InstanceNorm3d, 2), ("none", None, 2)],
)
def test_the_normalisation_is_read_from_the_names(normalisation, layer, width):
    network = from_reference(_released_state(width, normalisation))
    kinds = (nn.BatchNorm3d, nn.GroupNorm, nn.InstanceNorm3d)
    found = [type(module) for module in network.modules() if isinstance(module, kinds)]
    assert found == [layer] * (0 if layer is None else 29)  # one a convolution but the last


@pytest.mark.parametrize(("width", "dims", "in_channels", "classes"), [(1, 2, 3, 4), (3, 3, 2, 5)])
def test_width_channels_and_classes_are_read_from_the_shapes(width, dims, in_channels, classes):
    state = _released_state(width, "batch", dims, in_channels, classes)
    network = from_reference(state)
    assert (network.dims, network.in_channels, network.classes) == (dims, in_channels, classes)
    assert torch.equal(network.encoder.blocks[4][6].weight, state["block_five.conv.6.weight"])
    assert torch.equal(network.decoder.blocks[3][0].weight, state["block_nine.conv.0.weight"])
    assert torch.equal(network.encoder.downs[0][0].weight, state["block_one_dw.conv.0.weight"])
    assert torch.equal(network.decoder.ups[0][0].weight, state["block_five_up.conv.0.weight"])
    assert torch.equal(network.decoder.ups[3][1].running_var, state["block_eight_up.conv.1.running_var"])


def test_the_network_comes_in_train_mode_with_the_released_dropout():
    network = from_reference(_released_state())
    assert network.training
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout3d)] == [0.5, 0.5]


@pytest.mark.parametrize("normalisation", ["batch", "group", "instance", "none"])
def test_any_missing_weight_is_an_error(normalisation):
    whole = _released_state(1, normalisation, dims=2)
    for lost in whole:
        with pytest.raises(UserError, match=r"no network known|incomplete|1 weights are missing"):
            from_reference({name: value for name, value in whole.items() if name != lost})


def test_a_weight_too_many_is_named():
    with pytest.raises(UserError, match=r"V-Net.*1 are unknown.*block_ten\.conv\.0\.weight"):
        from_reference(_released_state() | {"block_ten.conv.0.weight": torch.zeros(1, 1)})


@pytest.mark.parametrize("name", ["block_five_up.conv.0.weight", "out_conv.bias", "block_two.conv.4.running_mean"])
def test_a_weight_of_another_shape_is_an_error(name):
    state = _released_state()
    state[name] = torch.zeros(99, *state[name].shape[1:])
    with pytest.raises(UserError, match=r"V-Net.*1 have another shape"):
        from_reference(state)


def test_groups_that_cannot_be_are_an_error():
    with pytest.raises(UserError, match=r"V-Net.*3 neither divide 16"):
        from_reference(_released_state(3, "group"))


@pytest.mark.parametrize("name", ["block_one.conv.0.weight", "out_conv.weight"])
def test_kernels_of_one_axis_are_an_error(name):
    state = _released_state()
    state[name] = state[name].flatten(2)
    with pytest.raises(UserError, match="no convolution of two or three axes"):
        from_reference(state)


def test_entries_that_are_no_tensors_are_named():
    with pytest.raises(UserError, match=r"no tensors \(epoch\)"):
        from_reference(_released_state() | {"epoch": 3})


def test_foreign_weights_are_told_both_networks():
    with pytest.raises(UserError, match=r"U-Net \('encoder\.in_conv.*V-Net \('block_one\.conv\.0\.weight'"):
        from_reference({"layer1.0.conv1.weight": torch.zeros(1)})
