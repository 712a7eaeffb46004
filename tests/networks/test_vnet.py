"""The V-Net: shapes at the seam, normalisations, where dropout is, gradients, and a 3D network against its 2D twin."""

import copy

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from crossmatch.networks import layers
from crossmatch.networks.segmenter import to_channels_last
from crossmatch.networks.vnet import VNet, VNetSettings

SIZES = {2: (16, 32), 3: (16, 32, 16)}
NORMALISATIONS = ("batch", "instance", "group", "none")


def _network(dims: int, normalisation: layers.Normalisation = "batch", dropout: float = 0.0) -> VNet:
    torch.manual_seed(0)
    return VNet(dims, 2, 3, VNetSettings(width=4, normalisation=normalisation, dropout=dropout))


def _image(dims: int, batch: int = 2) -> Tensor:
    return torch.rand(batch, 2, *SIZES[dims], generator=torch.Generator().manual_seed(1))


def test_the_default_is_the_released_network():
    settings = VNetSettings()
    network = VNet(3, 1, 2, settings)
    assert sum(p.numel() for p in network.parameters()) == 9_448_866  # counted in the released code
    assert network.multiple == settings.multiple == 16
    assert network.encoder.dropout.p == network.last_dropout.p == 0.5
    assert sum(isinstance(module, nn.BatchNorm3d) for module in network.modules()) == 12 + 4 + 4 + 9


@pytest.mark.parametrize("dims", [2, 3])
def test_features_come_finest_first_and_decode_to_logits(dims):
    network, x = _network(dims), _image(dims)
    features = network.encode(x)
    expected = [(2, c, *(n // 2**level for n in SIZES[dims])) for level, c in enumerate((4, 8, 16, 32, 64))]
    assert [tuple(level.shape) for level in features] == expected
    logits = network(x)
    assert logits.shape == (2, 3, *SIZES[dims])
    assert torch.equal(logits, network.decode(features))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_every_weight_and_every_level_reach_the_logits(dims, normalisation):
    network = _network(dims, normalisation)
    levels = [level.detach().requires_grad_() for level in network.encode(_image(dims))]
    network.decode(levels).square().sum().backward()
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in levels)
    network(_image(dims)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert all(p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_relu_in_place_changes_no_gradient_and_no_feature(normalisation):
    ours = _network(3, normalisation)
    apart = copy.deepcopy(ours)
    for module in apart.modules():
        if isinstance(module, nn.ReLU):
            assert module.inplace
            module.inplace = False
    gradients = []
    for network in (ours, apart):
        features = network.encode(_image(3))
        before = [level.detach().clone() for level in features]
        logits = network.decode(features)
        assert all(torch.equal(level, same) for level, same in zip(features, before, strict=True))
        logits.square().mean().backward()
        gradients.append([p.grad for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("kind", "groups"), [("batch", 32), ("instance", 32), ("group", 16)])
def test_normalisations_by_hand(dims, kind, groups):
    x = torch.randn(3, 32, *SIZES[dims]) * 2 + 1
    (layer,) = layers.normalisation(dims, kind, 32)
    grouped = x.reshape(3, groups, 32 // groups, *SIZES[dims])
    axes = tuple(range(2, grouped.ndim)) + ((0,) if kind == "batch" else ())
    mean = grouped.mean(axes, keepdim=True)
    variance = grouped.var(axes, keepdim=True, unbiased=False)
    torch.testing.assert_close(layer(x), ((grouped - mean) / (variance + 1e-5).sqrt()).reshape(x.shape))


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (4, 4), (16, 16), (48, 16)])
def test_sixteen_groups_or_one_a_channel(channels, groups):
    (layer,) = layers.normalisation(3, "group", channels)
    assert layer.num_groups == groups


@pytest.mark.parametrize("width", [3, 12, 24])
def test_widths_that_make_no_groups_are_refused(width):
    with pytest.raises(ValidationError, match=rf"{width} neither divide 16 nor are a multiple"):
        VNetSettings(width=width, normalisation="group")
    assert VNetSettings(width=width).width == width


@pytest.mark.parametrize("wrong", [{"width": 0}, {"dropout": 1.0}, {"dropout": -0.1}, {"normalisation": "layer"}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        VNetSettings(**wrong)


@pytest.mark.parametrize("size", [(15, 16, 16), (16, 40, 16), (112, 112, 81)])
def test_an_odd_size_names_the_next_legal_one(size):
    legal = tuple(-(-n // 16) * 16 for n in size)
    with pytest.raises(ValueError, match=r"multiple of 16.*next legal is") as caught:
        _network(3).encode(torch.zeros(1, 2, *size))
    assert str(size) in str(caught.value)
    assert str(legal) in str(caught.value)


def test_images_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"\(B, 2, H, W, D\)"):
        _network(3)(torch.zeros(1, 2, 16, 16))


def _dropped(network: VNet) -> list[tuple[Tensor, Tensor]]:
    """What goes into and comes out of the dropout from now on, one pair a call."""
    calls: list[tuple[Tensor, Tensor]] = []
    for dropout in (network.encoder.dropout, network.last_dropout):
        dropout.register_forward_hook(lambda _, inputs, output: calls.append((inputs[0], output)))
    return calls


@pytest.mark.parametrize("dims", [2, 3])
def test_the_plain_pass_drops_whole_channels_twice(dims):
    network, x = _network(dims, dropout=0.75), _image(dims, batch=8)
    calls = _dropped(network)
    last: list[Tensor] = []
    network.head.register_forward_pre_hook(lambda _, inputs: last.append(inputs[0]))
    network(x)
    (deepest, deepest_out), (finest, finest_out) = calls
    assert (deepest.shape[1], finest.shape[1]) == (64, 4)
    assert last[0] is finest_out
    for before, after in ((deepest, deepest_out), (finest, finest_out)):
        flat = list(zip(before.flatten(0, 1), after.flatten(0, 1), strict=True))
        kept = [torch.allclose(b * 4, a) for b, a in flat if b.any()]  # 1 / (1 - 0.75) = 4
        zero = [not a.any() for b, a in flat if b.any()]
        assert all(k != z for k, z in zip(kept, zero, strict=True))
        assert any(kept)
        assert any(zero)


@pytest.mark.parametrize("dims", [2, 3])
def test_encode_drops_the_deepest_features_alone_and_decode_nothing(dims):
    network, x = _network(dims, dropout=0.5), _image(dims)
    first, second = network.encode(x), network.encode(x)
    assert [torch.equal(a, b) for a, b in zip(first, second, strict=True)] == [True, True, True, True, False]
    calls = _dropped(network)
    assert torch.equal(network.decode(first), network.decode(first))
    assert not calls


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_no_dropout_in_eval_and_at_rate_zero(rate, training):
    network, x = _network(3, dropout=rate).train(training), _image(3)
    calls = _dropped(network)
    assert torch.equal(network(x), network.decode(network.encode(x)))
    assert len(calls) == 3
    assert all(torch.equal(before, after) for before, after in calls)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_constant_along_one_axis_equals_the_2d_result(axis, training):
    """The 3D kernels are the 2D ones in one plane and 0 elsewhere, the transposed ones the same in both planes."""
    flat, solid = _network(2), _network(3)
    with torch.no_grad():
        for (name, mine), theirs in zip(flat.named_parameters(), solid.parameters(), strict=True):
            if mine.ndim < 4:
                theirs.copy_(mine)
            elif name.startswith("decoder.ups."):
                theirs.copy_(mine.unsqueeze(axis + 2).expand_as(theirs))
            else:
                theirs.zero_().select(axis + 2, theirs.shape[axis + 2] // 2).copy_(mine)
    flat.train(training)
    solid.train(training)
    x = _image(2)
    volume = x.unsqueeze(axis + 2).repeat_interleave(16, axis + 2)
    expected = flat(x).unsqueeze(axis + 2).expand(-1, -1, *volume.shape[2:])
    torch.testing.assert_close(solid(volume), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_channels_last_changes_the_layout_alone(dims):
    network, x = _network(dims).double(), _image(dims).double()  # float32 rounds otherwise in another layout
    plain = network(x)
    network = to_channels_last(network)
    kind = {2: torch.channels_last, 3: torch.channels_last_3d}[dims]
    assert network.encoder.blocks[1][0].weight.is_contiguous(memory_format=kind)
    torch.testing.assert_close(network(x), plain, rtol=1e-9, atol=1e-9)
