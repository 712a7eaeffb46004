"""MC-Net: sharpening by hand, which decoders there are, and the released terms and gradients."""

import pytest
import torch
from released_numbers import VALUES, assert_gradient, cases
from tiny_methods import build, first_loss, noise
from torch import nn

from crossmatch.methods.losses import DiceSettings
from crossmatch.methods.mcnet import MCNetSettings, mcnet_loss, mutual_consistency, sharpen

IN_3D = {"supervised_weight": 0.5, "unlabelled_weight": 1.0, "warm_up": 0.4, "dice_power": 1}
DICE = {2: DiceSettings(background=True, smooth=1e-10), 3: DiceSettings(background=False, smooth=1e-8)}


def test_sharpening_by_hand():
    """At T = 1/2: p^2 / (p^2 + (1 - p)^2). Certain voxels stay certain, and no gradient is infinite."""
    p = torch.tensor([0.0, 0.2, 0.5, 0.75, 1.0], requires_grad=True)
    sharp = sharpen(p, 0.5)
    torch.testing.assert_close(sharp, torch.tensor([0, 0.04 / 0.68, 0.5, 0.9, 1]), rtol=1e-5, atol=1e-6)
    sharp.sum().backward()
    assert p.grad.isfinite().all()
    torch.testing.assert_close(sharpen(p.detach()[1:4], 1.0), p.detach()[1:4])


def test_consistency_by_hand():
    """Of 0.75 and 0.5, sharpened 0.9 and 0.5; the other class is the same again."""
    one, two = torch.tensor([[[0.75], [0.25]]]), torch.tensor([[[0.5], [0.5]]])
    expected = 0.25**2 + 0.4**2
    assert mutual_consistency([one, two], 0.5).item() == pytest.approx(expected)
    assert mutual_consistency([one, two, two], 0.5).item() == pytest.approx(2 * expected)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("network", "others"), [("unet", ["transposed", "nearest"]), ("vnet", ["linear", "nearest"])])
def test_further_decoders_have_the_other_ways_to_enlarge(network, dims, others):
    for count in (2, 3):
        method = build("mcnet", dims, network, decoders=count)
        assert len(method.decoders) == len(method.heads) == count - 1
        for kind, decoder in zip(others, method.decoders, strict=False):
            expected = method.network.another_decoder(kind)
            assert [type(module) for module in decoder.modules()] == [type(module) for module in expected.modules()]
            assert decoder.state_dict().keys() == expected.state_dict().keys()


@pytest.mark.parametrize("dims", [2, 3])
def test_each_decoder_is_supervised_and_taught(dims):
    method, batch = build("mcnet", dims), noise(dims)
    terms = first_loss(method, batch)
    for term in ("sup", "consistency"):
        weights = [weight for weight in method.parameters() if weight.ndim > 1]
        gradients = torch.autograd.grad(terms[term], weights, retain_graph=True)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_each_decoder_drops_features_before_its_head():
    method = build("mcnet", 2, "vnet")
    calls = []
    method.network.last_dropout = nn.Identity()
    method.network.last_dropout.register_forward_hook(lambda *_: calls.append(1))
    first_loss(method, noise(2, "vnet"))
    assert len(calls) == 3


@pytest.mark.parametrize("name", ["d3n2", "d3n3", "d2n2", "d2n3"])
def test_released_terms_and_gradients(name, shared):
    """2D with the forgotten factor 2 mended."""
    case, dims = cases(shared, "mcnet")[name], int(name[1])
    count, mended = int(case["in:decoders"]), "_mended" if dims == 2 else ""
    logits = [case[f"in:z{i}"].requires_grad_() for i in range(1, count + 1)]
    settings = MCNetSettings(decoders=count, **(IN_3D if dims == 3 else {}))
    assert settings.supervised_weight == case["in:lam"]
    terms = mcnet_loss(logits, case["in:y"], case["in:w"].float(), settings, DICE[dims])
    for ours, released in (("sup", f"L_sup{mended}"), ("consistency", "L_mc"), ("total", f"total{mended}")):
        torch.testing.assert_close(terms[ours], case[f"out:{released}"], **VALUES)
    terms["total"].backward()
    for i, z in enumerate(logits, 1):
        assert_gradient(z.grad, case[f"grad:z{i}{mended}"])
        sharp = sharpen(z.detach().softmax(1), settings.temperature)
        torch.testing.assert_close(sharp, case[f"out:S{i}"], **VALUES)
