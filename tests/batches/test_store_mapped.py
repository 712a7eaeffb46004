"""A store in files: what it holds, that it is not held in memory, and that the files go away."""

import resource
import signal
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from crossmatch import formats
from crossmatch.batches.store import Store, load_store
from crossmatch.dataset.dataset import Case, open_dataset
from crossmatch.errors import UserError
from crossmatch.formats import new_volume
from tiny import write_dataset

CPU = torch.device("cpu")


def _load(*labelled: Case, dims: int = 3, unlabelled: tuple[Case, ...] = (), memory_map: Path | None = None) -> Store:
    return load_store(
        labelled, unlabelled, dims=dims, slice_axis=2, normalise="minmax", device=CPU, memory_map=memory_map
    )


@pytest.mark.parametrize(("dims", "channels"), [(2, 1), (2, 2), (3, 1)])
def test_a_memory_mapped_store_is_the_same(tmp_path, dims, channels):
    root = write_dataset(tmp_path / "data", unlabelled=1, channels=channels, shape=(8, 6, 4))
    labelled, unlabelled = open_dataset(root).labelled("all")
    (tmp_path / "run").mkdir()
    plain, mapped = (
        _load(*labelled, dims=dims, unlabelled=unlabelled, memory_map=path)
        for path in (None, tmp_path / "run" / "voxels.bin")
    )
    assert (plain.mapped, mapped.mapped) == (False, True)
    assert plain.labels.sum() > 0
    for name in ("voxels", "labels", "offset", "label_offset", "channel_stride", "size", "labelled", "unlabelled"):
        assert torch.equal(getattr(plain, name), getattr(mapped, name)), name
    assert not list((tmp_path / "run").iterdir())  # the maps live on, their names do not


def test_what_lies_under_the_name_of_the_file_is_not_written_to(tmp_path):
    """By a planted link, or a file of a process that was killed before it could remove it."""
    labelled, _ = open_dataset(write_dataset(tmp_path / "data", n_train=1)).labelled("all")
    precious, path = tmp_path / "precious", tmp_path / "voxels.bin"
    precious.write_text("kept")
    path.symlink_to(precious)
    assert _load(*labelled, memory_map=path).mapped
    assert precious.read_text() == "kept"
    path.write_text("left")
    assert _load(*labelled, memory_map=path).mapped
    assert not path.exists()


def test_without_a_label_there_is_still_something_to_map(tmp_path):
    labelled, _ = open_dataset(write_dataset(tmp_path / "data", n_train=1)).labelled("all")
    store = _load(unlabelled=labelled, memory_map=tmp_path / "voxels.bin")
    assert store.labels.tolist() == [0]
    assert store.label_offset.tolist() == [-1]


def test_neither_voxels_nor_labels_are_held_in_memory(tmp_path):
    image = new_volume(np.arange(32**3, dtype=np.int16).reshape(32, 32, 32))
    label = new_volume((image.voxels > 100).astype(np.uint8))
    formats.write(tmp_path / "image.nii", image.voxels, like=image)
    formats.write(tmp_path / "label.nii", label.voxels, like=label)
    images = (tmp_path / "image.nii",)
    cases = [Case(str(n), images, tmp_path / "label.nii", "train", str(n)) for n in range(64)]

    def peak(memory_map: Path | None) -> float:
        tracemalloc.start()
        try:
            store = _load(*cases, memory_map=memory_map)
            assert int(store.labels.sum()) == 64 * (32**3 - 101)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(None) > 64 * 32**3 * 3  # 2 bytes a voxel, 1 a label: 6 MiB
    assert peak(tmp_path / "voxels.bin") < 32**3 * 3 * 16  # one case, its copies and types on the way


def test_a_failure_leaves_no_file(tmp_path):
    (case,) = open_dataset(write_dataset(tmp_path / "data", n_train=1)).labelled("all")[0]
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=r"nowhere\.nii\.gz"):
        _load(
            case,
            Case("gone", (tmp_path / "nowhere.nii.gz",), None, "train", "gone"),
            memory_map=tmp_path / "run" / "voxels.bin",
        )
    assert not list((tmp_path / "run").iterdir())


def test_a_full_disk_is_said_with_what_was_needed(tmp_path):
    """A file that may not grow: 16 kB of 64, which the writer of files finds out late, when it is flushed."""
    labelled, _ = open_dataset(write_dataset(tmp_path / "data", n_train=1, shape=(32, 32, 32))).labelled("all")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, before[1]))
    try:
        with pytest.raises(UserError, match=r"do not fit on the disk of .*voxels\.bin \(File too large, after"):
            _load(*labelled, memory_map=tmp_path / "voxels.bin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not (tmp_path / "voxels.bin").exists()
