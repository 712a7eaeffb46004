"""Weights of the released code: equal outputs, every form of the state dict, and states that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crossmatch.errors import UserError
from crossmatch.networks.reference import from_reference
from crossmatch.networks.unet import DROPOUT

RTOL, ATOL = 1e-4, 1e-5  # of the golden numbers, see their README


def _block(name: str, inputs: int, outputs: int, kernels: int) -> dict[str, tuple[int, ...]]:
    kernel = (3,) * kernels
    shapes: dict[str, tuple[int, ...]] = {}
    for at, i in ((0, inputs), (4, outputs)):
        shapes |= {f"{name}.conv_conv.{at}.weight": (outputs, i, *kernel), f"{name}.conv_conv.{at}.bias": (outputs,)}
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.conv_conv.{at + 1}.{part}"] = (outputs,)
    return shapes


def _released_state(
    widths: tuple[int, ...] = (2, 4, 8, 16, 32), dims: int = 2, in_channels: int = 1, classes: int = 4
) -> dict[str, Tensor]:
    """A random state with the names and shapes of the released U-Net."""
    shapes = _block("encoder.in_conv", in_channels, widths[0], dims)
    for level in range(1, len(widths)):
        shapes |= _block(f"encoder.down{level}.maxpool_conv.1", widths[level - 1], widths[level], dims)
    for k, (coarse, fine) in enumerate(zip(widths[:0:-1], widths[-2::-1], strict=True), start=1):
        shapes[f"decoder.up{k}.conv1x1.weight"] = (fine, coarse, *(1,) * dims)
        shapes[f"decoder.up{k}.conv1x1.bias"] = (fine,)
        shapes |= _block(f"decoder.up{k}.conv", 2 * fine, fine, dims)
    shapes["decoder.out_conv.weight"] = (classes, widths[0], *(3,) * dims)
    shapes["decoder.out_conv.bias"] = (classes,)
    drawn = torch.Generator().manual_seed(0)
    return {name: 0.1 + torch.rand(shape, generator=drawn) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Tensor]:
    with np.load(shared / "golden" / "unet2d_shared.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def _weights(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[2:]: value for name, value in golden.items() if name.startswith("w:")}


def test_equal_to_the_released_network_in_eval(golden):
    network = from_reference(_weights(golden)).eval()
    torch.testing.assert_close(network(golden["input"]), golden["logits_eval"], rtol=RTOL, atol=ATOL)


def test_equal_to_the_released_network_in_train_without_dropout(golden):
    network = from_reference(_weights(golden)).train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    torch.testing.assert_close(network(golden["input"]), golden["logits_train_nodrop"], rtol=RTOL, atol=ATOL)


def test_the_stand_in_state_has_the_released_names_and_shapes(golden):
    """The other tests here run without the golden file, on `_released_state`: it must be like the real one."""
    theirs = {name: value.shape for name, value in _weights(golden).items()}
    assert {name: value.shape for name, value in _released_state((4, 8, 16, 32, 64)).items()} == theirs


def test_every_form_of_the_state_gives_the_same_network():
    state = _released_state()
    counts = {
        name.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for name in state if "running_mean" in name
    }
    forms = {
        "plain": state,
        "counted": state | counts,
        "model": {"model": state, "epoch": 3},
        "module": {f"module.{name}": value for name, value in state.items()},
        "both": {"model": {f"module.{name}": value for name, value in (state | counts).items()}},
    }
    x = torch.rand(1, 1, 32, 16)
    expected = from_reference(state).eval()(x)
    for form in forms.values():
        network = from_reference(form)
        assert network.training
        assert torch.equal(network.eval()(x), expected)
    assert from_reference(forms["both"]).encoder.blocks[0][1].num_batches_tracked == 7


@pytest.mark.parametrize(
    ("widths", "dims", "in_channels", "classes"),
    [((2, 4), 2, 1, 2), ((2, 4, 8), 3, 2, 5), ((3, 6, 12, 24, 48), 3, 1, 3)],
)
def test_widths_channels_and_classes_are_read_from_the_shapes(widths, dims, in_channels, classes):
    state = _released_state(widths, dims, in_channels, classes)
    network = from_reference(state)
    assert (network.dims, network.in_channels, network.classes) == (dims, in_channels, classes)
    assert network.multiple == 2 ** (len(widths) - 1)
    assert torch.equal(
        network.encoder.blocks[-1][4].weight, state[f"encoder.down{len(widths) - 1}.maxpool_conv.1.conv_conv.4.weight"]
    )
    assert torch.equal(network.decoder.ups[0].enlarge[0].weight, state["decoder.up1.conv1x1.weight"])


def test_released_dropout_rates():
    rates = [m.p for m in from_reference(_released_state()).encoder.modules() if isinstance(m, nn.Dropout)]
    assert tuple(rates) == DROPOUT


def test_any_missing_weight_is_an_error():
    whole = _released_state()
    for lost in whole:
        with pytest.raises(UserError, match=r"no network known|incomplete|missing"):
            from_reference({name: value for name, value in whole.items() if name != lost})


def test_a_weight_too_many_is_named():
    with pytest.raises(UserError, match=r"1 are unknown.*decoder\.out_conv_dp1\.weight"):
        from_reference(_released_state() | {"decoder.out_conv_dp1.weight": torch.zeros(1)})


@pytest.mark.parametrize(
    "name", ["decoder.up1.conv1x1.weight", "decoder.out_conv.bias", "encoder.down1.maxpool_conv.1.conv_conv.1.bias"]
)
def test_a_weight_of_another_shape_is_an_error(name):
    state = _released_state()
    state[name] = torch.zeros(99, *state[name].shape[1:])
    with pytest.raises(UserError, match="shape"):
        from_reference(state)


def test_foreign_weights_are_told_from_ours():
    with pytest.raises(UserError, match=r"no network known here.*layer1\.0\.conv1\.weight"):
        from_reference({"layer1.0.conv1.weight": torch.zeros(1)})
    with pytest.raises(UserError, match="no state dict"):
        from_reference({"model": torch.zeros(1)})
    with pytest.raises(UserError, match="no network known here"):
        from_reference({})
