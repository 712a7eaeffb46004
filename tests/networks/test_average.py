"""The moving average of a network: its arithmetic by hand, its buffers, and no gradient into it."""

import torch

from crossmatch.networks import UNet
from crossmatch.networks.average import Average
from crossmatch.networks.unet import UNetSettings


def _network() -> UNet:
    torch.manual_seed(0)
    return UNet(2, 1, 2, UNetSettings(width=2, dropout=(0.0, 0.0)))


def _fill(network: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)


def test_two_updates_by_hand():
    source = _network()
    _fill(source, 1.0)
    average = Average(source, decay=0.9)
    _fill(source, 2.0)
    average.update(source)  # 0.9 * 1 + 0.1 * 2 = 1.1
    average.update(source)  # 0.9 * 1.1 + 0.1 * 2 = 1.19
    for parameter in average.predictor().parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 1.19), rtol=1e-6, atol=0)
    assert all((parameter == 2).all() for parameter in source.parameters())


def test_it_begins_as_a_copy_and_follows_to_the_end():
    source = _network()
    average = Average(source, decay=0.5)
    x = torch.rand(1, 1, 8, 8)
    assert torch.equal(average.predictor().eval()(x), source.eval()(x))
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(torch.randn(parameter.shape))
    first = (average.network.head.weight - source.head.weight).abs().max()
    for _ in range(10):
        average.update(source)
    torch.testing.assert_close(
        (average.network.head.weight - source.head.weight).abs().max(), first / 2**10, rtol=1e-2, atol=1e-6
    )


def test_decay_zero_is_the_network_itself():
    source = _network()
    average = Average(source, decay=0.0)
    _fill(source, 0.3)
    average.update(source)
    assert all(torch.equal(a, b) for a, b in zip(average.network.parameters(), source.parameters(), strict=True))


def test_a_share_given_to_an_update_holds_for_it_alone():
    source = _network()
    _fill(source, 1.0)
    average = Average(source, decay=0.9)
    _fill(source, 2.0)
    for taken, expected in ((0.5, 1.5), (None, 1.55), (1.0, 2.0)):  # 0.5 * 1 + 0.5 * 2; 0.9 * 1.5 + 0.1 * 2; 2
        average.update(source, None if taken is None else torch.tensor(taken))
        for parameter in average.predictor().parameters():
            torch.testing.assert_close(parameter, torch.full_like(parameter, expected), rtol=1e-6, atol=0)


def test_buffers_are_copied():
    source = _network()
    average = Average(source, decay=0.99)
    source.train()(torch.rand(4, 1, 8, 8))
    average.update(source)
    mine, theirs = dict(average.network.named_buffers()), dict(source.named_buffers())
    assert int(theirs["encoder.blocks.0.1.num_batches_tracked"]) == 1
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    source.train()(torch.rand(4, 1, 8, 8))
    assert not torch.equal(mine["encoder.blocks.0.1.running_mean"], theirs["encoder.blocks.0.1.running_mean"])


def test_no_gradient_reaches_it():
    source = _network()
    average = Average(source, decay=0.9)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    source(torch.rand(2, 1, 8, 8)).sum().backward()
    average.update(source)
    assert all(parameter.grad is None and parameter.grad_fn is None for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in source.parameters())


def test_its_state_can_be_kept():
    source = _network()
    average, again = Average(source, 0.9), Average(source, 0.9)
    _fill(source, 0.7)
    average.update(source)
    again.load_state_dict(average.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(average.parameters(), again.parameters(), strict=True))
