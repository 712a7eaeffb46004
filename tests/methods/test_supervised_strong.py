"""Supervised learning with strong augmentation: what it adds to supervised learning, and when."""

import pytest
import torch
from tiny_methods import ALWAYS, build, first_loss, noise

from crossmatch.batches.batch import Batch
from crossmatch.methods import Method
from crossmatch.networks.unet import UNet
from crossmatch.perturb.augment import AugmentSettings, augment, draw_augmentation
from crossmatch.recipes.load import load_recipe
from crossmatch.training.state import TrainerState

NEVER = dict.fromkeys(ALWAYS, 0.0)


@pytest.mark.parametrize("dims", [2, 3])
def test_without_augmentation_it_is_supervised_learning(dims):
    batch = noise(dims)
    expected = first_loss(build("supervised", dims), batch)["total"]
    assert torch.equal(first_loss(build("supervised_strong", dims, augment=NEVER), batch)["total"], expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_in_training_the_loss_is_that_of_the_augmented_batch(dims):
    """The generator of the whole process draws, so a seed fixes it."""
    batch, settings = noise(dims), AugmentSettings(**ALWAYS)
    torch.manual_seed(5)
    x, y = augment(batch.x, batch.y, draw_augmentation(settings, len(batch.x), dims), settings)
    expected = first_loss(build("supervised", dims), batch._replace(x=x, y=y))["total"]
    ours = first_loss(build("supervised_strong", dims), batch, seed=5)["total"]
    assert torch.equal(ours, expected)
    assert not torch.equal(ours, first_loss(build("supervised", dims), batch)["total"])


def test_in_evaluation_nothing_is_augmented():
    batch = noise(2)
    expected = first_loss(build("supervised", 2).eval(), batch)["total"]
    assert torch.equal(first_loss(build("supervised_strong", 2).eval(), batch)["total"], expected)


def test_the_batch_itself_is_left_alone():
    batch = noise(3)
    x, y = batch.x.clone(), batch.y.clone()
    first_loss(build("supervised_strong", 3), batch)
    assert torch.equal(batch.x, x)
    assert torch.equal(batch.y, y)


def _in_training(normalise: str, channels: int) -> Method:
    """The method as a training builds it, on the smallest network."""
    changes = ["method.name=supervised_strong", f"data.normalise={normalise}", "network.width=2"]
    recipe = load_recipe("phantom", changes)
    network = UNet(2, channels, 3, recipe.network.settings)
    return TrainerState.fresh(recipe, network, torch.device("cpu")).method


def test_red_green_and_blue_are_augmented_together():
    """Three channels of another kind are not, nor are two."""
    drawn = torch.Generator().manual_seed(0)
    x, y = torch.rand(4, 3, 16, 16, generator=drawn), torch.randint(0, 3, (4, 16, 16), generator=drawn)
    method = _in_training("colour", 3)
    chosen = AugmentSettings(**ALWAYS)
    method.settings = method.settings.model_copy(update={"augment": chosen})
    given: list[torch.Tensor] = []
    method.network.register_forward_pre_hook(lambda _, images: given.append(images[0]))
    first_loss(method, Batch(x, y, None, None), seed=5)
    torch.manual_seed(5)
    draw = draw_augmentation(chosen, len(x), 2)
    expected, _ = augment(x, y, draw, chosen, colours=True)
    assert torch.equal(given[0], expected)
    assert method.colours
    assert not any(_in_training(*kind).colours for kind in (("minmax", 3), ("colour", 2)))
