"""CAML: queue, choice of voxels and attention; who learns; the released terms and gradients."""

import pytest
import torch
from released_numbers import VALUES, assert_gradient, cases
from tiny_methods import build, first_loss, noise

from crossmatch.methods.caml import Attention, CAMLSettings, correlation, most_probable, omni_correlation
from crossmatch.methods.losses import DiceSettings, one_hot, soft_dice_loss
from crossmatch.methods.mcnet import mutual_consistency
from crossmatch.methods.separation import ClassQueue


def test_a_queue_keeps_the_newest():
    torch.manual_seed(0)
    queue = ClassQueue(2, 5, 1)
    queue.push(1, torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([True, False, True]), 2)
    assert sorted(queue.vectors[1, :2].flatten().tolist()) == [1, 3]
    assert queue.filled.tolist() == [[False] * 5, [True, True, False, False, False]]
    queue.push(1, torch.tensor([[4.0], [5.0]]), torch.tensor([True, False]), 2)
    assert queue.vectors[1, 0] == 4
    assert queue.filled[1].sum() == 3
    for number in range(6, 12):
        queue.push(1, torch.tensor([[float(number)]]), torch.tensor([True]), 2)
    assert queue.vectors[1].flatten().tolist() == [11, 10, 9, 8, 7]
    vectors, there = queue.sample(3)
    assert there.tolist() == [[False] * 3, [True] * 3]
    assert len(set(vectors[1].flatten().tolist()) & {7, 8, 9, 10, 11}) == 3
    assert not queue.sample(6)[1].any()


def test_the_most_probable_voxels_of_each_class():
    probability, label = torch.tensor([0.9, 0.6, 0.8, 0.7, 0.95]), torch.tensor([0, 1, 0, 1, 0])
    rows, valid = most_probable(probability, label, torch.tensor([True, True, True, True, False]), 2, 3)
    assert rows[valid].tolist() == [0, 2, 3, 1]
    assert valid.tolist() == [True, True, True, True, False]


def test_correlation_by_hand():
    """Two memory vectors, products ln 3 / 10 and 0 over 0.1: 3/4 and 1/4; a third vector is not there."""
    memory, there = torch.tensor([[[1.0], [0.0], [9.0]]]), torch.tensor([[True, True, False]])
    features = torch.tensor([[torch.tensor(3.0).log() / 10], [0.0]])
    found = correlation(features, memory, there, 0.1)
    torch.testing.assert_close(found, torch.tensor([[0.75, 0.25, 0.0], [0.5, 0.5, 0.0]]))
    entropy = omni_correlation(features[:1], features[1:], torch.tensor([True]), memory, there, 0.1)
    assert entropy.item() == pytest.approx(-0.5 * torch.tensor(0.75 * 0.25).log().item())
    nothing = torch.zeros_like(there)
    assert omni_correlation(features, features, torch.tensor([True, True]), memory, nothing, 0.1).item() == 0


def test_attention_is_at_work_in_training_alone():
    torch.manual_seed(0)
    attention, x = Attention(8), torch.randn(2, 8, 3, 4, 2)
    assert attention(x).shape == x.shape
    assert not torch.equal(attention(x), x)
    assert torch.equal(attention.eval()(x), x)


@pytest.mark.parametrize("network", ["unet", "vnet"])
@pytest.mark.parametrize("dims", [2, 3])
def test_both_networks_learn_from_every_term(network, dims):
    method = build("caml", dims, network, vectors=4)
    method.before_step(0, 10)
    terms = first_loss(method, noise(dims, network))
    assert terms["correlation"] > 0
    terms["total"].backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in method.parameters())
    silent = {name for name, weight in method.named_parameters() if weight.ndim > 1 and not weight.grad.any()}
    assert silent == set()
    assert method.queue.filled.any(1).any()


@pytest.mark.parametrize("name", ["o", "o_all", "o_skip"])
def test_released_correlations(name, shared):
    case = cases(shared, "caml")[name]
    q_v, q_a = case["in:q_V"].requires_grad_(), case["in:q_A"].requires_grad_()
    classes, settings = int(case["in:K"]), CAMLSettings()
    assert settings.temperature == case["in:T"]
    vectors = [case.get(f"in:memory{value}") for value in range(classes)]
    size = next(v.shape for v in vectors if v is not None)
    memory = torch.stack([torch.zeros(size) if v is None else v for v in vectors])
    there = torch.tensor([[v is not None] for v in vectors]).expand(-1, size[0])
    label, all_of_them = case["in:label"].long(), torch.ones(len(q_v), dtype=torch.bool)
    rows, valid = most_probable(case["in:prob"], label, all_of_them, classes, int(case["in:n"]))
    for q, key in ((q_v, "C_V"), (q_a, "C_A")):
        found = correlation(q[rows], memory, there, settings.temperature)
        torch.testing.assert_close(found[valid][:, there.flatten()], case[f"out:{key}"], **VALUES)
    found = omni_correlation(q_v[rows], q_a[rows], valid, memory, there, settings.temperature)
    torch.testing.assert_close(found, case["out:L_o"], **VALUES)
    found.backward()
    assert_gradient(q_v.grad, case["grad:q_V"])
    assert_gradient(q_a.grad, case["grad:q_A"])


def test_released_terms_without_correlation(shared):
    case, settings = cases(shared, "caml")["c"], CAMLSettings()
    z_v, z_a = case["in:z_V"].requires_grad_(), case["in:z_A"].requires_grad_()
    probabilities, label = [z_v.softmax(1), z_a.softmax(1)], case["in:y"]
    foreground = DiceSettings(background=False, smooth=1e-8)
    sup = sum(
        soft_dice_loss(p[: len(label)], one_hot(label, 2), foreground, settings.dice_power) for p in probabilities
    )
    consistency = mutual_consistency(probabilities, settings.sharpening)
    torch.testing.assert_close(sup, case["out:L_s"], **VALUES)
    torch.testing.assert_close(consistency, case["out:L_c"], **VALUES)
    assert case["in:w_o"] == pytest.approx(case["in:w_c"].item() * settings.correlation_weight)
    total = settings.supervised_weight * sup + case["in:w_c"].float() * consistency
    torch.testing.assert_close(total, case["out:total_without_o"], **VALUES)
    total.backward()
    assert_gradient(z_v.grad, case["grad:z_V"])
    assert_gradient(z_a.grad, case["grad:z_A"])
