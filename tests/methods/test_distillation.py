"""Distillation: the term plainly, a teacher that stays as it was, and teachers that are refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_methods import build, first_loss, noise, teacher

from crossmatch.errors import UserError
from crossmatch.methods.losses import DiceSettings, supervised_loss
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.checkpoint import load_checkpoint
from crossmatch.runs.run import open_run
from crossmatch.training.fit import fit
from refusal import refuse
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights
from untrained import small_recipe, untrained_run

both_ranks = pytest.mark.parametrize("dims", [2, 3])


@both_ranks
@pytest.mark.parametrize("network", ["unet", "vnet"])
def test_every_term_as_a_plain_computation(dims, network):
    """The teacher is a U-Net, as its run has kept it, whatever the student is."""
    method, batch = build("distillation", dims, network, temperature=3.0, unlabelled_weight=0.5), noise(dims, network)
    terms = first_loss(method, batch)
    kept, _ = open_run(Path(teacher(dims))).load_network("last")
    x, w = method.network(torch.cat([batch.x, batch.u.weak])).detach().double().split([2, 3])
    taught, student = (kept(batch.u.weak).detach().double() / 3).softmax(1), (w / 3).softmax(1)
    distil = 9 * (taught * (taught / student).log()).sum(1).mean()
    assert distil > 0.01
    assert terms["distil"].item() == pytest.approx(distil.item(), rel=1e-4)
    sup = supervised_loss(x, batch.y, DiceSettings())
    assert terms["total"].item() == pytest.approx((sup + 0.5 * distil).item(), rel=1e-5)
    assert terms.keys() == {"total", "sup", "distil"}


@both_ranks
def test_only_the_weak_view_is_looked_at_and_the_student_alone_learns(dims):
    method, batch = build("distillation", dims), noise(dims)
    for image in (batch.u.weak, batch.u.strong, batch.mix.weak):
        image.requires_grad_()
    first_loss(method, batch)["distil"].backward()
    assert batch.u.weak.grad.any()
    assert batch.u.strong.grad is None
    assert batch.mix.weak.grad is None
    assert method.network.head.weight.grad.any()
    assert all(weight.grad is None and not weight.requires_grad for weight in method.teacher.parameters())


@both_ranks
def test_the_teacher_stays_in_eval_mode_and_as_it_was(dims):
    method = build("distillation", dims)
    before = {key: value.clone() for key, value in method.teacher.state_dict().items()}
    for mode in (True, False, True):
        method.train(mode)
        assert method.network.training is mode
        assert not any(module.training for module in method.teacher.modules())
    first_loss(method, noise(dims))["total"].backward()
    method.after_step()
    assert all(torch.equal(before[key], value) for key, value in method.teacher.state_dict().items())
    assert method.predictor() is method.network


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, n_val=0)


def test_a_run_keeps_its_teacher_once_and_is_read_without_it(data, tmp_path):
    given = untrained_run(tmp_path / "teacher", data, "network.width=2", "data.normalise=percentile")
    chosen = load_recipe("phantom", [*TINY, "method.name=distillation", f"method.teacher={tmp_path / 'teacher'}"])
    assert fit(chosen, data, tmp_path / "whole", Quiet()) == 10
    whole = weights(tmp_path / "whole")
    kept = load_checkpoint(given.checkpoint("last")).network
    copies = {key.removeprefix("method/teacher."): value for key, value in whole.items() if "teacher" in key}
    assert copies.keys() == kept.keys()
    assert all(torch.equal(copies[key], kept[key]) for key in kept)
    (tmp_path / "teacher").rename(tmp_path / "elsewhere")  # a finished student is read without its teacher
    network, _ = open_run(tmp_path / "whole").load_network()
    assert not any("teacher" in key for key in network.state_dict())


def test_a_missing_teacher_is_told_before_anything_is_written(data, tmp_path, capsys):
    out = tmp_path / "run"
    text = refuse(capsys, tmp_path, "train", "phantom", "--data", data, "--out", out, "--set=method.name=distillation")
    assert "method.teacher: distillation needs a trained run" in text
    assert "--set method.teacher=runs/supervised" in text
    assert not out.exists()


def test_a_folder_that_is_no_run_is_named_and_the_next_try_works(data, tmp_path):
    def attempt(folder: Path) -> int:
        changes = ["method.name=distillation", f"method.teacher={folder}", "train.steps=1"]
        return fit(load_recipe("phantom", [*TINY, *changes]), data, tmp_path / "run", Quiet())

    with pytest.raises(UserError, match=r"^method\.teacher cannot be used: .*nowhere is no run"):
        attempt(tmp_path / "nowhere")
    untrained_run(tmp_path / "teacher", data, "data.normalise=percentile")
    assert attempt(tmp_path / "teacher") == 1


def test_a_run_without_a_checkpoint_is_no_teacher_yet(data, tmp_path):
    run = untrained_run(tmp_path / "run", data)
    run.checkpoint("last").unlink()
    with pytest.raises(UserError, match=r"method\.teacher: the run .*run has no checkpoint yet"):
        build("distillation", 2, teacher=str(run.folder))


@pytest.mark.parametrize(
    ("axes", "channels", "classes", "message"),
    [
        (3, 2, 3, "has 3 spatial axes, this one 2"),
        (2, 1, 3, "has 1 image channels, this one 2"),
        (2, 2, 4, "has 4 classes, background included, this one 3"),
    ],
)
def test_a_teacher_of_other_images_or_labels_is_refused(axes, channels, classes, message):
    with pytest.raises(UserError, match=message):
        build("distillation", 2, teacher=teacher(axes, channels, classes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"background": 0, "MYO": 1, "RV": 2}}, r"differ: labels is .*MYO"),
        ({"channel_names": {"0": "T2"}}, r"differ: channels is .*T2"),
        ({}, r"differ: data\.normalise is "),
    ],
)
def test_a_teacher_of_another_task_of_the_same_shape_is_refused(data, change, message, tmp_path):
    """Its classes would be learned under other names, its channels or grey values taken for others."""
    other = tmp_path / "other"
    shutil.copytree(data, other)
    path = other / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (other / "fingerprint.json").unlink(missing_ok=True)
    untrained_run(tmp_path / "teacher", other, f"data.normalise={'percentile' if change else 'minmax'}")
    changes = ["method.name=distillation", f"method.teacher={tmp_path / 'teacher'}", "train.steps=1"]
    with pytest.raises(UserError, match=message):
        fit(load_recipe("phantom", [*TINY, *changes]), data, tmp_path / "run", Quiet())


def test_a_teacher_by_ct_has_the_student_s_grey_values(data, tmp_path):
    """It sees the student's images. Of other labelled cases its window is another one, which it would not know."""
    ct = [*TINY, "data.normalise=ct", "views.strong.brightness=0", "views.strong.contrast=0", "train.steps=1"]
    for labelled in ("1", "2"):
        chosen = load_recipe("phantom", [*ct, f"data.labelled={labelled}", "method.name=supervised"])
        fit(chosen, data, tmp_path / labelled, Quiet())
    first, second = (open_run(tmp_path / labelled).fixed_windows[0] for labelled in ("1", "2"))
    assert first != second

    def student(teacher: str) -> int:
        changes = ["data.labelled=1", "method.name=distillation", f"method.teacher={tmp_path / teacher}"]
        return fit(load_recipe("phantom", [*ct, *changes]), data, tmp_path / "run", Quiet())

    with pytest.raises(UserError) as caught:
        student("2")
    theirs, ours = (f"{each.low:.4g} ... {each.high:.4g}, mean {each.zero:.4g}" for each in (second, first))
    assert f"scale the grey values of C0 differently (cut to {theirs}" in str(caught.value)
    assert f", and cut to {ours}" in str(caught.value)
    assert "Give a run with the same labelled cases, or train both runs with another data.normalise" in str(
        caught.value
    )
    assert student("1") == 1


def test_the_recipe_of_a_student_is_read_back():
    chosen = small_recipe("method.name=distillation", "method.teacher=runs/mine")
    assert chosen.method.model_dump() == {
        "name": "distillation",
        "teacher": "runs/mine",
        "unlabelled_weight": 0.3,  # the phantom's
        "temperature": 2.0,
    }
