"""A step never waits for its device: no number is read from it, and no shape depends on what it computed.

Views: counted among all operations that PyTorch dispatches. Methods: on PyTorch's meta device, which has no values.
"""

import itertools
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_methods import build, noise
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from crossmatch.data.dataset import open_dataset
from crossmatch.data.store import load_store
from crossmatch.data.views import Batches, BatchSizes, ViewSettings
from crossmatch.methods import METHODS
from crossmatch.perturb.image import StrongSettings
from tiny import write_dataset

TWO = BatchSizes(labelled=2, unlabelled=2)
# what makes the host wait: a value, or a count of elements, is wanted
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::unique", "aten::_unique2"}


class Watch(TorchDispatchMode):
    """Counts the operations that would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        self.operations += 1
        if name in WAITS or (name.startswith("aten::index") and _has_mask(args)):
            self.waits[name] += 1
        return func(*args, **(kwargs or {}))


def _has_mask(args: object) -> bool:
    if isinstance(args, torch.Tensor):
        return False
    indices = args[1] if isinstance(args, tuple) and len(args) > 1 and isinstance(args[1], list | tuple) else []
    return any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices)


def test_the_watch_sees_what_waits():
    x = torch.arange(4.0)
    for wait in (lambda: x[0].item(), lambda: x[x > 1], lambda: (x > 1).nonzero(), lambda: bool((x > 1).any())):
        with Watch() as watch:
            wait()
        assert sum(watch.waits.values()) > 0
    with Watch() as watch:
        x[torch.tensor([0, 2])]
        torch.where(x > 1, x, 0)
    assert not watch.waits


def test_the_meta_device_refuses_what_waits():
    x = torch.zeros(4, device="meta")
    for wait in (lambda: x[0].item(), lambda: x[x > 1], lambda: (x > 1).nonzero(), lambda: bool((x > 1).any())):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wait()


@pytest.mark.parametrize(("name", "network", "dims"), list(itertools.product(METHODS, ("unet", "vnet"), (2, 3))))
def test_a_step_of_every_method(name, network, dims, monkeypatch):
    """On a device where tensors have shapes alone."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no meta device
    method, progress = build(name, dims, network).to("meta"), torch.tensor(0.5, device="meta")
    batch = pytree.tree_map(lambda value: value.to("meta"), noise(dims, network))
    for step in (0, 500):  # BCP's two stages
        method.before_step(step, 1000)
        terms = method(batch, progress)
        terms["total"].backward()
        method.after_step()
        assert all(value.is_meta and value.ndim == 0 for value in terms.values())


@pytest.fixture(params=[(False, 2), (True, 2), (True, 3)], ids=["resized", "patches", "volumes"])
def batches(request, tmp_path: Path) -> Batches:
    patches, dims = request.param
    data = open_dataset(write_dataset(tmp_path, n_train=4, shape=(24, 20, 18)), splits=("train",))
    labelled, unlabelled = data.labelled("2")
    device = torch.device("cpu")
    store = load_store(labelled, unlabelled, dims=dims, slice_axis=2, normalise="minmax", device=device)
    strong = StrongSettings(bias=0.5, gamma=0.5, blur_each_axis=True)
    return Batches(store, (16,) * dims, ViewSettings(strong=strong), TWO, 0, device, True, patches)


def test_views_of_a_batch(batches):
    with Watch() as watch:
        batches(3)
    assert watch.operations > 50
    assert not watch.waits


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
