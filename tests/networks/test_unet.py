"""The U-Net: shapes at the seam, illegal sizes, dropout and `eval()`, and a 3D network against its 2D twin."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from crossmatch.networks import NETWORKS, UNet
from crossmatch.networks.segmenter import to_channels_last
from crossmatch.networks.unet import DROPOUT, UNetSettings

SIZES = {2: (16, 24), 3: (8, 16, 12)}


def _network(dims: int, dropout: tuple[float, ...] = (0.0, 0.0, 0.0), in_channels: int = 2) -> UNet:
    torch.manual_seed(0)
    return UNet(dims, in_channels, 3, UNetSettings(width=4, dropout=dropout))


def _image(dims: int, batch: int = 2, in_channels: int = 2) -> Tensor:
    return torch.rand(batch, in_channels, *SIZES[dims], generator=torch.Generator().manual_seed(1))


def test_the_default_is_the_released_network():
    network = NETWORKS["unet"](2, 1, 4, UNetSettings())
    assert sum(p.numel() for p in network.parameters()) == 1_813_764  # counted in the released code
    assert network.multiple == UNetSettings().multiple == 16
    rates = [module.p for module in network.encoder.modules() if isinstance(module, nn.Dropout)]
    assert tuple(rates) == DROPOUT


@pytest.mark.parametrize(
    ("kind", "layer"), [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d), ("group", nn.GroupNorm)]
)
def test_one_normalisation_for_both_encoders_and_every_decoder(kind, layer):
    network = UNet(2, 1, 2, UNetSettings(width=4, dropout=(0.0, 0.0, 0.0), normalisation=kind))
    kinds = (nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm)
    found = [type(part) for part in network.modules() if isinstance(part, kinds)]
    assert found == [layer] * (2 * 3 + 2 * 2)
    for module in (network.another_encoder(), network.another_decoder("transposed")):
        assert {type(part) for part in module.modules() if isinstance(part, kinds)} == {layer}


@pytest.mark.parametrize("kind", ["instance", "group", "none"])
def test_an_image_has_the_same_logits_in_any_company(kind):
    network = UNet(2, 2, 3, UNetSettings(width=4, dropout=(0.0, 0.0, 0.0), normalisation=kind))
    alone, beside = network(_image(2)[:1]), network(_image(2))[:1]
    torch.testing.assert_close(alone, beside)
    network.eval()
    torch.testing.assert_close(network(_image(2)[:1]), alone)


def test_sizes_and_widths_that_do_not_suit_the_normalisation_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 4\) is too small for instance normalisation: double an axis"):
        UNetSettings(dropout=(0.0, 0.0, 0.0), normalisation="instance").check_size((4, 4), 8)
    UNetSettings(dropout=(0.0, 0.0, 0.0), normalisation="instance").check_size((4, 8), 8)
    with pytest.raises(ValidationError, match="12 neither divide 16 nor are a multiple"):
        UNetSettings(width=12, normalisation="group")


@pytest.mark.parametrize("dims", [2, 3])
def test_features_come_finest_first_and_decode_to_logits(dims):
    network, x = _network(dims), _image(dims)
    features = network.encode(x)
    expected = [(2, c, *(n // 2**level for n in SIZES[dims])) for level, c in enumerate((4, 8, 16))]
    assert [tuple(level.shape) for level in features] == expected
    network.eval()
    logits = network(x)
    assert logits.shape == (2, 3, *SIZES[dims])
    assert torch.equal(logits, network.decode(network.encode(x)))


@pytest.mark.parametrize("dims", [2, 3])
def test_every_level_reaches_the_logits(dims):
    network = _network(dims).eval()
    features = [level.detach().requires_grad_() for level in network.encode(_image(dims))]
    network.decode(features).square().sum().backward()
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in features)


@pytest.mark.parametrize("size", [(15, 16), (16, 22), (1, 4)])
def test_an_odd_size_names_the_next_legal_one(size):
    legal = tuple(-(-n // 4) * 4 for n in size)
    with pytest.raises(ValueError, match=r"multiple of 4.*next legal is") as caught:
        _network(2)(torch.zeros(1, 2, *size))
    assert str(size) in str(caught.value)
    assert str(legal) in str(caught.value)
    assert _network(2).eval()(torch.zeros(1, 2, *legal)).shape == (1, 3, *legal)


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (2, 16, 16), (1, 2, 16, 16, 16)])
def test_images_of_another_kind_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(B, 2, H, W\)"):
        _network(2)(torch.zeros(shape))


@pytest.mark.parametrize("wrong", [{"width": 0}, {"dropout": (0.1,)}, {"dropout": (0.1, 1.0)}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        UNetSettings(**wrong)


@pytest.mark.parametrize("dims", [2, 3])
def test_dropout_is_switched_by_eval(dims):
    network, x = _network(dims, dropout=(0.5, 0.5, 0.5)), _image(dims)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert torch.equal(network(x), network(x))


def test_statistics_move_in_train_and_rest_in_eval():
    network, x = _network(2), _image(2)
    before = network.encoder.blocks[0][1].running_mean.clone()
    network.eval()(x)
    assert torch.equal(network.encoder.blocks[0][1].running_mean, before)
    network.train()(x)
    assert not torch.equal(network.encoder.blocks[0][1].running_mean, before)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_constant_along_one_axis_equals_the_2d_result(axis, training):
    """The 3D kernels are the 2D ones in the middle plane and 0 elsewhere: then each slice is the 2D image."""
    flat, solid = _network(2), _network(3)
    with torch.no_grad():
        for mine, theirs in zip(flat.parameters(), solid.parameters(), strict=True):
            if mine.ndim == 4:
                theirs.zero_().select(axis + 2, theirs.shape[axis + 2] // 2).copy_(mine)
            else:
                theirs.copy_(mine)
        for mine, theirs in zip(flat.buffers(), solid.buffers(), strict=True):
            if mine.is_floating_point():
                mine.copy_(0.5 + torch.rand(mine.shape, generator=torch.Generator().manual_seed(2)))
                theirs.copy_(mine)
    flat.train(training)
    solid.train(training)
    x = _image(2)
    volume = x.unsqueeze(axis + 2).repeat_interleave(8, axis + 2)
    expected = flat(x).unsqueeze(axis + 2).expand(-1, -1, *volume.shape[2:])
    torch.testing.assert_close(solid(volume), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_channels_last_changes_the_layout_alone(dims):
    network, x = _network(dims).eval(), _image(dims)
    plain = network(x)
    network = to_channels_last(network)
    kind = {2: torch.channels_last, 3: torch.channels_last_3d}[dims]
    assert network.encoder.blocks[1][0].weight.is_contiguous(memory_format=kind)
    torch.testing.assert_close(network(x), plain, rtol=1e-4, atol=1e-5)
