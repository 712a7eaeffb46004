"""Labelled images that must show a class: which, how often, where, and that nothing else changes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crossmatch.batches import foreground as module
from crossmatch.batches.store import Store, load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import Case
from crossmatch.errors import UserError
from tiny import write_nifti

CPU = torch.device("cpu")
SHAPE = (40, 30, 20)
RARE, COMMON = (3, 28, 10), (slice(25, 35), slice(5, 15), slice(2, 18))  # one voxel of class 2 by the edge, many of 1


def _case(folder: Path, *, empty: bool = False) -> Case:
    rng = np.random.default_rng(0)
    label = np.zeros(SHAPE, np.uint8)
    if not empty:
        label[COMMON], label[RARE] = 1, 2
    image = write_nifti(folder / "image.nii.gz", rng.integers(0, 99, SHAPE, dtype=np.int16))
    return Case(folder.name, (image,), write_nifti(folder / "label.nii.gz", label), "train", folder.name)


def _store(*cases: Case, dims: int = 3, **more: object) -> Store:
    return load_store(cases, cases[:1], dims=dims, slice_axis=2, normalise="minmax", device=CPU, **more)


def _batches(
    store: Store, foreground: float, size: tuple[int, ...] = (8, 8, 8), count: int = 4, **more: object
) -> Batches:
    sizes = BatchSizes(labelled=count, unlabelled=2)
    return Batches(store, size, ViewSettings(), sizes, 3, CPU, True, foreground=foreground, **{"patches": True, **more})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return _store(_case(tmp_path / "empty", empty=True), _case(tmp_path / "full"))


def test_every_patch_shows_a_class_and_the_rare_one_as_often(store):
    """Of 200 patches about half show the single voxel of class 2; by chance 1 in 40 would."""
    shown = [set(y.unique().tolist()) for step in range(50) for y in _batches(store, 1.0)(step).y]
    assert all(values & {1, 2} for values in shown)
    assert 70 <= sum(2 in values for values in shown) <= 130


def test_rotated_patches_show_it_too(store):
    views = ViewSettings.model_validate({"weak": {"turn_probability": 0, "rotation_probability": 1}})
    batches = Batches(store, (8, 8, 8), views, BatchSizes(labelled=4), 3, CPU, True, patches=True, foreground=1.0)
    assert all(y.any() for step in range(30) for y in batches(step).y)


def test_a_share_of_them(store):
    plain = sum(bool(y.any()) for step in range(50) for y in _batches(store, 0.0)(step).y)
    half = sum(bool(y.any()) for step in range(50) for y in _batches(store, 0.5)(step).y)
    assert plain < 60 < 100 < half < 200


def test_slices_with_the_class_are_chosen(tmp_path):
    """Resized whole slices: class 2 lies in one of 20, and now in half of them."""
    store = _store(_case(tmp_path / "full"), dims=2)
    batches = _batches(store, 1.0, (48, 32), patches=False)
    shown = [set(y.unique().tolist()) for step in range(25) for y in batches(step).y]
    assert all(values & {1, 2} for values in shown)
    assert 30 <= sum(2 in values for values in shown) <= 70


def test_it_is_a_function_of_the_step_and_nothing_else_changes(store):
    one, again, plain = (_batches(store, share) for share in (1.0, 1.0, 0.0))
    later = one(7)
    assert torch.equal(later.x, again(7).x)
    assert not torch.equal(later.x, plain(7).x)
    assert all(torch.equal(a, b) for a, b in zip(later.u, plain(7).u, strict=True))


def test_it_may_end_after_the_first_steps(store):
    limited, always, plain = _batches(store, 1.0, foreground_steps=7), _batches(store, 1.0), _batches(store, 0.0)
    assert torch.equal(limited(6).x, always(6).x)
    assert torch.equal(limited(7).x, plain(7).x)
    assert not torch.equal(always(7).x, plain(7).x)


def test_parts_of_a_batch_are_those_of_the_whole(store):
    whole, first, second = (_batches(store, 1.0, share=share)(5) for share in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(whole.x, torch.cat([first.x, second.x]))


def test_a_mapped_store_gives_the_same(tmp_path, store):
    mapped = _store(_case(tmp_path / "empty", empty=True), _case(tmp_path / "full"), memory_map=tmp_path / "voxels.bin")
    assert torch.equal(_batches(mapped, 1.0)(2).x, _batches(store, 1.0)(2).x)


def test_many_voxels_are_thinned_evenly(store, monkeypatch):
    monkeypatch.setattr(module, "KNOWN", 100)
    monkeypatch.setattr(module, "CHUNK", 1000)
    common, rare = module.Foreground(store, 1.0, 0).voxels
    assert len(common) == 100
    assert common.diff().min() > 0
    assert len(rare) == 1


def test_thinned_voxels_are_in_all_slices(tmp_path, monkeypatch):
    """Of a class that fills the scan, a step of equal length would leave voxels of a single slice."""
    monkeypatch.setattr(module, "KNOWN", 100)
    case = _case(tmp_path / "full")
    write_nifti(case.label, np.ones(SHAPE, np.uint8))
    store = _store(case)
    (known,) = module.Foreground(store, 1.0, 0).voxels
    places = torch.unravel_index(known, store.size[0].tolist())
    assert [len(place.unique()) > 0.6 * length for place, length in zip(places, SHAPE, strict=True)] == [True] * 3


def test_without_foreground_it_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no training label shows one: set it to 0"):
        _batches(_store(_case(tmp_path / "empty", empty=True)), 0.5)
