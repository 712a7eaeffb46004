"""Smaller images in the first part of a run: the same draws at another size, and the full size everywhere else."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from crossmatch.batches.store import load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.inference.predictor import Predictor
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.run import open_run
from crossmatch.training import session as session_module
from crossmatch.training.fit import fit
from crossmatch.training.step import TrainingStep
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

CPU = torch.device("cpu")
EARLY = ("data.early_size=[8, 8]", "data.early_share=0.4")


def recipe(*changes: str) -> Recipe:
    return load_recipe("phantom", [*TINY, *changes])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, unlabelled=0)


def _leaves(batches: Batches, step: int) -> list[Tensor]:
    torch.manual_seed(step)
    return tree_leaves(tuple(batches(step)))


def test_each_step_is_that_of_its_size(data: Path) -> None:
    """As if all steps had that size: what is drawn, the views and the boxes."""
    store = load_store(*open_dataset(data).labelled("1"), dims=2, slice_axis=2, normalise="minmax", device=CPU)
    sizes, views = BatchSizes(labelled=2, unlabelled=2), ViewSettings()

    def batches(size: tuple[int, int], **early: object) -> Batches:
        return Batches(store, size, views, sizes, 7, CPU, True, **early)

    mixed = batches((16, 12), early_size=(8, 6), early_steps=2)
    small, large = batches((8, 6)), batches((16, 12))
    for step, alone in ((0, small), (1, small), (2, large), (3, large)):
        found, wanted = _leaves(mixed, step), _leaves(alone, step)
        assert found[0].shape[2:] == alone.size
        assert len(found) == len(wanted)
        assert all(torch.equal(*both) for both in zip(found, wanted, strict=True))


def test_validation_and_prediction_see_the_full_size(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, predicted = [], []
    compute, logits = TrainingStep._compute, Predictor._average_flips

    def note(step: TrainingStep, drawn):
        trained.append(tuple(step.make(drawn).x.shape[2:]))
        return compute(step, drawn)

    def note_predicted(predictor: Predictor, images: Tensor):
        predicted.append(tuple(images.shape[2:]))
        return logits(predictor, images)

    monkeypatch.setattr(TrainingStep, "_compute", note)
    monkeypatch.setattr(Predictor, "_average_flips", note_predicted)
    fit(recipe(*EARLY, "train.validate_every=2", "train.recalibrate=true"), data, tmp_path / "run", Quiet())
    assert trained == [(8, 8)] * 4 + [(16, 16)] * 6
    assert set(predicted) == {(16, 16)}
    assert open_run(tmp_path / "run").recipe.data.size == (16, 16)


def test_statistics_are_estimated_at_full_size(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def note(state, batches, autocast):
        given.append(batches)
        return lambda: None

    monkeypatch.setattr(session_module, "Recalibration", note)
    fit(recipe(*EARLY, "train.steps=1"), data, tmp_path / "run", Quiet())
    assert given[0].weak_views(0).shape[2:] == (16, 16)


@pytest.mark.parametrize("extra", [(), ("data.memory_gb=0",)], ids=["memory", "file"])
@pytest.mark.parametrize("stop", [3, 5])
def test_a_stopped_run_goes_on_in_its_size(data: Path, tmp_path: Path, stop: int, extra: tuple[str, ...]) -> None:
    chosen = recipe(*EARLY, *extra)
    fit(chosen, data, tmp_path / "whole", Quiet())
    fit(chosen, data, tmp_path / "parts", Quiet(interrupt_at=stop))
    fit(chosen, data, tmp_path / "parts", Quiet(), resume=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_a_longer_run_says_that_its_images_become_small_again(data: Path, tmp_path: Path) -> None:
    fit(recipe(*EARLY), data, tmp_path / "run", Quiet())
    display = Quiet()
    fit(recipe(*EARLY), data, tmp_path / "run", display, resume=True, extend_to=40)
    assert any("Images are small again (data.early_size) until step 16" in text for text in display.warnings)


def test_work_is_counted_in_steps_of_full_size() -> None:
    chosen = recipe(*EARLY)
    assert (chosen.early_steps, chosen.growth) == (4, 4)
    assert [chosen.work(step) for step in (0, 2, 4, 10)] == [0, 0.5, 1, 7]
    assert [recipe().work(step) for step in (0, 10)] == [0, 10]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (EARLY[:1], "data.early_size and data.early_share go together"),
        (EARLY[1:], "data.early_size and data.early_share go together"),
        ((*EARLY, "data.sampling=patch"), "early_size is for data.sampling=resize"),
        ((*EARLY, "data.interpolation=linear"), "early_size is for data.sampling=resize and interpolation=nearest"),
        (("data.early_size=[8, 24]", EARLY[1]), "none larger"),
        (("data.early_size=[8]", EARLY[1]), "as many numbers as data.size"),
        (("data.early_size=[8, 7]", EARLY[1]), r"data.early_size \(8, 7\) must be multiples of 2"),
    ],
)
def test_what_does_not_fit_is_refused(changes: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        recipe(*changes)
