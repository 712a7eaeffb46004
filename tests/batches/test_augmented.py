"""Augmented batches: labelled images alone, a function of seed and step, in one graph, and without the statistics."""

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from crossmatch.batches import seeding
from crossmatch.batches.store import Store, load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import open_dataset
from crossmatch.perturb.augment import AugmentSettings, augment, draw_augmentation
from tiny import write_dataset

CPU = torch.device("cpu")
ALWAYS = {name: 1.0 for name in AugmentSettings.model_fields if name.endswith("_probability")}
CHANNELS = {"minmax": 2, "colour": 3}
every_form = pytest.mark.parametrize(
    ("size", "patches", "normalise"),
    [((16, 12), False, "minmax"), ((8, 6, 4), True, "minmax"), ((16, 12), False, "colour")],
    ids=["slices", "volumes", "colours"],
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], Store]:
    found = {}
    for normalise, channels in CHANNELS.items():
        root = write_dataset(
            tmp_path_factory.mktemp("data"), n_train=8, unlabelled=2, shape=(20, 18, 6), channels=channels
        )
        cases = open_dataset(root).labelled("all")
        for dims in (2, 3):
            found[dims, normalise] = load_store(*cases, dims=dims, slice_axis=2, normalise=normalise, device=CPU)
    return found


def _batches(store: Store, size: tuple[int, ...], patches: bool, **more: object) -> Batches:
    chosen = {**ALWAYS, **{key: more.pop(key) for key in list(more) if key in AugmentSettings.model_fields}}
    views = ViewSettings.model_validate({"augment": chosen})
    return Batches(store, size, views, BatchSizes(labelled=4, unlabelled=2), 7, CPU, True, patches, **more)


def _rest(batches: Batches, step: int) -> list[Tensor]:
    batch = batches(step)
    return tree_leaves((batch.u, batch.mix))


@every_form
def test_labelled_images_and_labels_are_the_weak_views_augmented(stores, size, patches, normalise):
    """By the recipe's switch and by the method's. Nothing else of the batch changes."""
    store = stores[len(size), normalise]
    plain = _batches(store, size, patches)
    drawn = draw_augmentation(plain.views.augment, 4, len(size), seeding.generator(7, seeding.AUGMENTATION, 3))
    weak = plain(3)
    torch.manual_seed(5)
    x, y = augment(weak.x, weak.y, drawn, plain.views.augment, colours=normalise == "colour")
    for switch in ({"augmented": True}, {"labelled": True}):
        batches = _batches(store, size, patches, **switch)
        torch.manual_seed(5)
        batch = batches(3)
        assert torch.equal(batch.x, x)
        assert torch.equal(batch.y, y)
        assert not torch.equal(batch.x, weak.x)
        assert not torch.equal(batch.y, weak.y)
        assert all(torch.equal(*both) for both in zip(_rest(batches, 3), _rest(plain, 3), strict=True))


def test_each_step_draws_anew(stores):
    batches = _batches(stores[2, "minmax"], (16, 12), False, augmented=True)
    first, second = (batches.draw(step).augment for step in (0, 1))
    assert not torch.equal(first.gamma, second.gamma)
    again = batches.draw(0).augment
    assert all(torch.equal(*both) for both in zip(first, again, strict=True))


def test_nothing_is_drawn_where_it_is_off(stores):
    batches = _batches(stores[2, "minmax"], (16, 12), False)
    assert batches.draw(0).augment is None


@every_form
def test_the_shares_together_are_the_whole_batch(stores, size, patches, normalise):
    """But for the noise, which each device draws for itself."""
    store, still = stores[len(size), normalise], {"augmented": True, "noise_probability": 0.0}
    whole = _batches(store, size, patches, **still)(2)
    parts = [_batches(store, size, patches, share=(rank, 2), **still)(2) for rank in range(2)]
    torch.testing.assert_close(torch.cat([part.x for part in parts]), whole.x, atol=1e-6, rtol=0)
    assert torch.equal(torch.cat([part.y for part in parts]), whole.y)


def test_batch_statistics_are_taken_from_images_that_are_not_augmented(stores):
    store, form = stores[2, "minmax"], ((16, 12), False)
    plain, augmented = _batches(store, *form), _batches(store, *form, labelled=True)
    assert torch.equal(plain.weak_views(1), augmented.weak_views(1))


@every_form
def test_an_augmented_batch_compiles_to_one_graph(stores, size, patches, normalise):
    """Traced, not translated: no break, and the same images."""
    batches = _batches(stores[len(size), normalise], size, patches, augmented=True)
    drawn = batches.draw(0)
    torch._dynamo.reset()
    compiled = torch.compile(batches.make, fullgraph=True, dynamic=False, backend="eager")
    torch.manual_seed(0)
    plain = batches.make(drawn)
    torch.manual_seed(0)
    graph = compiled(drawn)
    torch.testing.assert_close(graph.x, plain.x, rtol=1e-5, atol=1e-6)
    assert torch.equal(graph.y, plain.y)
