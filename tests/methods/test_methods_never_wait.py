"""A step never waits for its device: no number is read from it, and no shape depends on what it computed.

Views: counted among all operations that PyTorch dispatches. Methods: on PyTorch's meta device, which has no values.
"""

import itertools
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tape import Tape
from tiny_methods import build, noise
from torch.utils import _pytree as pytree

from crossmatch.batches.store import load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import open_dataset
from crossmatch.methods import METHODS
from crossmatch.perturb.augment import AugmentSettings
from crossmatch.perturb.image import StrongSettings
from tiny import write_dataset

TWO = BatchSizes(labelled=2, unlabelled=2)


def test_the_tape_sees_what_waits():
    x = torch.arange(4.0)
    for wait in (lambda: x[0].item(), lambda: x[x > 1], lambda: (x > 1).nonzero(), lambda: bool((x > 1).any())):
        with Tape() as tape:
            wait()
        assert tape.waits
    with Tape() as tape:
        x[torch.tensor([0, 2])]
        torch.where(x > 1, x, 0)
    assert not tape.waits


def test_the_meta_device_refuses_what_waits():
    x = torch.zeros(4, device="meta")
    for wait in (lambda: x[0].item(), lambda: x[x > 1], lambda: (x > 1).nonzero(), lambda: bool((x > 1).any())):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wait()


@pytest.mark.parametrize(("name", "network", "dims"), list(itertools.product(METHODS, ("unet", "vnet"), (2, 3))))
def test_a_step_of_every_method(name, network, dims, monkeypatch):
    """On a device where tensors have shapes alone."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no meta device
    method, progress = (
        build(name, dims, network).to("meta"),
        torch.tensor(0.5, device="meta"),
    )
    batch = pytree.tree_map(lambda value: value.to("meta"), noise(dims, network))
    for step in (0, 500):  # BCP's two stages
        method.before_step(step, 1000)
        terms = method(batch, progress)
        terms["total"].backward()
        method.after_step()
        assert all(value.is_meta and value.ndim == 0 for value in terms.values())


@pytest.fixture(
    params=[(False, 2, 1), (True, 2, 1), (True, 3, 1), (False, 2, 3)], ids=["resized", "patches", "volumes", "colours"]
)
def batches(request, tmp_path: Path) -> Batches:
    patches, dims, channels = request.param
    data = open_dataset(write_dataset(tmp_path, n_train=4, shape=(24, 20, 18), channels=channels), splits=("train",))
    labelled, unlabelled = data.labelled("2")
    device = torch.device("cpu")
    normalise = "colour" if channels == 3 else "minmax"
    store = load_store(labelled, unlabelled, dims=dims, slice_axis=2, normalise=normalise, device=device)
    assert store.colours == (channels == 3)
    strong = StrongSettings(bias=0.5, gamma=0.5, blur_each_axis=True)
    views = ViewSettings(strong=strong, augment=AugmentSettings(labelled=True))
    return Batches(store, (16,) * dims, views, TWO, 0, device, True, patches)


def test_views_of_a_batch(batches):
    with Tape() as tape:
        batches(3)
    assert len(tape.done) > 50
    assert not tape.waits


def test_views_are_made_on_the_device_alone(batches):
    """On the meta device: it refuses what waits, and tensors of the host beside its own."""
    store, meta = batches.store, torch.device("meta")
    elsewhere = replace(store, voxels=store.voxels.to(meta), labels=store.labels.to(meta))
    there = Batches(elsewhere, batches.size, batches.views, TWO, 0, meta, True, batches.patches)
    drawn = there.draw(3)
    assert all(value.device.type == "cpu" for value in pytree.tree_leaves(drawn) if isinstance(value, torch.Tensor))
    made, here = (pytree.tree_leaves(batch) for batch in (there(3), batches(3)))
    assert all(value.is_meta for value in made)
    assert [(value.shape, value.dtype) for value in made] == [(value.shape, value.dtype) for value in here]
