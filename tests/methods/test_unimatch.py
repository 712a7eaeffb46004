"""UniMatch: its terms computed plainly, its passes, which views it looks at, where gradients go."""

import math

import pytest
import torch
from tiny_methods import build, first_loss, noise
from torch import Tensor, nn

from crossmatch.batches.batch import Batch
from crossmatch.methods import Method
from crossmatch.methods.losses import dice_loss, one_hot, supervised_loss

TERMS = ("sup", "s1", "s2", "fp")


def _plain(method: Method, batch: Batch, threshold: float) -> dict[str, Tensor]:
    """The terms with each target written out, in `eval()`, where nothing is dropped and images do not meet."""
    assert batch.u is not None
    assert batch.mix is not None
    u, mix = batch.u, batch.mix
    with torch.no_grad():
        x, weak, partner = (method.network(images) for images in (batch.x, u.weak, mix.weak))

        def match(student: Tensor, teacher: Tensor) -> Tensor:
            confidence, label = teacher.softmax(1).max(1)
            mask = (confidence >= threshold).float().unsqueeze(1)
            return dice_loss(student.softmax(1), one_hot(label, 3) * mask, mask, method.dice)

        def strong(i: int) -> Tensor:
            box = u.box[:, i].unsqueeze(1)
            student = method.network(torch.where(box, mix.strong[:, i], u.strong[:, i]))
            return match(student, torch.where(box, partner, weak))

        sup, s1, s2, fp = supervised_loss(x, batch.y, method.dice), strong(0), strong(1), match(weak, weak)
        sure = weak.softmax(1).max(1).values >= threshold
        foreground = weak.argmax(1)[sure].bool().float().mean()
    total = (sup + 0.25 * s1 + 0.25 * s2 + 0.5 * fp) / 2
    return {
        "sup": sup,
        "s1": s1,
        "s2": s2,
        "fp": fp,
        "total": total,
        "confident": sure.float().mean(),
        "pseudo_foreground": foreground,
    }


@pytest.mark.parametrize("dims", [2, 3])
def test_every_term_and_the_released_weights_computed_plainly(dims):
    """At the median of what the untrained network is sure of: some voxels count, some do not."""
    method, batch = build("unimatch", dims).eval(), noise(dims)
    assert batch.u is not None
    threshold = method.network(batch.u.weak).softmax(1).max(1).values.median().item()
    method = build("unimatch", dims, threshold=threshold).eval()
    terms, expected = first_loss(method, batch), _plain(method, batch, threshold)
    assert 0.4 < expected["confident"] < 0.6
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=f"{name}: {{}}".format)


@pytest.mark.parametrize("dims", [2, 3])
def test_its_passes_and_what_meets_in_one(dims):
    """3 partners in `eval()`; 2 labelled and 3 weak, decoded clean and dropped together; 3 + 3 strong."""
    method, seen = build("unimatch", dims), []

    def note(name):
        def noted(module, inputs):
            seen.append(
                (name, len(inputs[0][0] if name == "decode" else inputs[0]), module.training, torch.is_grad_enabled())
            )

        return noted

    method.network.encoder.register_forward_pre_hook(note("encode"))
    method.network.decoder.register_forward_pre_hook(note("decode"))
    first_loss(method, noise(dims))
    assert seen == [
        ("encode", 3, False, False),
        ("decode", 3, False, False),
        ("encode", 5, True, True),
        ("decode", 10, True, True),
        ("encode", 6, True, True),
        ("decode", 6, True, True),
    ]
    norms = [m for m in method.network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    assert {int(norm.num_batches_tracked) for norm in norms} == {2}


@pytest.mark.parametrize("dims", [2, 3])
def test_half_of_the_channels_are_dropped_at_every_level_for_the_feature_term_alone(dims):
    method = build("unimatch", dims)
    given, logits = [], []
    method.network.decoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    method.network.head.register_forward_hook(lambda *call: logits.append(call[2].detach()))
    terms = first_loss(method, noise(dims))
    for level in given[1]:  # the pass of the weak views
        clean, dropped = (half.detach().flatten(2) for half in level.chunk(2))
        kept = dropped.abs().sum(-1) > 0
        torch.testing.assert_close(dropped, 2 * clean * kept.unsqueeze(-1))
        assert 0 < kept.float().mean() < 0.95
    clean, dropped = (half[2:] for half in logits[1].chunk(2))  # behind the two labelled images
    everywhere = torch.ones_like(clean[:, :1])
    expected = dice_loss(dropped.softmax(1), one_hot(clean.argmax(1), 3), everywhere, method.dice)
    torch.testing.assert_close(terms["fp"], expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_which_views_learn_and_which_teach(dims):
    """In `eval()` images do not meet in a normalisation: gradients show which were looked at."""
    for term, views in (("sup", ()), ("s1", (0,)), ("s2", (1,)), ("fp", ())):
        batch = noise(dims)
        assert batch.u is not None
        assert batch.mix is not None
        for image in (batch.u.weak, batch.u.strong, batch.mix.weak, batch.mix.strong):
            image.requires_grad_()
        first_loss(build("unimatch", dims).eval(), batch)[term].backward()
        assert batch.mix.weak.grad is None
        weak = batch.u.weak.grad
        assert (weak is not None and bool(weak.any())) is (term == "fp"), term  # elsewhere the weak view only teaches
        for i in (0, 1):
            box = batch.u.box[:, i].unsqueeze(1)
            for strong, learns in ((batch.u.strong.grad, ~box), (batch.mix.strong.grad, box)):
                assert (strong is not None and bool(strong[:, i].any())) is (i in views), term
                assert strong is None or not (strong[:, i] * ~learns).any()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("term", TERMS)
def test_the_network_learns_from_each_term(dims, term):
    method = build("unimatch", dims)
    first_loss(method, noise(dims))[term].backward()
    assert all(weight.grad.any() for weight in method.network.parameters() if weight.ndim > 1)


def test_above_a_threshold_of_one_half_the_supervised_term_is_left():
    terms = first_loss(build("unimatch", 2, threshold=1.01), noise(2))
    assert [terms[name].item() for name in ("s1", "s2", "fp", "confident")] == [0, 0, 0, 0]
    torch.testing.assert_close(terms["total"], terms["sup"] / 2)


def test_the_weights_and_their_warm_up():
    """exp(-5) of the unlabelled terms at the first step, all after the warm-up; without one, all from the start."""
    for warm_up, progress, factor in ((0.4, 0.0, math.exp(-5)), (0.4, 0.4, 1.0), (0.0, 0.0, 1.0)):
        torch.manual_seed(0)
        method = build("unimatch", 2, warm_up=warm_up, image_weight=3.0, feature_weight=2.0)
        terms = method(noise(2), torch.tensor(progress))
        unlabelled = 3 * (terms["s1"] + terms["s2"]) / 2 + 2 * terms["fp"]
        torch.testing.assert_close(terms["total"], (terms["sup"] + factor * unlabelled) / 2)
