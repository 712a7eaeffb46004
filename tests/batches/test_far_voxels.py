"""A voxel far from all others: training sees the grey values that prediction sees. Other data are kept as before."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from crossmatch.batches.intensity import Normalise, few_levels, scale
from crossmatch.batches.resample import resize_image
from crossmatch.batches.store import Store, grey_values, load_store, voxel_bytes
from crossmatch.dataset.dataset import Case
from crossmatch.perturb.geometry import Lookup
from tiny import write_nifti

SHAPE = (12, 10, 8)
FAR: list[Normalise] = ["zscore", "minmax", "none"]


def _usual(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 500, SHAPE).astype(np.float32)


def _far() -> NDArray[np.float32]:
    voxels = _usual()
    voxels[0, 0, 0] = 1e9
    return voxels


def _load(folder: Path, *scans: NDArray[np.generic], normalise: Normalise, **more: object) -> Store:
    """Volumes without labels, of 1 mm."""
    cases = []
    for number, voxels in enumerate(scans):
        path = write_nifti(folder / f"{number}.nii.gz", voxels, np.eye(4))
        cases.append(Case(str(number), (path,), None, "train", str(number)))
    return load_store((), cases, dims=3, slice_axis=2, normalise=normalise, device=torch.device("cpu"), **more)


def _image(store: Store, item: int) -> NDArray[np.float32]:
    locations = store.locate(torch.tensor([item]))
    size = tuple(store.size[item].tolist())
    source = torch.arange(int(np.prod(size))).view(1, *size)
    stored = store.read(locations, Lookup(source, torch.ones_like(source, dtype=torch.bool)), labels=False)
    return grey_values(stored, locations)[0, 0].numpy()


@pytest.mark.parametrize("normalise", FAR)
@pytest.mark.parametrize("kind", ["float32", "float64", "int32"])
def test_training_sees_what_prediction_sees(tmp_path, normalise, kind):
    voxels = _far().astype(kind)
    store = _load(tmp_path, voxels, normalise=normalise)
    assert store.voxels.dtype == torch.float32
    assert np.array_equal(_image(store, 0), scale(voxels, normalise))
    assert voxel_bytes([SHAPE], 1, wide=True) == store.voxels.numel() * store.voxels.element_size()


@pytest.mark.parametrize("normalise", FAR)
def test_it_does_so_at_another_voxel_size(tmp_path, normalise):
    store = _load(tmp_path, _far(), normalise=normalise, spacing_mm=(2.0, 2.0, 2.0))
    expected = resize_image(scale(_far(), normalise), (6, 5, 4))
    assert np.array_equal(_image(store, 0), expected)
    assert len(np.unique(expected)) > 50


@pytest.mark.parametrize("mapped", [False, True])
def test_scans_beside_it_are_the_same(tmp_path, mapped):
    """Those that were read before it, and those after, whether in memory or in a file."""
    (tmp_path / "run").mkdir()
    place = {"memory_map": tmp_path / "run" / "voxels.bin"} if mapped else {}
    whole = np.arange(960).reshape(SHAPE).astype(np.int16)
    scans = (_usual(1), whole, _far(), _usual(2))
    store = _load(tmp_path, *scans, normalise="zscore", **place)
    assert (store.voxels.dtype, store.mapped) == (torch.float32, mapped)
    for number, voxels in enumerate(scans):
        alone = _load(tmp_path, voxels, normalise="zscore")
        assert np.array_equal(_image(store, number), _image(alone, 0)), number
    assert np.array_equal(_image(store, 2), scale(_far(), "zscore"))
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("normalise", ["percentile", "colour"])
def test_windows_that_leave_it_out_are_kept_as_integers(tmp_path, normalise):
    assert _load(tmp_path, _far(), normalise=normalise).voxels.dtype == torch.int16


@pytest.mark.parametrize("normalise", FAR)
def test_usual_scans_are_kept_as_integers(tmp_path, normalise):
    """Also those that are 0 nearly everywhere, constant ones, and whole numbers within 16 bits, however far apart."""
    sparse, whole = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.int16)
    sparse[0, 0, :4] = (100, 200, 300, 5000)
    whole[:], whole[0, 0, 0] = np.arange(8), 32000
    bright = _usual()
    bright[0, 0, 0] = 50 * 500
    scans = (_usual(), sparse, whole, bright, np.full(SHAPE, 7.5, np.float32))
    assert _load(tmp_path, *scans, normalise=normalise).voxels.dtype == torch.int16


def test_levels_that_are_few():
    """65,535 levels from 0 to 256,000 are 3.9 wide: 256 of them are 1,000."""
    assert few_levels(0, 256_000, 0, 999)
    assert not few_levels(0, 256_000, 0, 1001)
    assert not few_levels(0, 256_000, 5, 5)
