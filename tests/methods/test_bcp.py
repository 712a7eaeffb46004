"""BCP: box and regions by hand, both stages computed plainly, which images are looked at, the teacher."""

import math
from pathlib import Path

import pytest
import torch
from tiny_methods import build, first_loss, noise
from torch import Tensor, nn

from crossmatch.batches.batch import Batch
from crossmatch.methods import Method
from crossmatch.methods.bcp import EDGE, draw_box, halves, pairs, region_loss
from crossmatch.methods.components import largest_components
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights


@pytest.mark.parametrize(("size", "edges"), [((9, 6), (6, 4)), ((8, 12, 7), (5, 8, 4))])
def test_a_box_is_two_thirds_of_every_axis_at_a_random_place(size, edges):
    """Places start at 0 and end one before the last that would fit, as released."""
    torch.manual_seed(0)
    starts = set()
    for _ in range(300):
        box = draw_box(torch.Size(size), EDGE, torch.device("cpu"))
        assert (box.shape, box.dtype) == ((1, *size), torch.bool)
        inside = box[0].nonzero()
        start = inside.min(0).values
        assert (inside.max(0).values - start + 1).tolist() == list(edges)
        assert len(inside) == math.prod(edges)
        starts.add(tuple(start.tolist()))
    for axis, (length, edge) in enumerate(zip(size, edges, strict=True)):
        assert {start[axis] for start in starts} == set(range(length - edge))


def test_the_loss_of_a_region_by_hand():
    """One voxel of two counts; the network gives 3/4 to its label 1: ln(4/3), and Dice without smoothing.

    Class 1: 1 - 2 * 0.75 / (0.75^2 + 1) = 0.04; class 0: nothing right, 1.
    """
    logits = torch.tensor([[[[1.0, 5.0]], [[3.0, 1.0]]]]).log()
    region = torch.tensor([[[True, False]]])
    loss = region_loss(logits, torch.tensor([[[1, 1]]]), region, DiceSettings(smooth=1e-12))
    assert loss.item() == pytest.approx((math.log(4 / 3) + (0.04 + 1) / 2) / 2)


def test_the_learning_rate_of_both_stages_as_released():
    """ACDC and Pancreas-CT: constant. LA: a tenth after each 2,500 of the 15,000 steps that follow 2,000."""
    acdc, la = (load_recipe(name, ["method.name=bcp"]) for name in ("acdc_3", "la_8"))
    assert [acdc.learning_rate(step / 40000) for step in (0, 9999, 10000, 39999)] == [0.01] * 4
    rates = {0: 1, 1999: 1, 2000: 1, 4499: 1, 4500: 0.1, 6999: 0.1, 7000: 0.01, 9500: 1e-3, 16999: 1e-5}
    assert {step: la.learning_rate(step / 17000) / 0.001 for step in rates} == pytest.approx(rates)
    pancreas = load_recipe("pancreas_a_12", ["method.name=bcp"])
    assert [pancreas.learning_rate(share) for share in (0, 0.264, 0.266, 0.999)] == [0.001] * 4
    own, other = (load_recipe("own_2d", [f"method.name={name}"]) for name in ("bcp", "uamt"))
    assert own.learning_rate(0.7) == other.learning_rate(0.7) == pytest.approx(0.01 * 0.3**0.9)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_loss_of_a_box_is_the_supervised_loss_of_what_it_cuts_out(dims, background):
    dice, size = DiceSettings(background=background), (6, 5, 4)[:dims]
    logits, label = torch.randn(2, 3, *size), torch.randint(0, 3, (2, *size))
    region = torch.zeros(1, *size, dtype=torch.bool)
    region[0, 1:4, 2:] = True
    cut = supervised_loss(logits[:, :, 1:4, 2:], label[:, 1:4, 2:], dice)
    torch.testing.assert_close(region_loss(logits, label, region, dice), cut)


def test_a_pass_has_half_the_larger_batch_but_never_one_image():
    counts = {(12, 12): 6, (4, 4): 2, (3, 3): 2, (2, 2): 2, (1, 1): 2, (2, 12): 6, (5, 1): 3}
    for sizes, count in counts.items():
        assert pairs(*(torch.zeros(size) for size in sizes)) == count


def test_images_are_taken_in_turn():
    cases = {
        (4, 2): ([0, 1], [2, 3]),
        (5, 3): ([0, 1, 2], [2, 3, 4]),
        (3, 2): ([0, 1], [1, 2]),
        (2, 2): ([0, 1], [1, 0]),
        (1, 2): ([0, 0], [0, 0]),
        (2, 6): ([0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0]),
    }
    for (images, count), expected in cases.items():
        assert tuple(half.tolist() for half in halves(torch.arange(images), count)) == expected


# (labelled, unlabelled) -> which images are halves a and b of each, written out
PAIRS = {
    (4, 4): ([0, 1], [2, 3], [0, 1], [2, 3]),
    (2, 2): ([0, 1], [1, 0], [0, 1], [1, 0]),
    (2, 3): ([0, 1], [1, 0], [0, 1], [1, 2]),
    (3, 1): ([0, 1], [1, 2], [0, 0], [0, 0]),
    (1, 1): ([0, 0], [0, 0], [0, 0], [0, 0]),
}


def _box(batch: Batch) -> Tensor:
    torch.manual_seed(0)
    return draw_box(batch.x.shape[2:], EDGE, batch.x.device)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("sizes", PAIRS)
def test_self_training_computed_plainly(dims, sizes):
    """In `eval()` images do not meet in a normalisation. The teacher differs from the student."""
    method, batch = build("bcp", dims).eval(), noise(dims, labelled=sizes[0], unlabelled=sizes[1])
    assert batch.u is not None
    with torch.no_grad():
        for weight in method.network.parameters():
            weight += 0.1 * torch.randn_like(weight)
        terms = first_loss(method, batch)
        box, (x_a, x_b, u_a, u_b) = _box(batch), PAIRS[sizes]
        u = batch.u.weak
        label = largest_components(method.teacher.network(u).argmax(1), 3, dims)
        around = method.network(torch.where(box.unsqueeze(1), batch.x[x_a], u[u_a]))
        inside = method.network(torch.where(box.unsqueeze(1), u[u_b], batch.x[x_b]))
    sup = region_loss(around, batch.y[x_a], box, method.dice) + region_loss(inside, batch.y[x_b], ~box, method.dice)
    pseudo = region_loss(around, label[u_a], ~box, method.dice) + region_loss(inside, label[u_b], box, method.dice)
    for name, value in {"sup": sup, "pseudo": pseudo, "total": sup + 0.5 * pseudo}.items():
        torch.testing.assert_close(terms[name], value, msg=f"{name}: {{}}".format)


@pytest.mark.parametrize("dims", [2, 3])
def test_pseudo_labels_keep_the_largest_component_unless_they_keep_all(dims):
    """Noise has many: of the three settings each teaches other labels."""
    losses = {
        n: first_loss(build("bcp", dims, largest_component=n), noise(dims))["pseudo"].item() for n in (0, 1, dims)
    }
    assert len(set(losses.values())) == 3


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("labelled", "a", "b"), [(4, [0, 1], [2, 3]), (3, [0, 1], [1, 2]), (2, [0, 1], [1, 0]), (1, [0, 0], [0, 0])]
)
def test_pre_training_pastes_labelled_images_and_looks_at_no_other(dims, labelled, a, b):
    method = build("bcp", dims).eval()
    method.before_step(0, 4)
    batch = noise(dims, labelled=labelled)._replace(u=None, mix=None)
    terms, box = first_loss(method, batch), _box(batch)
    mixed = method.network(torch.where(box.unsqueeze(1), batch.x[b], batch.x[a]))
    sup = region_loss(mixed, batch.y[a], ~box, method.dice) + region_loss(mixed, batch.y[b], box, method.dice)
    torch.testing.assert_close(terms["sup"], sup)
    torch.testing.assert_close(terms["total"], sup)
    assert terms["pseudo"].item() == 0
    assert terms.keys() == first_loss(build("bcp", dims), noise(dims)).keys()  # the log has the same terms throughout


@pytest.mark.parametrize("dims", [2, 3])
def test_weak_views_are_looked_at_where_they_lie_in_a_mixture(dims):
    batch = noise(dims, labelled=4, unlabelled=4)
    assert batch.u is not None
    assert batch.mix is not None
    images = (batch.x, batch.u.weak, batch.u.strong, batch.mix.weak, batch.mix.strong)
    for image in images:
        image.requires_grad_()
    first_loss(build("bcp", dims).eval(), batch)["total"].backward()
    box = _box(batch).unsqueeze(1)
    for gradient, inside in ((batch.x.grad[:2], box), (batch.x.grad[2:], ~box), (batch.u.weak.grad[:2], ~box)):
        assert (gradient * inside).any()
        assert not (gradient * ~inside).any()
    assert not (batch.u.weak.grad[2:] * ~box).any()
    assert all(image.grad is None for image in images[2:])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("term", ["sup", "pseudo"])
def test_the_student_learns_from_each_term_and_the_teacher_does_not(dims, term):
    method = build("bcp", dims)
    first_loss(method, noise(dims))[term].backward()
    assert all(weight.grad.any() for weight in method.network.parameters() if weight.ndim > 1)
    assert all(weight.grad is None for weight in method.teacher.parameters())


def _shift(network: nn.Module) -> None:
    with torch.no_grad():
        for value in (*network.parameters(), *network.buffers()):
            value += 1


def _distance(method: Method) -> set[float]:
    """How far the student's parameters lie above the teacher's."""
    pairs = zip(method.network.parameters(), method.teacher.parameters(), strict=True)
    return {round(value, 4) for ours, theirs in pairs for value in (ours - theirs).flatten().tolist()}


def test_self_training_begins_after_a_share_of_the_run_with_a_copy_of_the_student():
    """A quarter of 8 steps: the teacher stays as it was for 2, is a copy at the third, and moves after it."""
    method = build("bcp", 2)
    for step in (0, 1):
        method.before_step(step, 8)
        assert method.stage == 0
        _shift(method.network)
        method.after_step()
    assert _distance(method) == {2.0}
    method.before_step(2, 8)
    assert method.stage == 1
    assert _distance(method) == {0.0}
    _shift(method.network)
    method.after_step()
    assert _distance(method) == {0.99}  # a hundredth of the way
    method.before_step(3, 8)
    assert method.stage == 1
    assert _distance(method) == {0.99}
    assert method.predictor() is method.network


def test_without_pre_training_the_first_step_trains_itself():
    method = build("bcp", 2, pretraining=0.0)
    method.before_step(0, 8)
    assert method.stage == 1
    assert first_loss(method, noise(2))["pseudo"] > 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, unlabelled=0)


@pytest.mark.parametrize("pretraining", [0.3, 0.5, 0.8])
def test_a_run_resumes_bit_for_bit_before_at_and_after_the_change_of_stage(data: Path, tmp_path: Path, pretraining):
    """Ten steps, interrupted after five."""
    chosen = load_recipe("phantom", [*TINY, "method.name=bcp", f"method.pretraining={pretraining}"])
    assert fit(chosen, data, tmp_path / "whole", Quiet()) == 10
    assert fit(chosen, data, tmp_path / "parts", Quiet(interrupt_at=5)) == 5
    assert fit(chosen, data, tmp_path / "parts", Quiet(), resume=True) == 10
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert any((whole[key] != whole[key.replace("/teacher.", "/")]).any() for key in whole if "/teacher." in key)


@pytest.mark.parametrize("name", ["bcp", "sdcl", "cml"])
def test_a_longer_run_does_not_train_on_labelled_images_alone_again(name, tmp_path):
    """Half of 4 steps is pre-training; half of 16 would be 8."""
    data = write_dataset(tmp_path / "data", n_train=3, n_val=0)
    settings = [*TINY, f"method.name={name}", "method.pretraining=0.5", "train.steps=4", "train.log_every=1"]
    recipe, out = load_recipe("phantom", settings), tmp_path / "run"
    assert fit(recipe, data, out, Quiet()) == 4
    display = Quiet()
    assert fit(recipe, data, out, display, resume=True, extend_to=16) == 16
    assert "The first stage is over and does not come again" in " ".join(display.warnings)
    pseudo = {line["step"]: line["train"]["pseudo"] for line in read_metrics(out / "metrics.jsonl") if "train" in line}
    assert [step for step, value in pseudo.items() if value == 0] == [1, 2]
    assert len(pseudo) == 16
    assert open_run(out).recipe.method.settings.begins(16) == 2
