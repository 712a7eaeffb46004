"""Supervised learning with strong augmentation: what it adds to supervised learning, and when."""

import pytest
import torch
from tiny_methods import ALWAYS, build, first_loss, noise

from crossmatch.perturb.augment import AugmentSettings, augment, draw_augmentation

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
