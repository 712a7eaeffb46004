"""SS-Net: selectors, memory and separation by hand, the worst change, and the released terms and gradients."""

import itertools
import math

import pytest
import torch
from released_numbers import VALUES, assert_gradient, cases
from tiny_methods import build, first_loss, noise
from torch import Tensor, nn

from crossmatch.methods.separation import ClassMemory, Selector, VoxelHead, class_separation, voxels
from crossmatch.methods.ssnet import SSNet, prediction_distance, unit_length

SMOOTH = {2: 1e-10, 3: 1e-8}


def test_voxels_of_feature_maps():
    maps = torch.arange(24.0).view(2, 3, 2, 2)
    assert voxels(maps)[:4].tolist() == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]
    assert voxels(torch.zeros(2, 5, 3, 4, 6)).shape == (144, 5)


def test_a_head_with_fixed_statistics_is_the_head_in_eval():
    torch.manual_seed(0)
    head, x = VoxelHead(5, 7), torch.randn(30, 5)
    head(3 * x + 1)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    fixed = head.fixed(x)
    torch.testing.assert_close(fixed, head.eval()(x))
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
    assert not fixed.requires_grad


def test_a_selector_normalises_by_what_counts():
    """As PyTorch's layers do on those voxels alone; with none, the numbers are still finite."""
    torch.manual_seed(0)
    selector, x, counted = Selector(6), torch.randn(40, 6), torch.rand(40) < 0.4
    plain = nn.Sequential(selector.first, nn.BatchNorm1d(6), nn.LeakyReLU(0.2), selector.last)
    torch.testing.assert_close(selector(x, counted)[counted], plain(x[counted]).squeeze(1))
    assert selector(x, torch.zeros(40, dtype=torch.bool)).isfinite().all()


def test_a_memory_takes_what_is_worth_most_and_keeps_the_old_without_any():
    memory = ClassMemory(2, 2, 1)
    candidates, worth = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([0.3, 0.9, 0.5, 0.7])
    memory.replace(1, candidates, worth, torch.tensor([True, False, True, True]))
    assert memory.vectors[1].tolist() == [[4.0], [3.0]]
    memory.replace(1, candidates, worth, torch.zeros(4, dtype=torch.bool))
    assert memory.vectors[1].tolist() == [[4.0], [3.0]]
    assert memory.filled.tolist() == [[False, False], [True, True]]
    memory.replace(1, candidates, worth, torch.tensor([True, False, False, False]))
    assert memory.vectors[1][0].tolist() == [1.0]
    assert memory.filled[1].tolist() == [True, False]


def test_separation_by_hand():
    """Voxels of class 1 at 0 and 90 degrees from a memory of two vectors at 0 and 60; alike selectors weigh alike."""
    memory, selectors = ClassMemory(2, 3, 2), nn.ModuleList(Selector(2) for _ in range(2))
    memory.vectors[1, :2] = torch.tensor([[2.0, 0.0], [0.5, math.sqrt(0.75)]])
    memory.filled[1, :2] = True
    for selector in selectors:
        nn.init.zeros_(selector.last.weight)
    predicted = torch.tensor([[3.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    found = class_separation(predicted, torch.tensor([1, 1, 0]), memory, selectors, None)
    cosines = (1 + 0.5 + 0 + math.sqrt(0.75)) / 4
    assert found.item() == pytest.approx((1 - cosines) / 2)  # class 0 has no memory and counts in the mean
    alone = class_separation(predicted, torch.tensor([1, 0, 0]), memory, selectors, None)
    assert alone.item() == 0  # one voxel is skipped


@pytest.mark.parametrize("dims", [2, 3])
def test_the_worst_change_is_worse_than_a_random_one(dims):
    method, batch = build("ssnet", dims), noise(dims)
    network, images = method.network, batch.u.weak
    reference = network(images).softmax(1).detach()
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    torch.manual_seed(1)
    worst = method.smoothness(images, reference)
    assert all(torch.equal(value, buffers[name]) for name, value in network.named_buffers())
    for _ in range(5):
        change = method.settings.change * unit_length(torch.rand_like(images) - 0.5)
        random = prediction_distance(network(images + change).softmax(1), reference, method.dice.smooth, 2)
        assert worst > random
    worst.backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("memory", ["trusted", "released"])
@pytest.mark.parametrize("dims", [2, 3])
def test_every_weight_learns(memory, dims):
    method = build("ssnet", dims, memory=memory)
    first_loss(method, noise(dims))["total"].backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in method.parameters())
    weights = dict(method.named_parameters())
    silent = {name for name, weight in weights.items() if weight.ndim > 1 and not weight.grad.any()}
    first = {"selectors.0.first.weight", "selectors.0.last.weight"}
    assert silent == (first if memory == "released" else set())  # the background has no memory
    filled = method.memory.filled.any(1).tolist()
    assert filled == [memory == "trusted", True, True]


@pytest.mark.parametrize("dims", [2, 3])
def test_released_distances(dims, shared):
    case = cases(shared, "ssnet")[f"dist{dims}"]
    z = case["in:z_hat"].requires_grad_()
    power = {2: 2, 3: 1}[dims]
    found = prediction_distance(z.softmax(1), case["in:z_ref"].softmax(1), SMOOTH[dims], power)
    torch.testing.assert_close(found, case["out:dist"], **VALUES)
    found.backward()
    assert_gradient(z.grad, case["grad:z_hat"])
    for name in ("d", "d_tiny"):
        torch.testing.assert_close(unit_length(case[f"in:{name}"]), case[f"out:{name}_unit"], **VALUES)


SELECTORS = ("contrastive_class_selector_", "contrastive_class_selector_memory")


def filled(case: dict[str, Tensor], memory: str, weighted: bool) -> SSNet:
    """A method whose heads, selectors and memory are the released ones."""
    weights = {name.removeprefix("in:w:"): value for name, value in case.items() if name.startswith("in:w:")}
    classes, (width, inputs) = int(case["in:K"]), weights["projection_head.0.weight"].shape
    method = build("ssnet", 2, memory=memory)
    method.projection, method.prediction = VoxelHead(inputs, width), VoxelHead(width, width)
    for module, name in ((method.projection, "projection_head"), (method.prediction, "prediction_head")):
        load(module, weights, name, {"0": "first", "1": "norm", "3": "last"})
    made = [nn.ModuleList(Selector(width) for _ in range(classes)) for _ in SELECTORS]
    for modules, prefix in zip(made, SELECTORS, strict=True):
        for value, module in enumerate(modules):
            load(
                module, weights, f"{prefix}{value}", {"0": "first", "1.weight": "scale", "1.bias": "shift", "3": "last"}
            )
    method.selectors, method.memory_selectors = made[0], made[1] if weighted else None
    method.memory = ClassMemory(classes, 32, width)
    for value in range(classes):
        if (old := case.get(f"in:memory{value}")) is not None:
            method.memory.vectors[value, : len(old)], method.memory.filled[value, : len(old)] = old, True
    return method


def load(module: nn.Module, weights: dict[str, Tensor], prefix: str, names: dict[str, str]) -> None:
    own = {}
    for name in module.state_dict():
        if name.endswith("num_batches_tracked"):
            own[name] = torch.tensor(0)
            continue
        (theirs,) = (k for k, v in names.items() if name == v or name.startswith(f"{v}."))
        own[name] = weights[f"{prefix}.{theirs}{name.removeprefix(names[theirs])}"]
    module.load_state_dict(own)


FORMS = {"": ("released", False), "_mended": ("trusted", False), "_mendedw": ("trusted", True)}


@pytest.mark.parametrize("name", ["sep2", "sep3"])
@pytest.mark.parametrize("form", FORMS)
def test_released_separation(name, form, shared):
    """As released; with the memory mended; and with the memory's weights at work too."""
    case = cases(shared, "ssnet")[name]
    method, e = filled(case, *FORMS[form]), case["in:e"].requires_grad_()
    labelled, unlabelled = method.separation(e, case["in:z"], case["in:y"].long())
    torch.testing.assert_close(labelled, case[f"out:L_con_l{form}"], **VALUES)
    torch.testing.assert_close(unlabelled, case[f"out:L_con_u{form}"], **VALUES)
    for value, vectors in enumerate(method.memory.vectors):
        released = case.get(f"out:memory{value}{form.removesuffix('w')}")
        found = vectors[method.memory.filled[value]]
        assert len(found) == (0 if released is None else len(released))
        if released is not None:
            torch.testing.assert_close(*(m[m[:, 0].argsort()] for m in (found, released)), **VALUES)
    (labelled + unlabelled).backward()
    if f"grad:e{form}" in case:
        assert_gradient(e.grad, case[f"grad:e{form}"])
    compared = 0
    for prefix, modules in zip(SELECTORS, (method.selectors, method.memory_selectors), strict=True):
        for value, part in itertools.product(range(len(method.selectors)), ("weight", "bias")):
            released = case.get(f"grad:w:{prefix}{value}.3.{part}{form}")
            if released is not None:
                assert_gradient(getattr(modules[value].last, part).grad, released, 1e-3 if part == "bias" else 1e-4)
                compared += 1
    assert (compared > 0) is (form != "_mended")


@pytest.mark.parametrize("name", ["sep2", "sep3"])
def test_released_predictions(name, shared):
    case = cases(shared, "ssnet")[name]
    method, e = filled(case, "released", False), case["in:e"]
    found = method.prediction(method.projection(voxels(e[: int(case["in:labelled"])])))
    torch.testing.assert_close(found[::4], case["out:pred_l"], **VALUES)
