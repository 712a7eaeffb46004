"""AD-MT: turns, teachers and boxes; labels by hand; the released labels, terms and gradients."""

import itertools

import pytest
import torch
from released_numbers import VALUES, assert_gradient, cases
from tiny_methods import build, first_loss, noise

from crossmatch.methods.admt import ADMTSettings, Taught, admt_loss, combined, draw_boxes, overruled
from crossmatch.methods.losses import DiceSettings
from crossmatch.methods.pseudo import Target, cutmix, pseudo_label
from crossmatch.perturb.cutmix import box_mask
from crossmatch.recipes.load import load_recipe
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

IN_3D = {"threshold": 0.8, "pseudo_loss": "cross_entropy"}
OTHER = {2: "cross_entropy", 3: "dice"}
DICE = DiceSettings(background=True, smooth=1e-5)


def turns(method, steps: int) -> list[int]:
    found = []
    for step in range(steps):
        method.before_step(step, steps)
        found.append(method.stage)
    return found


def test_turns_alternate_for_as_long_as_drawn_and_are_the_same_after_a_stop():
    method = build("admt", 2, longest_turn=5)
    whole = turns(method, 300)
    assert whole[0] == 0
    assert {len(list(turn)) for _, turn in itertools.groupby(whole)} == {1, 2, 3, 4, 5}
    again = build("admt", 2, longest_turn=5)
    again.before_step(137, 300)
    assert again.stage == whole[137]
    torch.manual_seed(1)
    other = type(method)(method.network, method.settings, method.dice)
    assert turns(other, 300) != whole


@pytest.mark.parametrize("dims", [2, 3])
def test_only_the_teacher_of_the_turn_has_batch_statistics_and_follows(dims):
    method = build("admt", dims, longest_turn=2, decay=0.9, copying=0.2)
    for step in range(20):
        method.before_step(step, 20)
        mine, other = (method.first, method.second) if method.stage == 0 else (method.second, method.first)
        assert mine.network.training
        assert not other.network.training
        before = [[weight.clone() for weight in teacher.parameters()] for teacher in (mine, other)]
        with torch.no_grad():
            for weight in method.network.parameters():
                weight += 1
        method.after_step()
        taken = 1 if step < 6 else max(1 / (step // 2 - 2 + 1), 0.1)
        for old, now, goal in zip(before[0], mine.parameters(), method.network.parameters(), strict=True):
            torch.testing.assert_close(now, old + taken * (goal - old))
        assert all(torch.equal(old, now) for old, now in zip(before[1], other.parameters(), strict=True))
    assert method.predictor() is method.first.network


def test_labels_by_hand():
    """Teacher A is certain, H = 0, weight 1; B has three to one, H = 0.811 bits, weight 0.444; they conflict."""
    first, second = torch.tensor([0.0, 200.0]).view(1, 2, 1, 1), torch.tensor([0.75, 0.25]).log().view(1, 2, 1, 1)
    taught = combined(first, second)
    certainty = torch.exp(torch.tensor(0.75 * 0.4150375 + 0.25 * 2)).reciprocal()
    confidence = (1 + certainty * 0.25) / (1 + certainty)
    assert taught.label.item() == 1
    assert taught.conflict.item()
    assert taught.confidence.item() == pytest.approx(confidence.item(), rel=1e-5)
    for label, sure, conflict, expected in (
        (0, 0.99, True, 0),
        (0, 0.5, True, 1),
        (0, 0.99, False, 1),
        (1, 0.99, True, 1),
    ):
        student = Target(torch.full((1, 1, 1), label), torch.full((1, 1, 1), sure))
        found = overruled(taught._replace(conflict=torch.full((1, 1, 1), conflict)), student)
        assert found.label.item() == expected
        assert found.confidence.item() == pytest.approx(sure if expected == 0 else confidence.item(), rel=1e-5)


@pytest.mark.parametrize("size", [(32, 48), (16, 24, 20)])
def test_boxes(size):
    """Boxes of one draw, unless cut, have one size, a share of each edge; its mean is that of sqrt(1 - Beta(4, 4))."""
    torch.manual_seed(0)
    shares = []
    for _ in range(100):
        box = draw_boxes(torch.zeros(200, 1, *size))
        assert (box.shape, box.dtype) == ((200, *size), torch.bool)
        places = [image.nonzero() for image in box]
        edges = torch.stack([place.amax(0) - place.amin(0) + 1 for place in places])
        assert edges.prod(1).tolist() == [len(place) for place in places]
        longest = edges.amax(0) / torch.tensor(size)
        assert longest.max() - longest.min() < 0.13  # edges are whole and even
        shares.append(longest.mean().item())
    assert sum(shares) / len(shares) == pytest.approx(0.70 - 0.04, abs=0.04)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("turn", [0, 1])
def test_the_student_sees_another_view_in_each_turn(dims, turn):
    method, batch = build("admt", dims, longest_turn=1), noise(dims)
    method.before_step(turn, 10)
    assert method.stage == turn
    seen = []
    method.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    first_loss(method, batch)
    strong = seen[0][-3:]
    assert torch.equal(strong, batch.u.strong[:, 0]) is (turn == 0)
    voxels = batch.u.weak.transpose(0, 1)
    assert ((strong.transpose(0, 1).unsqueeze(1) == voxels.unsqueeze(2)).any(1).all()).item() is (turn == 1)


def test_nothing_confident_costs_nothing():
    torch.manual_seed(0)
    logits, label = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    for kind in ("dice", "cross_entropy"):
        settings = ADMTSettings(threshold=1.1, pseudo_loss=kind)
        terms = admt_loss(logits, label, logits, pseudo_label(logits), torch.tensor(2.0), settings, DICE)
        assert terms["pseudo"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["d2a", "d2b", "d3a", "d3b"])
def test_released_labels_terms_and_gradients(name, shared):
    case, dims = cases(shared, "admt")[name], int(name[1])
    taught = combined(case["in:zA"], case["in:zB"])
    assert torch.equal(taught.label, case["out:label_fused"].long())
    assert torch.equal(taught.conflict, case["out:conflict"].bool())
    torch.testing.assert_close(taught.confidence, case["out:conf_fused"], **VALUES)
    if name.endswith("b"):
        box = box_mask(*case["in:box"].movedim(-1, 1), tuple(taught.label.shape[1:]))
        taught = Taught(*(cutmix(value[case["in:perm"]], value, box) for value in taught))
        assert torch.equal(cutmix(case["in:x"][case["in:perm"]], case["in:x"], box), case["out:x_student"])
    assert torch.equal(taught.label, case["out:label_mix"].long())
    assert torch.equal(taught.conflict, case["out:conflict_mix"].bool())
    student = pseudo_label(case["in:z_u_weak"])
    target = overruled(taught, student)
    assert torch.equal(student.label, case["out:label_student"].long())
    torch.testing.assert_close(target.confidence, case["out:conf_final"], **VALUES)
    kept = target.confidence >= case["in:tau"]
    assert torch.equal(torch.where(kept, target.label, 255), case["out:label_final"].long())
    released = ADMTSettings(**(IN_3D if dims == 3 else {}))
    assert released.threshold == case["in:tau"]
    for settings, suffix in ((released, ""), (released.model_copy(update={"pseudo_loss": OTHER[dims]}), "_other")):
        labelled, strong = (case[f"in:{key}"].clone().requires_grad_() for key in ("z_l", "z_u_strong"))
        terms = admt_loss(labelled, case["in:y"].long(), strong, target, case["in:w"].float(), settings, DICE)
        torch.testing.assert_close(terms["sup"], case["out:L_l"], **VALUES)
        torch.testing.assert_close(terms["pseudo"], case[f"out:L_u{suffix}"], **VALUES)
        if not suffix:
            torch.testing.assert_close(terms["total"], case["out:total"], **VALUES)
        terms["pseudo" if suffix else "total"].backward()
        assert_gradient(strong.grad, case[f"grad:z_u_strong{suffix}"])
        if not suffix:
            assert_gradient(labelled.grad, case["grad:z_l"])


@pytest.mark.parametrize("longest", [1, 2])
def test_a_run_resumes_bit_for_bit_through_turns(tmp_path, longest):
    data = write_dataset(tmp_path / "tiny", n_train=3, n_val=0)
    changes = ["method.name=admt", f"method.longest_turn={longest}", "train.steps=6", "data.labelled=2"]
    chosen = load_recipe("phantom", [*TINY, *changes])
    assert fit(chosen, data, tmp_path / "whole", Quiet()) == 6
    assert fit(chosen, data, tmp_path / "parts", Quiet(interrupt_at=3)) == 3
    assert fit(chosen, data, tmp_path / "parts", Quiet(), resume=True) == 6
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert any((whole[key] != whole[key.replace("/first.", "/second.")]).any() for key in whole if "/first." in key)
