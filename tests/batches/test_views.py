"""Batches: which images a step draws and how they are disturbed, all a function of (seed, step)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from crossmatch import formats
from crossmatch.batches import seeding
from crossmatch.batches.batch import Batch
from crossmatch.batches.intensity import scale
from crossmatch.batches.store import Store, load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import open_dataset
from tiny import write_dataset

CPU = torch.device("cpu")
PLAIN = {
    "weak": {"turn_probability": 0, "rotation_probability": 0},
    "strong": {"jitter_probability": 0, "blur_probability": 0},
    "cutmix": {"probability": 0},
}
SIZES = {2: (16, 12), 3: (16, 12, 4)}
every_form = pytest.mark.parametrize(
    ("size", "patches"), [((16, 12), False), ((16, 12, 4), False), ((8, 6), True), ((8, 6, 4), True)]
)


def _store(root: Path, dims: int = 2, **more: object) -> Store:
    labelled, unlabelled = open_dataset(root).labelled("all")
    return load_store(labelled, unlabelled, dims=dims, slice_axis=2, normalise="minmax", device=CPU, **more)


def _batches(
    store: Store,
    size: tuple[int, ...] = (16, 12),
    views: dict[str, object] | None = None,
    seed: int = 0,
    unlabelled: bool = True,
    counts: tuple[int, int] = (3, 2),
    patches: bool = False,
) -> Batches:
    chosen = ViewSettings.model_validate(views or {})
    sizes = BatchSizes(labelled=counts[0], unlabelled=counts[1])
    return Batches(store, size, chosen, sizes, seed, CPU, unlabelled, patches)


def _tensors(batch: Batch) -> list[Tensor]:
    return [batch.x, batch.y, *(batch.u or ()), *(batch.mix or ())]


def _same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(one, other) for one, other in zip(_tensors(a), _tensors(b), strict=True))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), n_train=4, unlabelled=2, shape=(16, 12, 4), channels=2)


@every_form
def test_shapes_and_types(root, size, patches):
    batch = _batches(_store(root, len(size)), size, patches=patches)(0)
    assert batch.x.shape == (3, 2, *size)
    assert batch.y.shape == (3, *size)
    assert (batch.x.dtype, batch.y.dtype) == (torch.float32, torch.int64)
    assert batch.u is not None
    assert batch.mix is not None
    for draw in (batch.u, batch.mix):
        assert draw.weak.shape == (2, 2, *size)
        assert draw.strong.shape == (2, 2, 2, *size)
        assert draw.box.shape == (2, 2, *size)
        assert draw.box.dtype == torch.bool
    for images in (batch.x, batch.u.weak, batch.u.strong, batch.mix.weak, batch.mix.strong):
        assert images.min() >= -1e-6
        assert images.max() <= 1 + 1e-6
        assert images.std() > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_a_plain_view_at_native_size_is_the_file(root, dims):
    store = _store(root, dims)
    items, labels = [], []
    for case in open_dataset(root).split("train"):
        image = np.stack([scale(formats.read(path).voxels, "minmax") for path in case.images])
        label = formats.read(case.label).voxels if case.label else np.zeros(image.shape[1:])
        items += [image] if dims == 3 else list(np.moveaxis(image, 3, 0))
        labels += [label] if dims == 3 else list(np.moveaxis(label, 2, 0))
    batches = _batches(store, SIZES[dims], PLAIN)
    for step in range(3):
        batch = batches(step)
        assert batch.u is not None
        assert batch.mix is not None
        assert batches.unlabelled is not None
        assert batches.partners is not None
        for k, item in enumerate(store.labelled[batches.labelled(step)]):
            assert np.array_equal(batch.x[k].numpy(), items[item])
            assert np.array_equal(batch.y[k].numpy(), labels[item])
        for draw, numbers in ((batch.u, batches.unlabelled(step)), (batch.mix, batches.partners(step))):
            for k, item in enumerate(store.unlabelled[numbers]):
                assert np.array_equal(draw.weak[k].numpy(), items[item])
                torch.testing.assert_close(draw.strong[k], draw.weak[k].expand(2, *draw.weak[k].shape))
            assert not draw.box.any()


def test_image_and_label_move_together(tmp_path):
    """Images are 100 x label + noise below 60 (see tiny.py): whatever the view, the label tells the grey value."""
    store = _store(write_dataset(tmp_path, n_train=2, shape=(20, 14, 3)))
    views = {"weak": {"turn_probability": 0.5, "rotation_probability": 1, "rotation_degrees": 45}}
    batches = _batches(store, (24, 16), views, unlabelled=False, counts=(8, 1))
    low = formats.read(open_dataset(tmp_path).split("train")[0].images[0]).voxels.min()
    for step in range(5):
        batch = batches(step)
        for case, image, label in zip(store.labelled[batches.labelled(step)] // 3, batch.x[:, 0], batch.y, strict=True):
            path = open_dataset(tmp_path).split("train")[int(case)].images[0]
            voxels = formats.read(path).voxels
            low, high = int(voxels.min()), int(voxels.max())
            grey = image * (high - low) + low
            seen = (label > 0) | (image > 0)  # outside the image both are 0
            assert torch.equal((grey[seen] + 1e-3).div(100, rounding_mode="floor").long(), label[seen])
            assert label.max() == 2


@every_form
def test_a_batch_is_a_function_of_seed_and_step(root, size, patches):
    store = _store(root, len(size))
    one, other = (_batches(store, size, patches=patches) for _ in range(2))
    in_order = [one(step) for step in range(5)]
    for step in (3, 0, 4, 4, 1):
        assert _same(other(step), in_order[step])
    torch.manual_seed(123)  # the global generator has no influence
    torch.rand(7)
    assert _same(_batches(store, size, patches=patches)(2), in_order[2])
    assert not torch.equal(in_order[0].x, in_order[1].x)
    assert not torch.equal(_batches(store, size, seed=1, patches=patches)(0).x, in_order[0].x)


def test_everything_drawn_in_a_step_has_a_stream_of_its_own(root, monkeypatch):
    """One seed used twice would tie the views of labelled images to those of unlabelled ones."""
    keys, draw = [], seeding.generator
    monkeypatch.setattr(seeding, "generator", lambda *key: (keys.append(key), draw(*key))[1])
    _batches(_store(root), seed=9)(5)
    assert len(keys) == len(set(keys)) >= 5
    assert {seed for seed, _, _ in keys} == {9}
    assert {stream for _, stream, _ in keys} == set(range(5))


@every_form
def test_labelled_draws_do_not_depend_on_the_unlabelled_ones(root, size, patches):
    """So that methods with and without unlabelled images learn from the same labelled views."""
    labelled, _ = open_dataset(root).labelled("all")
    store = _store(root, len(size))
    alone = load_store(labelled, (), dims=len(size), slice_axis=2, normalise="minmax", device=CPU)
    full, many = (_batches(store, size, counts=(3, count), patches=patches) for count in (2, 5))
    bare, small = (_batches(one, size, unlabelled=False, patches=patches) for one in (store, alone))
    for step in range(4):
        batch = bare(step)
        assert batch.u is None
        assert batch.mix is None
        for other in (full(step), many(step), small(step)):
            assert torch.equal(batch.x, other.x)
            assert torch.equal(batch.y, other.y)


@every_form
def test_a_memory_mapped_store_gives_the_same_batches(root, tmp_path, size, patches):
    stores = _store(root, len(size)), _store(root, len(size), memory_map=tmp_path / "voxels.bin")
    plain, mapped = (_batches(store, size, patches=patches) for store in stores)
    for step in range(3):
        assert _same(plain(step), mapped(step))
    assert plain.draw(0).labelled.stored is None
    drawn = mapped.draw(0)
    assert drawn.unlabelled is not None
    for weak, count in ((drawn.labelled, 3), (drawn.unlabelled, 4)):  # the host has read them
        assert weak.stored is not None
        assert weak.stored.voxels.shape == (count, 2, *size)
    assert drawn.labelled.stored.labels.shape == (3, *size)
    assert drawn.unlabelled.stored.labels is None


def test_every_item_once_a_pass(root):
    """8 labelled and 8 unlabelled slices; 4 labelled and 2 + 2 others a step."""
    store = _store(root)
    batches = _batches(store, counts=(4, 2))
    assert batches.unlabelled is not None
    assert batches.partners is not None
    for _ in range(2):
        assert sorted(torch.cat([batches.labelled(step) for step in range(2)]).tolist()) == list(range(8))
        for draw in (batches.unlabelled, batches.partners):
            assert sorted(torch.cat([draw(step) for step in range(4)]).tolist()) == list(range(8))
    ours = torch.cat([batches.unlabelled(step) for step in range(4)])
    partners = torch.cat([batches.partners(step) for step in range(4)])
    assert not torch.equal(ours, partners)


def test_the_two_strong_views_and_boxes_differ(root):
    views = {"strong": {"jitter_probability": 1}, "cutmix": {"probability": 1}}
    batch = _batches(_store(root), views=views)(0)
    assert batch.u is not None
    assert not torch.equal(batch.u.strong[:, 0], batch.u.strong[:, 1])
    assert not torch.equal(batch.u.box[:, 0], batch.u.box[:, 1])


def test_cases_of_different_sizes_share_a_batch(tmp_path):
    first = write_dataset(tmp_path / "a", n_train=1, shape=(16, 14, 2))
    second = write_dataset(tmp_path / "b", n_train=1, shape=(9, 30, 3), seed=1)
    cases = [open_dataset(root).split("train")[0] for root in (first, second)]
    store = load_store(cases, (), dims=2, slice_axis=2, normalise="minmax", device=CPU)
    batches = _batches(store, (32, 16), unlabelled=False, counts=(5, 1))
    batch = batches(0)
    assert batch.x.shape == (5, 1, 32, 16)
    assert batch.y.max() == 2
    assert sorted(batches.labelled(0).tolist()) == list(range(5))
