"""The store: every voxel that a file holds, in every type, axis and channel; labels of unlabelled cases stay closed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from crossmatch import formats
from crossmatch.batches.intensity import Normalise, scale
from crossmatch.batches.reading import _channel
from crossmatch.batches.store import Store, grey_values, label_maps, load_store, voxel_bytes
from crossmatch.dataset.dataset import Case, open_dataset
from crossmatch.errors import UserError
from crossmatch.perturb.geometry import Lookup
from reading import note_reads
from tiny import write_dataset, write_nifti

CPU = torch.device("cpu")


def _store(root: Path, dims: int = 2, axis: int = 2, normalise: Normalise = "minmax", **more: object) -> Store:
    labelled, unlabelled = open_dataset(root).labelled("all")
    return load_store(labelled, unlabelled, dims=dims, slice_axis=axis, normalise=normalise, device=CPU, **more)


def _case(name: str, *images: Path, label: Path | None = None) -> Case:
    return Case(name, images, label, "train", name)


def _load(*labelled: Case, dims: int = 2, axis: int = 2, normalise: Normalise = "minmax") -> Store:
    return load_store(labelled, (), dims=dims, slice_axis=axis, normalise=normalise, device=CPU)


def _everything(store: Store, item: int) -> Lookup:
    """Each voxel of one item, in order."""
    size = tuple(store.size[item].tolist())
    source = torch.arange(int(np.prod(size))).view(1, *size)
    return Lookup(source, torch.ones_like(source, dtype=torch.bool))


def _image(store: Store, item: int) -> Tensor:
    locations = store.locate(torch.tensor([item]))
    return grey_values(store.read(locations, _everything(store, item), labels=False), locations)[0]


def _label(store: Store, item: int) -> Tensor:
    return label_maps(store.read(store.locate(torch.tensor([item])), _everything(store, item), labels=True))[0]


@pytest.mark.parametrize("normalise", ["minmax", "percentile", "none"])
@pytest.mark.parametrize(("dims", "axis"), [(2, 0), (2, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("channels", [1, 2])
def test_items_are_the_files_scaled_voxels(tmp_path, dims, axis, channels, normalise):
    root = write_dataset(tmp_path, n_train=3, unlabelled=1, channels=channels, shape=(8, 6, 4))
    store = _store(root, dims, axis, normalise)
    per_case = 1 if dims == 3 else (8, 6, 4)[axis]
    assert store.labelled.tolist() == list(range(2 * per_case))
    assert store.unlabelled.tolist() == list(range(2 * per_case, 3 * per_case))
    item = 0
    for case in open_dataset(root).split("train"):
        scaled = [scale(formats.read(path).voxels, normalise) for path in case.images]
        label = formats.read(case.label).voxels if case.label else None
        for k in range(per_case):
            cut = (lambda v: v) if dims == 3 else (lambda v, k=k: np.take(v, k, axis))
            expected = torch.from_numpy(np.stack([cut(channel) for channel in scaled]))
            if normalise != "percentile":
                assert torch.equal(_image(store, item), expected)
            else:  # a window between two integers: the same to the rounding of float32 near 32768
                torch.testing.assert_close(_image(store, item), expected, rtol=0, atol=1e-4)
            if label is not None:
                assert np.array_equal(_label(store, item).numpy(), cut(label))
            item += 1
    assert item == len(store.offset)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "uint16", "int32", "float32", "float64"])
def test_file_types(tmp_path, kind):
    """Integers are kept exactly; floats to one of 65,535 levels."""
    rng = np.random.default_rng(0)
    top = {"uint8": 256, "int8": 128, "uint16": 65536}.get(kind, 3000)
    voxels = (
        rng.integers(0, top, (6, 5, 3)).astype(kind) if kind[0] in "iu" else rng.normal(size=(6, 5, 3)).astype(kind)
    )
    voxels.flat[:2] = (0, top - 1) if kind[0] in "iu" else voxels.flat[:2]
    path = write_nifti(tmp_path / "a.nii.gz", voxels)
    store = _load(_case("a", path))
    expected = scale(formats.read(path).voxels, "minmax")
    for k in range(3):
        difference = (_image(store, k)[0] - torch.from_numpy(expected[..., k])).abs().max()
        assert difference <= (0 if kind[0] in "iu" else 1 / 65535)


def test_integers_beyond_16_bits_are_rounded_to_levels(tmp_path):
    voxels = np.linspace(-1e6, 1e6, 120).astype(np.int32).reshape(6, 5, 4)
    path = write_nifti(tmp_path / "a.nii.gz", voxels)
    expected = (voxels.astype(np.float64) + 1e6) / 2e6
    assert np.abs(_image(_load(_case("a", path)), 1)[0].numpy() - expected[..., 1]).max() <= 1 / 65535


def test_negative_values_and_a_constant_channel(tmp_path):
    voxels = np.full((4, 4, 2), -1000, np.int16)
    flat = write_nifti(tmp_path / "a_0000.nii.gz", voxels)
    voxels[0, 0, 0], voxels[1, 1, 1] = 3000, 1000
    other = write_nifti(tmp_path / "a_0001.nii.gz", voxels)
    store = _load(_case("a", flat, other))
    first = _image(store, 0)
    assert not first[0].any()
    assert first[1, 0, 0] == 1
    assert _image(store, 1)[1, 1, 1] == 0.5


def test_an_outlier_in_a_float_file_does_not_cost_precision(tmp_path):
    """The percentile window is for exactly such files: what lies in it keeps its levels."""
    voxels = np.random.default_rng(0).random((20, 20, 4)).astype(np.float32)
    voxels[0, 0, 0] = 1e6
    path = write_nifti(tmp_path / "a.nii.gz", voxels)
    store = _load(_case("a", path), normalise="percentile")
    expected = scale(voxels, "percentile")
    for k in range(4):
        assert np.abs(_image(store, k)[0].numpy() - expected[..., k]).max() <= 2 / 65535


def test_values_as_stored(tmp_path):
    """normalise = "none", for scans that were z-scored on import: negative values stay, floats to one of 65,535 levels
    between their lowest and highest; integers are exact.
    """
    voxels = np.random.default_rng(0).normal(size=(20, 20, 4)).astype(np.float32)
    voxels[0, 0, 0], voxels[1, 0, 0] = -6, 9
    path = write_nifti(tmp_path / "a.nii.gz", voxels)
    image = _image(_load(_case("a", path), dims=3, normalise="none"), 0)[0].numpy()
    assert np.abs(image - voxels).max() <= 0.51 * 15 / 65535
    assert (image.min(), image.max()) == pytest.approx((-6, 9), abs=1e-5)
    whole = np.random.default_rng(0).integers(-1000, 3000, (6, 5, 3)).astype(np.int16)
    path = write_nifti(tmp_path / "b.nii.gz", whole)
    assert np.array_equal(_image(_load(_case("b", path), dims=3, normalise="none"), 0)[0].numpy(), whole)


def test_labels_of_unlabelled_cases_are_never_opened(tmp_path, monkeypatch):
    root = write_dataset(tmp_path, n_train=3, unlabelled=0, subsets=(1,))
    labelled, unlabelled = open_dataset(root).labelled("1")
    opened: list[str] = []
    note_reads(monkeypatch, lambda path: opened.append(f"{path.parent.name}/{path.name}"))
    with_label = tuple(open_dataset(root).split("train")[1:])  # even where a case still names its label file
    for group in (unlabelled, with_label):
        opened.clear()
        store = load_store(labelled, group, dims=2, slice_axis=2, normalise="minmax", device=CPU)
        assert sorted(opened) == [
            "imagesTr/case_001_0000.nii.gz",
            "imagesTr/case_002_0000.nii.gz",
            "imagesTr/case_003_0000.nii.gz",
            "labelsTr/case_001.nii.gz",
        ]
        assert (store.label_offset[store.unlabelled] == -1).all()
        assert (store.label_offset[store.labelled] >= 0).all()


def test_cases_of_different_sizes_and_progress(tmp_path):
    big = write_nifti(tmp_path / "a.nii.gz", np.arange(60, dtype=np.int16).reshape(5, 4, 3))
    small = write_nifti(tmp_path / "b.nii.gz", np.arange(12, dtype=np.int16).reshape(3, 2, 2))
    label = write_nifti(tmp_path / "l.nii.gz", (np.arange(12) % 3).astype(np.uint8).reshape(3, 2, 2))
    told: list[int] = []
    store = load_store(
        [_case("a", big, label=big), _case("b", small, label=label)],
        (),
        dims=2,
        slice_axis=2,
        normalise="minmax",
        device=CPU,
        progress=lambda: told.append(1),
    )
    assert len(told) == 2
    assert store.size.tolist() == [[5, 4]] * 3 + [[3, 2]] * 2
    assert np.array_equal(_label(store, 4).numpy(), formats.read(label).voxels[..., 1])
    assert np.array_equal(_label(store, 2).numpy(), formats.read(big).voxels[..., 2])


def test_outside_is_zero_and_background(tmp_path):
    root = write_dataset(tmp_path, n_train=1)
    store = _store(root)
    nowhere = _everything(store, 0)._replace(inside=torch.zeros(1, 16, 14, dtype=torch.bool))
    locations = store.locate(torch.tensor([0]))
    stored = store.read(locations, nowhere, labels=True)
    assert stored.voxels.any()
    assert not grey_values(stored, locations).any()
    assert not label_maps(stored).any()


def test_two_axes_are_one_item(tmp_path):
    voxels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    path = write_nifti(tmp_path / "a.nii.gz", voxels)
    store = _load(_case("a", path, label=path))
    assert store.size.tolist() == [[5, 6]]
    assert np.array_equal(_label(store, 0).numpy(), voxels)


def test_a_wrong_number_of_axes_is_an_error(tmp_path):
    path = write_nifti(tmp_path / "flat.nii.gz", np.arange(30, dtype=np.uint8).reshape(5, 6))
    with pytest.raises(UserError, match=r"flat\.nii\.gz has 2 axes.*has 3"):
        _load(_case("a", path), dims=3)
    with pytest.raises(UserError, match="no training case"):
        _load()


def test_voxel_bytes_is_what_a_store_takes(tmp_path):
    root = write_dataset(tmp_path, channels=2, shape=(8, 6, 4))
    voxels = _store(root).voxels
    assert voxel_bytes([(8, 6, 4)] * 3, channels=2) == voxels.numel() * voxels.element_size()


@pytest.mark.parametrize("offset", [2 * 10**9, -(2**40), 2**62])
@pytest.mark.parametrize("spread", [1000, 10**6])
def test_training_and_prediction_see_the_same_large_integers(offset: int, spread: int) -> None:
    voxels = np.random.default_rng(0).integers(0, spread, (20, 18, 7)).astype(np.int64) + offset
    stored, seen = _channel(formats.new_volume(voxels, np.eye(4)), 3, 2, "percentile", voxels.shape, Path("a"), None)
    trained = np.clip((stored[0] - np.float64(seen.zero)) / seen.unit, 0, 1)
    np.testing.assert_allclose(trained, scale(voxels, "percentile"), atol=1e-5)  # 1 of 65,536 levels
