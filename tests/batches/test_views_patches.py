"""Patches of volumes: where they are cut, how they are turned, what lies outside. `test_views` has the rest."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from crossmatch.batches.store import Store, load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import Case
from tiny import write_nifti

CPU = torch.device("cpu")
STILL = {"turn_probability": 0, "rotation_probability": 0}
PATCH = (8, 6, 4)


def _store(*cases: Case) -> Store:
    return load_store(cases, (), dims=3, slice_axis=2, normalise="none", device=CPU)


def _batches(
    store: Store, size: tuple[int, ...] = PATCH, count: int = 3, patches: bool = True, **views: object
) -> Batches:
    chosen = ViewSettings.model_validate(views)
    return Batches(store, size, chosen, BatchSizes(labelled=count), 0, CPU, unlabelled=False, patches=patches)


def _numbered(path: Path, *shape: int) -> Case:
    """A case whose voxels are their own position in the flattened scan, from 1; labels are the remainder by 7."""
    voxels = np.arange(1, math.prod(shape) + 1, dtype=np.int16).reshape(shape)
    image = write_nifti(path / "image.nii.gz", voxels)
    return Case(path.name, (image,), write_nifti(path / "label.nii.gz", (voxels % 7).astype(np.uint8)), "train", "p")


def test_patches_that_stay_are_slices_of_the_volume(tmp_path):
    """Nothing turns with both probabilities 0: the first voxel tells the place, and the rest follows from it."""
    shape = (13, 9, 10)
    voxels = np.arange(1, 13 * 9 * 10 + 1).reshape(shape)
    batches = _batches(_store(_numbered(tmp_path, *shape)), count=20, weak=STILL)
    places = set()
    for step in range(4):
        batch = batches(step)
        for image, label in zip(batch.x[:, 0].numpy(), batch.y.numpy(), strict=True):
            start = np.unravel_index(int(image[0, 0, 0]) - 1, shape)
            patch = voxels[tuple(slice(a, a + n) for a, n in zip(start, PATCH, strict=True))]
            assert np.array_equal(image, patch)
            assert np.array_equal(label, patch % 7)
            places.add(start)
    assert len(places) > 40  # of 6 x 4 x 7


@pytest.mark.parametrize(
    "weak", [{"turn_probability": 1}, {"turn_probability": 0, "rotation_probability": 1, "rotation_degrees": 45}]
)
@pytest.mark.parametrize("plane", [(0, 1), (0, 2), (1, 2)])
def test_the_label_moves_with_the_image(tmp_path, weak, plane):
    """Turned patches of 9 x 9 x 9 lie within the volume; rotated ones look outside, where both are 0."""
    batches = _batches(_store(_numbered(tmp_path, 12, 11, 10)), (9, 9, 9), count=12, weak={**weak, "plane": plane})
    batch = batches(0)
    value = batch.x[:, 0].long()
    assert torch.equal(value % 7, batch.y)
    assert (value == 0).any() == ("rotation_probability" in weak)
    # Along the axis that is not in the plane positions rise by one voxel, as in the volume.
    axis = ({0, 1, 2} - set(plane)).pop()
    stride = (110, 10, 1)[axis]
    step = value.diff(dim=axis + 1)
    assert (step[(value.narrow(axis + 1, 0, 8) > 0) & (value.narrow(axis + 1, 1, 8) > 0)] == stride).all()
    # In the plane they do not, in some images.
    other = value.diff(dim=plane[0] + 1).flatten(1)
    assert (other != (110, 10, 1)[plane[0]]).any(1).sum() >= 6


def test_a_volume_smaller_than_the_patch_lies_in_its_middle(tmp_path):
    """8 x 6 x 4 around 5 x 9 x 2: two voxels before and one behind, a place among four, one and one."""
    voxels = np.arange(1, 91).reshape(5, 9, 2)
    batch = _batches(_store(_numbered(tmp_path, 5, 9, 2)), count=12, weak=STILL)(0)
    starts = set()
    for image, label in zip(batch.x[:, 0].numpy(), batch.y.numpy(), strict=True):
        start = (int(image[2, 0, 1]) - 1) // 2
        expected = np.pad(voxels[:, start : start + 6], ((2, 1), (0, 0), (1, 1)))
        assert np.array_equal(image, expected)
        assert np.array_equal(label, expected % 7)
        starts.add(start)
    assert starts == {0, 1, 2, 3}


def test_cases_of_different_sizes_share_a_batch(tmp_path):
    shapes = [(9, 7, 6), (20, 6, 4), (5, 12, 3)]
    store = _store(*(_numbered(tmp_path / str(k), *shape) for k, shape in enumerate(shapes)))
    batches = _batches(store, count=6, weak=STILL)
    batch = batches(0)
    assert batch.x.shape == (6, 1, *PATCH)
    for item, image, label in zip(store.labelled[batches.labelled(0)], batch.x[:, 0].numpy(), batch.y, strict=True):
        seen = [np.unravel_index(int(value) - 1, shapes[item]) for value in image[image > 0]]
        extent = np.ptp(np.array(seen), axis=0) + 1
        assert extent.tolist() == [min(n, m) for n, m in zip(shapes[item], PATCH, strict=True)]
        assert np.array_equal(image.astype(np.int64) % 7, label.numpy())


def test_without_patches_the_whole_volume_is_seen(tmp_path):
    """12 x 8 x 6 resized to half: a view of the same size as a patch, but of all of the volume."""
    store = _store(_numbered(tmp_path, 12, 8, 6))
    view = _batches(store, (6, 4, 3), weak=STILL, patches=False)(0).x[0, 0]
    assert (view[0, 0, 0], view[-1, -1, -1]) == (1, 12 * 8 * 6)
