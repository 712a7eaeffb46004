"""Stores at another voxel size: sizes, grey values and labels as the plain functions give them, image on label."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from crossmatch import formats
from crossmatch.batches.intensity import scale
from crossmatch.batches.items import stored_shape
from crossmatch.batches.resample import resize_image, resize_labels
from crossmatch.batches.store import Store, grey_values, label_maps, load_store, voxel_bytes
from crossmatch.dataset.dataset import Case, open_dataset
from crossmatch.errors import UserError
from crossmatch.perturb.geometry import Lookup
from tiny import write_dataset, write_nifti

CPU = torch.device("cpu")
SHAPE, COARSE, COARSE_MM = (16, 14, 4), (8, 7, 8), (3.0, 3.0, 4.0)  # files of tiny.py have 1.5 x 1.5 x 8 mm


def _load(*labelled: Case, spacing_mm: tuple[float, ...] = COARSE_MM, **more: object) -> Store:
    chosen = {"dims": 3, "slice_axis": 2, "normalise": "minmax", "device": CPU, **more}
    return load_store(labelled, (), spacing_mm=spacing_mm, **chosen)


def _case(name: str, *images: Path, label: Path | None = None) -> Case:
    return Case(name, images, label, "train", name)


def _item(store: Store, item: int) -> tuple[Tensor, Tensor]:
    """Every voxel of one item in order: image (C, *S), label (*S)."""
    size = tuple(store.size[item].tolist())
    source = torch.arange(int(np.prod(size))).view(1, *size)
    locations = store.locate(torch.tensor([item]))
    stored = store.read(locations, Lookup(source, torch.ones_like(source, dtype=torch.bool)), labels=True)
    return grey_values(stored, locations)[0], label_maps(stored)[0]


@pytest.mark.parametrize("normalise", ["minmax", "percentile", "none"])
@pytest.mark.parametrize("mapped", [False, True])
def test_items_are_the_resized_scaled_voxels(tmp_path, normalise, mapped):
    """To one rounding to 65,535 levels between the lowest and the highest value of a case."""
    root = write_dataset(tmp_path, n_train=2, shape=SHAPE, channels=2)
    cases = open_dataset(root).split("train")
    store = _load(*cases, normalise=normalise, memory_map=tmp_path / "voxels.bin" if mapped else None)
    assert store.size.tolist() == [list(COARSE)] * 2
    for number, case in enumerate(cases):
        image, label = _item(store, number)
        for channel, path in enumerate(case.images):
            expected = resize_image(scale(formats.read(path).voxels, normalise), COARSE)
            level = (expected.max() - expected.min()) / 65535
            assert np.abs(image[channel].numpy() - expected).max() <= 0.55 * level
        assert case.label is not None
        assert np.array_equal(label.numpy(), resize_labels(formats.read(case.label).voxels, COARSE))
        assert label.max() == 2


def test_image_and_label_of_a_case_stay_aligned(tmp_path):
    """Once pairs of equal voxels are merged, once voxels are doubled: grey value and label of a voxel still agree."""
    coarse = np.random.default_rng(0).integers(0, 3, (5, 4, 6)).astype(np.uint8)
    fine = coarse.repeat(2, 0).repeat(2, 1)
    image = write_nifti(tmp_path / "a.nii.gz", 100 * fine.astype(np.int16) - 100)
    case = _case("a", image, label=write_nifti(tmp_path / "l.nii.gz", fine))
    image, label = _item(_load(case, spacing_mm=(3.0, 3.0, 8.0), normalise="none"), 0)
    assert np.array_equal(label.numpy(), coarse)
    torch.testing.assert_close(image[0], 100.0 * label - 100, rtol=0, atol=2 * 200 / 65535)
    image, label = _item(_load(case, spacing_mm=(0.75, 1.5, 4.0), normalise="none"), 0)
    assert label.shape == (20, 8, 12)
    assert np.array_equal(label.numpy(), fine.repeat(2, 0).repeat(2, 2))
    near = {"size": (3, 1, 3), "mode": "nearest"}  # what interpolation may mix in
    alike = torch.from_numpy(ndimage.minimum_filter(label, **near) == ndimage.maximum_filter(label, **near))
    assert alike.float().mean() > 0.05
    torch.testing.assert_close(image[0][alike], 100.0 * label[alike] - 100, rtol=0, atol=2 * 200 / 65535)


def test_cases_of_different_voxel_sizes_get_one(tmp_path):
    """A case that has the wanted size is kept exactly; the other is resized; labels follow their own case."""
    voxels = np.random.default_rng(0).integers(-1000, 1000, (6, 5, 4)).astype(np.int16)
    label = (voxels > 0).astype(np.uint8)
    fitting = np.diag([-3.0, -3.0, 4.0, 1.0])
    paths = [write_nifti(tmp_path / "a.nii.gz", voxels, fitting), write_nifti(tmp_path / "b.nii.gz", voxels)]
    masks = [write_nifti(tmp_path / "la.nii.gz", label, fitting), write_nifti(tmp_path / "lb.nii.gz", label)]
    cases = [_case(path.name, path, label=mask) for path, mask in zip(paths, masks, strict=True)]
    store = _load(*cases, normalise="none")
    assert store.size.tolist() == [[6, 5, 4], [3, 2, 8]]
    image, seen = _item(store, 0)
    assert np.array_equal(image[0].numpy(), voxels)
    assert np.array_equal(seen.numpy(), label)
    assert np.array_equal(_item(store, 1)[1].numpy(), resize_labels(label, (3, 2, 8)))


@pytest.mark.parametrize(("axis", "wanted", "size"), [(2, (3.0, 3.0), (8, 7)), (0, (3.0, 4.0), (7, 8))])
def test_slices_are_resampled_in_their_own_plane(tmp_path, axis, wanted, size):
    root = write_dataset(tmp_path, n_train=1, shape=SHAPE)
    (case,) = open_dataset(root).split("train")
    store = _load(case, spacing_mm=wanted, dims=2, slice_axis=axis)
    voxels = scale(formats.read(case.images[0]).voxels, "minmax")
    assert case.label is not None
    labels = formats.read(case.label).voxels
    assert store.size.tolist() == [list(size)] * SHAPE[axis]
    for k in range(SHAPE[axis]):
        image, label = _item(store, k)
        assert np.abs(image[0].numpy() - resize_image(np.take(voxels, k, axis), size)).max() <= 1 / 65535
        assert np.array_equal(label.numpy(), resize_labels(np.take(labels, k, axis), size))


def test_an_unknown_voxel_size_is_an_error(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 4), np.int16), np.eye(4), unit="unknown")
    with pytest.raises(UserError, match=r"a\.nii\.gz does not state its voxel size.*data\.spacing_mm=\[\]"):
        _load(_case("a", path))
    assert _load(_case("a", path), spacing_mm=()).size.tolist() == [[4, 4, 4]]


def test_voxel_bytes_of_stored_shapes_is_what_a_store_takes(tmp_path):
    cases = open_dataset(write_dataset(tmp_path, n_train=2, shape=SHAPE, channels=2)).split("train")
    shape = stored_shape(SHAPE, (1.5, 1.5, 8.0), COARSE_MM, 3, 2, cases[0].images[0])
    voxels = _load(*cases).voxels
    assert voxel_bytes([shape] * 2, channels=2) == voxels.numel() * voxels.element_size()
