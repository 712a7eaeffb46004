"""Supervised learning with strong augmentation: its images are augmented whatever the recipe says of other methods."""

from pathlib import Path

import pytest
import torch

from crossmatch.methods import METHODS
from crossmatch.perturb.augment import AugmentSettings
from crossmatch.recipes.load import load_recipe
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

NEVER = [f"views.augment.{name}=0" for name in AugmentSettings.model_fields if name.endswith("_probability")]
PLAIN_MOMENTUM = ["train.momentum=0", "train.steps=2", "train.precision=float32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, n_val=0)


def _trained(data: Path, folder: Path, *changes: str) -> dict[str, torch.Tensor]:
    fit(load_recipe("phantom", [*TINY, *PLAIN_MOMENTUM, *changes]), data, folder, Quiet())
    return weights(folder)


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one.keys() | other.keys())


def test_it_is_the_only_method_that_always_augments():
    assert [name for name, method in METHODS.items() if method.augmented] == ["supervised_strong"]


def test_it_is_supervised_learning_of_augmented_images(data, tmp_path):
    """Without momentum nothing else differs: the recipe's switch gives supervised learning the same weights."""
    strong = _trained(data, tmp_path / "strong", "method.name=supervised_strong")
    plain = _trained(data, tmp_path / "plain", "method.name=supervised")
    switched = _trained(data, tmp_path / "switched", "method.name=supervised", "views.augment.labelled=true")
    still = _trained(data, tmp_path / "still", "method.name=supervised_strong", *NEVER)
    assert _same(strong, switched)
    assert _same(still, plain)
    assert not _same(strong, plain)
