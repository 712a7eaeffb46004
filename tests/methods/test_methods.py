"""What every method must do on every network, in 2D and 3D. A new method is tested by its line in `METHODS`.

What only looks at the first step looks at one step, see `first_step`; what goes on or changes something builds its own.
"""

import copy
import itertools
from functools import cache
from typing import NamedTuple

import pytest
import torch
from tiny_methods import SIZES, build, first_loss, noise
from torch import Tensor

from crossmatch.methods import METHODS, Method
from crossmatch.networks import NETWORKS
from crossmatch.networks.average import Average

# Methods that compute something else than when versions were introduced -> their version. A change of a pinned loss is
# such a change, and so is one that a first loss cannot show.
VERSIONS = {"bcp": 2, "sdcl": 3, "supervised_strong": 3, "urpc": 2}
# The first loss, seeded; float32 on a CPU, so only the order of sums may differ from machine to machine.
PINNED = {
    ("supervised", "unet", 2): 0.829762,
    ("supervised", "unet", 3): 0.823780,
    ("supervised", "vnet", 2): 0.859066,
    ("supervised", "vnet", 3): 0.834046,
    ("supervised_strong", "unet", 2): 0.829762,
    ("supervised_strong", "unet", 3): 0.823780,
    ("supervised_strong", "vnet", 2): 0.859066,
    ("supervised_strong", "vnet", 3): 0.834046,
    ("pseudo_label", "unet", 2): 1.557814,
    ("pseudo_label", "unet", 3): 1.531660,
    ("pseudo_label", "vnet", 2): 1.482450,
    ("pseudo_label", "vnet", 3): 1.489280,
    ("distillation", "unet", 2): 1.310174,
    ("distillation", "unet", 3): 0.881296,
    ("distillation", "vnet", 2): 1.692736,
    ("distillation", "vnet", 3): 0.873139,
    ("self_distillation", "unet", 2): 0.845331,
    ("self_distillation", "unet", 3): 0.835114,
    ("self_distillation", "vnet", 2): 0.884089,
    ("self_distillation", "vnet", 3): 0.846162,
    ("mean_teacher", "unet", 2): 0.846710,
    ("mean_teacher", "unet", 3): 0.833796,
    ("mean_teacher", "vnet", 2): 0.897991,
    ("mean_teacher", "vnet", 3): 0.855745,
    ("uamt", "unet", 2): 0.860969,
    ("uamt", "unet", 3): 0.841112,
    ("uamt", "vnet", 2): 0.911095,
    ("uamt", "vnet", 3): 0.856476,
    ("fixmatch", "unet", 2): 0.955597,
    ("fixmatch", "unet", 3): 0.886055,
    ("fixmatch", "vnet", 2): 0.852387,
    ("fixmatch", "vnet", 3): 0.865912,
    ("unimatch", "unet", 2): 0.657154,
    ("unimatch", "unet", 3): 0.657076,
    ("unimatch", "vnet", 2): 0.717145,
    ("unimatch", "vnet", 3): 0.682959,
    ("cps", "unet", 2): 1.720335,
    ("cps", "unet", 3): 1.709065,
    ("cps", "vnet", 2): 1.803970,
    ("cps", "vnet", 3): 1.821127,
    ("urpc", "unet", 2): 0.829893,
    ("urpc", "unet", 3): 0.822600,
    ("urpc", "vnet", 2): 0.982194,
    ("urpc", "vnet", 3): 0.958899,
    ("dmd", "unet", 2): 1.097959,
    ("dmd", "unet", 3): 1.087228,
    ("dmd", "vnet", 2): 1.238028,
    ("dmd", "vnet", 3): 1.333465,
    ("bcp", "unet", 2): 2.432679,
    ("bcp", "unet", 3): 2.375891,
    ("bcp", "vnet", 2): 2.435803,
    ("bcp", "vnet", 3): 2.365846,
    ("sdcl", "unet", 2): 5.482250,
    ("sdcl", "unet", 3): 5.328791,
    ("sdcl", "vnet", 2): 5.772722,
    ("sdcl", "vnet", 3): 5.901670,
    ("cml", "unet", 2): 3.222184,
    ("cml", "unet", 3): 3.222333,
    ("cml", "vnet", 2): 3.323688,
    ("cml", "vnet", 3): 3.445669,
    ("mcnet", "unet", 2): 1.739755,
    ("mcnet", "unet", 3): 1.747313,
    ("mcnet", "vnet", 2): 1.834687,
    ("mcnet", "vnet", 3): 1.738237,
    ("dtc", "unet", 2): 0.644271,
    ("dtc", "unet", 3): 0.739071,
    ("dtc", "vnet", 2): 0.724772,
    ("dtc", "vnet", 3): 0.889062,
    ("admt", "unet", 2): 1.863720,
    ("admt", "unet", 3): 1.842673,
    ("admt", "vnet", 2): 2.055022,
    ("admt", "vnet", 3): 1.972599,
    ("ssnet", "unet", 2): 0.592651,
    ("ssnet", "unet", 3): 0.576094,
    ("ssnet", "vnet", 2): 0.601994,
    ("ssnet", "vnet", 3): 0.578439,
    ("sassnet", "unet", 2): 1.469255,
    ("sassnet", "unet", 3): 1.559649,
    ("sassnet", "vnet", 2): 1.505645,
    ("sassnet", "vnet", 3): 1.647157,
    ("caml", "unet", 2): 1.112046,
    ("caml", "unet", 3): 1.042890,
    ("caml", "vnet", 2): 1.043066,
    ("caml", "vnet", 3): 1.181584,
    ("crossmatch", "unet", 2): 0.667024,
    ("crossmatch", "unet", 3): 0.662774,
    ("crossmatch", "vnet", 2): 0.715470,
    ("crossmatch", "vnet", 3): 0.687803,
}
PINNED_TOLERANCE = 1e-4
WATCHED = ("confident", "pseudo_foreground", "agreement", "divergence", "weight")  # terms that nobody learns from
MOVING_TEACHERS = ("mean_teacher", "uamt", "bcp", "sdcl")
SOUGHT_ANEW = {
    "ssnet": {"unlabelled_weight": 0.0},  # its worst change and its memory differ after any step
    # its networks change each other's labels, and the cosine jumps where ReLU has made features 0; see test_cml
    "cml": {"discrepancy_weight": 0.0, "unlabelled_weight": 0.0},
}
# dropout draws by type; a low temperature magnifies what is rounded
STEADY_IN_BFLOAT16 = {"crossmatch": {"weak_rate": 0.0, "strong_rate": 0.0}, "caml": {"temperature": 1.0}}
ONE_SCALE = ("urpc", "unet", "consistency")  # the tiny U-Net's decoder has one level: nothing to agree with
TEACHERS = (*MOVING_TEACHERS, "admt", "distillation")


class FirstStep(NamedTuple):
    """A method after its first loss and backward."""

    method: Method
    terms: dict[str, Tensor]


@cache
def first_step(name: str, network: str, dims: int) -> FirstStep:
    """The first step with unlabelled images where the method needs them. It is shared: look, and change nothing."""
    method, batch = build(name, dims, network), noise(dims, network)
    terms = first_loss(method, batch if method.needs_unlabelled else batch._replace(u=None, mix=None))
    terms["total"].backward()
    return FirstStep(method, terms)


every_method = pytest.mark.parametrize(("name", "network", "dims"), list(itertools.product(METHODS, NETWORKS, (2, 3))))


@every_method
def test_losses_are_finite_scalars_with_a_total(name, network, dims):
    terms = first_step(name, network, dims).terms
    assert "total" in terms
    assert terms["total"].requires_grad
    for value in terms.values():
        assert value.ndim == 0
        assert value.dtype == torch.float32
        assert value.isfinite()


@every_method
def test_the_gradient_reaches_every_parameter(name, network, dims):
    method = first_step(name, network, dims).method
    for key, parameter in method.network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        if parameter.ndim > 1:  # biases before a batch normalisation have no effect, hence a gradient of 0
            assert parameter.grad.abs().sum() > 0, key


@every_method
def test_every_term_is_one_the_network_learns_from_or_is_only_watched(name, network, dims):
    method = build(name, dims, network)
    terms = first_loss(method, noise(dims, network))
    weights = [weight for weight in method.network.parameters() if weight.ndim > 1]
    for key, value in terms.items():
        assert value.requires_grad is (key not in WATCHED), key
        if value.requires_grad:
            gradients = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
            learns = any(gradient is not None and gradient.any() for gradient in gradients)
            assert learns is ((name, network, key) != ONE_SCALE and key != "discriminator"), key


@every_method
def test_no_gradient_reaches_what_only_teaches(name, network, dims):
    """Whatever is not trained: teachers, finished or moving, have no gradient and stay where they are in a step."""
    method = first_step(name, network, dims).method
    teachers = [parameter for parameter in method.parameters() if not parameter.requires_grad]
    assert (len(teachers) > 0) is (name in TEACHERS)
    assert all(parameter.grad is None for parameter in teachers)
    assert all(parameter.grad is not None for parameter in method.network.parameters())


@pytest.mark.parametrize(("name", "dims"), list(itertools.product(MOVING_TEACHERS, (2, 3))))
def test_a_moving_teacher_follows_the_student(name, dims):
    """It starts as a copy, ends between where it was and the student, and has the student's batch statistics."""
    method = build(name, dims)
    (teacher,) = (module for module in method.modules() if isinstance(module, Average))
    method.before_step(500, 1000)  # past BCP's pre-training and Mean Teacher's first steps
    first_loss(method, noise(dims))
    before = [weight.clone() for weight in teacher.network.parameters()]
    assert all(torch.equal(old, weight) for old, weight in zip(before, method.network.parameters(), strict=True))
    with torch.no_grad():
        for weight in method.network.parameters():
            weight += torch.randn_like(weight)
    method.after_step()
    for old, now, goal in zip(before, teacher.network.parameters(), method.network.parameters(), strict=True):
        torch.testing.assert_close(now, old + (1 - teacher.decay) * (goal - old))
        assert not torch.equal(now, old)
    statistics = list(zip(teacher.network.buffers(), method.network.buffers(), strict=True))
    assert statistics
    assert all(torch.equal(ours, theirs) for ours, theirs in statistics)


@every_method
def test_a_step_along_the_gradient_lowers_the_total(name, network, dims):
    """With the same perturbations again; pseudo-labels of a sure threshold may change, so the step is small."""
    method = build(name, dims, network, **SOUGHT_ANEW.get(name, {}))
    ahead, batch = copy.deepcopy(method), noise(dims, network)  # a step moves batch statistics, which may teach
    before = first_loss(method, batch)["total"]
    before.backward()
    with torch.no_grad():
        for here, there in zip(method.parameters(), ahead.parameters(), strict=True):
            if here.requires_grad:  # a teacher stays
                there -= 1e-5 * here.grad
    assert first_loss(ahead, batch)["total"] < before


@every_method
def test_a_seed_fixes_the_loss(name, network, dims):
    one, again = first_step(name, network, dims).terms, first_loss(build(name, dims, network), noise(dims, network))
    assert one.keys() == again.keys()
    assert all(torch.equal(one[key], again[key]) for key in one)


@every_method
def test_the_first_loss_is_pinned(name, network, dims):
    total = first_step(name, network, dims).terms["total"].item()
    pinned = PINNED.get((name, network, dims), 0.0)
    said = f'("{name}", "{network}", {dims}): {total:.6f}, and add 1 to the version of {name}, there and in VERSIONS'
    assert total == pytest.approx(pinned, rel=PINNED_TOLERANCE), said
    assert METHODS[name].version == VERSIONS.get(name, 1)


@every_method
def test_bfloat16_gives_nearly_the_same_terms_in_float32(name, network, dims):
    """Rounded logits move the labels of voxels that are nearly tied: terms agree to 0.02, not better."""
    changes = STEADY_IN_BFLOAT16.get(name, {})
    expected = first_step(name, network, dims).terms
    if changes:
        expected = first_loss(build(name, dims, network, **changes), noise(dims, network))
    method = build(name, dims, network, **changes)
    with torch.autocast("cpu", torch.bfloat16):
        terms = first_loss(method, noise(dims, network))
    for key, value in terms.items():
        assert value.dtype == torch.float32, key
        assert value.item() == pytest.approx(expected[key].item(), abs=0.02), key
    terms["total"].backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in method.network.parameters())


@every_method
def test_the_predictor_segments(name, network, dims):
    method = build(name, dims, network)
    method.after_step()
    predictor = method.predictor().eval()
    assert predictor(torch.rand(1, 2, *SIZES[network, dims])).shape == (1, 3, *SIZES[network, dims])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if not kind.needs_unlabelled])
def test_methods_without_unlabelled_images_ignore_them(name, dims):
    batch = noise(dims)
    bare = batch._replace(u=None, mix=None)
    assert torch.equal(first_loss(build(name, dims), batch)["total"], first_loss(build(name, dims), bare)["total"])
