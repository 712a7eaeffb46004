"""What every network builds for methods: further decoders, further heads, further networks, each with own weights."""

import itertools
import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from crossmatch.networks import NETWORKS, Segmenter
from crossmatch.networks.layers import Doubling, Upsampling, resize_linear
from crossmatch.networks.segmenter import NetworkSettings, to_channels_last
from crossmatch.networks.unet import UNet, UNetSettings
from crossmatch.networks.vnet import VNet, VNetSettings

SMALL = {
    "unet": UNetSettings(width=4, dropout=(0.0, 0.0, 0.0)),
    "vnet": VNetSettings(width=4, dropout=0.0),
}
SIZE = (32, 16, 16)
OWN = {"unet": "linear", "vnet": "transposed"}
CONVOLUTIONS = {2: (nn.Conv2d, nn.ConvTranspose2d), 3: (nn.Conv3d, nn.ConvTranspose3d)}

every_network = pytest.mark.parametrize(("name", "dims"), list(itertools.product(NETWORKS, (2, 3))))
every_decoder = pytest.mark.parametrize(
    ("name", "dims", "upsampling"), list(itertools.product(NETWORKS, (2, 3), (*get_args(Upsampling), None)))
)


def _network(name: str, dims: int) -> Segmenter:
    torch.manual_seed(0)
    return NETWORKS[name](dims, 2, 3, SMALL[name])


def _image(dims: int) -> Tensor:
    return torch.rand(2, 2, *SIZE[:dims], generator=torch.Generator().manual_seed(1))


def _kinds(module: nn.Module) -> list[type[nn.Module]]:
    return [type(part) for part in module.modules()]


@every_network
def test_the_network_is_its_three_parts(name, dims):
    network, x = _network(name, dims).eval(), _image(dims)
    decoded = network.decoder(network.encoder(x))
    sizes = [tuple(n // 2**level for n in SIZE[:dims]) for level in range(len(network.decoder_channels))]
    assert [tuple(one.shape[2:]) for one in decoded] == sizes
    assert tuple(one.shape[1] for one in decoded) == network.decoder_channels
    assert torch.equal(network(x), network.head(decoded[0]))
    assert torch.equal(network(x), network.decode(network.encode(x)))


@every_decoder
def test_another_decoder_fits_encoder_and_head(name, dims, upsampling):
    network, x = _network(name, dims), _image(dims)
    decoder = network.another_decoder(upsampling)
    features = network.encode(x)
    decoded, own = decoder(features), network.decoder(features)
    assert [one.shape for one in decoded] == [one.shape for one in own]
    assert network.head(decoded[0]).shape == (2, 3, *SIZE[:dims])
    assert not torch.isclose(decoded[0], own[0]).all()


@every_decoder
def test_another_decoder_learns_by_itself(name, dims, upsampling):
    """The gradient reaches all its weights and the encoder's, and none of the network's own decoder."""
    network = _network(name, dims)
    decoder = network.another_decoder(upsampling)
    network.head(decoder(network.encode(_image(dims)))[0]).square().sum().backward()
    for weight in (*decoder.parameters(), *network.encoder.parameters()):
        assert weight.grad is not None
        assert weight.ndim == 1 or weight.grad.any()
    assert all(weight.grad is None for weight in network.decoder.parameters())


@every_decoder
def test_another_decoder_is_made_of_the_layers_asked_for(name, dims, upsampling):
    network = _network(name, dims)
    decoder = network.another_decoder(upsampling)
    plain, transposed = CONVOLUTIONS[dims]
    levels, kinds = len(network.decoder_channels), _kinds(decoder)
    wanted = upsampling or OWN[name]
    assert kinds.count(transposed) == (levels if wanted == "transposed" else 0)
    modes = [part.mode for part in decoder.modules() if isinstance(part, Doubling)]
    assert modes == ([] if wanted == "transposed" else [wanted] * levels)
    kernels = [part.kernel_size for part in decoder.ups.modules() if isinstance(part, plain)]
    assert kernels.count((1,) * dims) == (levels if name == "unet" and wanted != "transposed" else 0)
    if wanted == OWN[name]:
        assert kinds == _kinds(network.decoder)
        assert [w.shape for w in decoder.parameters()] == [w.shape for w in network.decoder.parameters()]


def test_doubling_by_hand():
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    nearest = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])
    assert torch.equal(Doubling("nearest")(x)[0, 0], nearest)
    line = torch.arange(4) / 3
    torch.testing.assert_close(Doubling("linear")(x)[0, 0], 2 * line.unsqueeze(1) + line)
    volume = torch.rand(1, 2, 3, 2, 4)
    assert torch.equal(Doubling("linear")(volume), resize_linear(volume, (6, 4, 8)))
    assert Doubling("nearest")(volume.bfloat16()).dtype == torch.bfloat16


@every_network
def test_another_head(name, dims):
    network = _network(name, dims)
    decoded = network.decoder(network.encode(_image(dims)))
    like_own = network.another_head()
    assert like_own.weight.shape == network.head.weight.shape
    assert not torch.isclose(like_own.weight, network.head.weight).all()
    coarse = network.another_head(level=1, outputs=5, kernel=3)
    assert coarse(decoded[1]).shape == (2, 5, *(n // 2 for n in SIZE[:dims]))
    assert coarse.kernel_size == (3,) * dims


@every_network
def test_what_is_built_has_the_networks_memory_layout(name, dims):
    network = to_channels_last(_network(name, dims))
    kind = {2: torch.channels_last, 3: torch.channels_last_3d}[dims]
    for built in (network.another_decoder("transposed"), network.another_head(kernel=3), network.another()):
        weights = [weight for weight in built.parameters() if weight.ndim > 1]
        assert all(weight.is_contiguous(memory_format=kind) for weight in weights)
    plain = _network(name, dims).another_head(kernel=3).weight
    assert plain.is_contiguous()


@pytest.mark.parametrize(
    "network",
    [
        *[
            UNet(2, 1, 2, UNetSettings(width=2, dropout=(0.0, 0.0), normalisation=kind))
            for kind in ("batch", "instance")
        ],
        *[VNet(3, 1, 2, VNetSettings(width=2, normalisation=kind)) for kind in ("batch", "instance", "group", "none")],
    ],
)
def test_another_network_has_weights_drawn_anew(network):
    """Whatever was in the network before, none of it is left; the network itself stays as it was."""
    with torch.no_grad():
        for value in [*network.parameters(), *network.buffers()]:
            value.fill_(7)
    torch.manual_seed(5)
    one, two = network.another(), network.another()
    torch.manual_seed(5)
    again = network.another()
    for name, value in one.state_dict().items():
        assert not (value == 7).any(), name
        assert torch.equal(value, again.state_dict()[name]), name
        if value.ndim > 1:
            assert not torch.equal(value, two.state_dict()[name]), name
    assert all((value == 7).all() for value in network.state_dict().values())
    bound = one.head.in_channels * math.prod(one.head.kernel_size)  # PyTorch's rule: uniform within 1 / sqrt(fan in)
    assert one.head.weight.abs().max() <= bound**-0.5


def test_a_network_without_further_decoders_says_so():
    class Settings(NetworkSettings):
        @property
        def multiple(self) -> int:
            return 1

    class Bare(Segmenter):
        pass

    with pytest.raises(NotImplementedError, match="Bare builds no further decoders"):
        Bare(2, 1, 2, Settings()).another_decoder()
