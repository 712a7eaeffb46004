"""Batch statistics that fit: by hand on two layers, and in whole trainings, where they must disturb nothing."""

from pathlib import Path

import pytest
import torch
from torch import nn

from crossmatch.batches.views import Batches
from crossmatch.dataset.dataset import open_dataset
from crossmatch.inference.predictor import Predictor
from crossmatch.networks.vnet import VNet, VNetSettings
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.checkpoint import Checkpoint, load_checkpoint
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run
from crossmatch.training.fit import fit
from crossmatch.training.material import training_cases
from crossmatch.training.recalibrate import PASSES, fit_statistics, recalibrated
from crossmatch.training.validation import validation
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

ON = "train.recalibrate=true"
CPU = torch.device("cpu")


def recipe(*changes: str) -> Recipe:
    return load_recipe("phantom", [*TINY, "train.precision=float32", *changes])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, unlabelled=0)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "on"
    fit(recipe(ON), data, folder, Quiet())
    return folder


def kept(folder: Path, name: str = "last") -> Checkpoint:
    return load_checkpoint(folder / "checkpoints" / f"{name}.safetensors")


def expected(folder: Path, data: Path, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The network with these weights and statistics of the first batches' weak views, put together here."""
    opened = open_run(folder)
    chosen, none = opened.recipe, lambda done, total: None
    cases = training_cases(chosen, open_dataset(data, splits=("train", "val")), none)
    store = cases.load(chosen, folder, CPU, none)
    batches = Batches(store, chosen.data.size, chosen.views, chosen.train.batch, chosen.seed, CPU, unlabelled=True)
    made = [batches(step) for step in range(PASSES)]
    network = opened.build_network()
    network.load_state_dict(weights)
    return recalibrated(network, [torch.cat([batch.x, batch.u.weak]) for batch in made]).state_dict()


def of_network(training: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in training.items() if key.startswith(prefix)}


def test_statistics_are_the_mean_over_the_batches_and_nothing_else_changes() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.9), nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, momentum=0.3))
    network.train()
    network(torch.rand(4, 2, 5, 5) + 7)  # statistics of other images
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = [torch.rand(2, 2, 4, 4) * scale for scale in (1, 2, 5)]
    fitted = recalibrated(network, images)
    first, last = fitted[0], fitted[3]
    torch.testing.assert_close(first.running_mean, torch.stack([b.mean((0, 2, 3)) for b in images]).mean(0))
    torch.testing.assert_close(first.running_var, torch.stack([b.var((0, 2, 3)) for b in images]).mean(0))
    axes = (0, 2, 3)
    scaled = [(b - b.mean(axes, keepdim=True)) / (b.var(axes, False, keepdim=True) + 1e-5).sqrt() for b in images]
    seen = [network[2](b) for b in scaled]  # without the dropout between
    torch.testing.assert_close(last.running_mean, torch.stack([b.mean((0, 2, 3)) for b in seen]).mean(0))
    assert (first.momentum, last.momentum, fitted.training) == (0.1, 0.3, False)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert network.training
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), fitted.parameters(), strict=True))


def test_a_network_without_batch_normalisation_is_not_asked() -> None:
    network = VNet(2, 1, 2, VNetSettings(width=2, dropout=0.0, normalisation="instance"))

    def never():
        raise AssertionError
        yield

    fit_statistics(network, never())
    assert not network.training


def test_training_is_not_disturbed(run: Path, data: Path, tmp_path: Path) -> None:
    fit(recipe(), data, tmp_path / "off", Quiet())
    on, off = weights(run), weights(tmp_path / "off")
    assert on.keys() == off.keys()
    assert all(torch.equal(on[key], off[key]) for key in on)
    logged = [read_metrics(folder / "metrics.jsonl") for folder in (run, tmp_path / "off")]
    ours, theirs = ([line for line in lines if "train" in line] for lines in logged)
    assert ours == theirs


@pytest.mark.parametrize(
    ("changes", "prefix"),
    [
        ([], "method/network."),
        (["train.ema=0.9"], "average/network."),
        (["method.name=mean_teacher"], "method/teacher.network."),
    ],
)
def test_the_checkpoint_holds_the_weights_that_are_followed_and_statistics_that_fit(
    data: Path, tmp_path: Path, changes: list[str], prefix: str
) -> None:
    fit(recipe(ON, "train.steps=5", *changes), data, tmp_path / "run", Quiet())
    found = kept(tmp_path / "run")
    followed = of_network(found.training, prefix)
    assert followed.keys() == found.network.keys()
    wanted = expected(tmp_path / "run", data, followed)
    means = [key for key in wanted if key.endswith("running_mean")]
    assert means
    assert not any(torch.allclose(followed[key], wanted[key], atol=1e-3) for key in means)
    for key, value in wanted.items():
        torch.testing.assert_close(found.network[key], value, msg=key)


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_checkpoint_validates_as_was_logged(run: Path, data: Path, name: str) -> None:
    opened, dataset = open_run(run), open_dataset(data, splits=("train", "val"))
    network, checkpoint = opened.load_network(name)
    predictor = Predictor(network, opened.recipe, dataset.slice_axis, CPU, frame=opened.frame)
    logged = {line["step"]: line["validation"] for line in read_metrics(opened.metrics) if "validation" in line}
    assert validation(predictor, dataset) == logged[checkpoint.facts["step"]]


def test_a_stop_between_validations_changes_nothing(run: Path, data: Path, tmp_path: Path) -> None:
    assert fit(recipe(ON), data, tmp_path / "parts", Quiet(interrupt_at=3)) == 3
    stopped = kept(tmp_path / "parts")
    wanted = expected(tmp_path / "parts", data, of_network(stopped.training, "method/network."))
    for key, value in wanted.items():
        torch.testing.assert_close(stopped.network[key], value, msg=key)
    assert fit(recipe(ON), data, tmp_path / "parts", Quiet(), resume=True) == 10
    for name in ("last", "best"):
        whole, parts = kept(run, name), kept(tmp_path / "parts", name)
        for one, other in ((whole.network, parts.network), (whole.training, parts.training)):
            assert one.keys() == other.keys()
            assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert [line for line in read_metrics(run / "metrics.jsonl") if "validation" in line] == [
        line for line in read_metrics(tmp_path / "parts/metrics.jsonl") if "validation" in line
    ]
