"""When the stored fingerprint is used, when it is made again, and where it lies."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossmatch.dataset.check import check, load_fingerprint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.fingerprint import fingerprint_path, read_fresh
from crossmatch.errors import UserError
from reading import note_reads
from tiny import write_dataset, write_nifti

IMAGE = "imagesTr/case_001_0000.nii.gz"
LABEL = "labelsTr/case_001.nii.gz"
SHAPE = (16, 14, 4)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files whose voxels are read."""
    read: list[str] = []
    note_reads(monkeypatch, lambda path: read.append(path.name))
    return read


def test_a_fresh_fingerprint_is_read_without_a_look_at_voxels(tmp_path, scans):
    root = write_dataset(tmp_path)
    fingerprint = check(root)
    assert len(scans) == 10
    assert load_fingerprint(open_dataset(root)) == fingerprint
    assert len(scans) == 10


def _new_image(root: Path) -> None:
    write_nifti(root / IMAGE, np.arange(896, dtype=np.int16).reshape(SHAPE))


def _new_time(root: Path) -> None:
    os.utime(root / LABEL, ns=(0, 12345))


def _older_file(root: Path) -> None:
    """Another image of the same size and time, as `cp -p` and `rsync -t` leave it."""
    path, stat = root / IMAGE, (root / IMAGE).stat()
    content = bytearray(path.read_bytes())
    content[4] ^= 1  # the time in the header of gzip: another file, equal voxels
    other = path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)


def _no_label(root: Path) -> None:
    (root / LABEL).unlink()


def _other_split(root: Path) -> None:
    (root / "splits/train.txt").write_text("case_001\ncase_002\n")


def _other_labels(root: Path) -> None:
    stated = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(stated | {"labels": {"background": 0, "a": 1, "b": 2, "c": 3}}))


def _damaged_store(root: Path) -> None:
    fingerprint_path(root).write_text("{")


@pytest.mark.parametrize(
    "change",
    [_new_image, _older_file, _no_label, _other_split, _other_labels, _damaged_store],
    ids=lambda f: f.__name__,
)
def test_a_stale_fingerprint_is_made_again(tmp_path, scans, change: Callable[[Path], None]):
    root = write_dataset(tmp_path, subsets=())
    check(root)
    scans.clear()
    change(root)
    fingerprint = load_fingerprint(open_dataset(root))
    assert scans
    scans.clear()
    assert load_fingerprint(open_dataset(root)) == fingerprint
    assert not scans


def test_a_file_that_was_edited_in_place_is_seen(tmp_path, scans):
    root = write_dataset(tmp_path, subsets=(), ending=".nii")
    path = root / LABEL.replace(".gz", "")
    check(root)
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[280 + 12 : 280 + 16] = struct.pack("<f", 50.0)  # srow_x: the label lies elsewhere
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(UserError, match="lies on another grid than its image"):
        load_fingerprint(open_dataset(root))


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_copy_has_its_fingerprint_and_no_voxel_is_read_again(tmp_path, scans, monkeypatch, keep_times: bool):
    """Times differ on another machine, contents do not: digests are compared once."""
    root = write_dataset(tmp_path / "data")
    monkeypatch.delenv("CROSSMATCH_CACHE")
    fingerprint = check(root)
    copy = shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copy2 if keep_times else shutil.copyfile)
    scans.clear()
    seen: list[int] = []
    found = load_fingerprint(open_dataset(copy), lambda done, total: seen.append(done))
    assert (found.digest, scans, seen) == (fingerprint.digest, [], [1, 2, 3, 4, 5])
    seen.clear()
    assert load_fingerprint(open_dataset(copy), lambda done, total: seen.append(done)) == found
    assert seen == []  # the new times are kept


def test_the_digest_is_of_the_content(tmp_path):
    first, copy = check(write_dataset(tmp_path / "a")), check(write_dataset(tmp_path / "b"))
    assert first.digest == copy.digest
    _new_time(tmp_path / "a")
    assert check(tmp_path / "a").digest == first.digest
    _no_label(tmp_path / "b")
    (tmp_path / "b/splits/train_1_label.txt").unlink()
    (tmp_path / "b/splits/train_2_label.txt").unlink()
    assert check(tmp_path / "b").digest != first.digest


def test_the_fingerprint_lies_in_the_folder_or_in_the_cache(tmp_path, monkeypatch):
    root = write_dataset(tmp_path / "data", n_train=1)
    monkeypatch.delenv("CROSSMATCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    check(root)
    assert fingerprint_path(root) == root / "fingerprint.json"
    assert (root / "fingerprint.json").is_file()
    (root / "fingerprint.json").unlink()
    root.chmod(0o555)
    try:
        check(root)
        path = fingerprint_path(root)
        assert path.is_file()
        assert path.is_relative_to(tmp_path / "cache" / "crossmatch")
        assert not (root / "fingerprint.json").exists()
    finally:
        root.chmod(0o755)


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CROSSMATCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="CROSSMATCH_CACHE"):
        check(write_dataset(tmp_path / "data", n_train=1))


def test_without_a_home_the_fingerprint_in_the_folder_is_found_or_a_way_out_is_told(tmp_path, monkeypatch):
    """A container with an arbitrary user: no HOME, no entry in the system's list, data mounted read-only."""
    for name in ("CROSSMATCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    root = write_dataset(tmp_path / "d")
    fingerprint = check(root)

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert load_fingerprint(open_dataset(root)) == fingerprint
    (root / "fingerprint.json").unlink()
    with pytest.raises(UserError, match=r"There is no home folder .*CROSSMATCH_CACHE"):
        load_fingerprint(open_dataset(root))


def test_a_cache_that_is_named_holds_the_fingerprint_of_an_import_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing lies there under the name of the hidden folder in which the dataset was checked."""
    monkeypatch.setenv("CROSSMATCH_CACHE", str(tmp_path / "cache"))
    root = write_dataset(tmp_path / "hidden")
    check(root, becomes=tmp_path / "data")
    root.rename(tmp_path / "data")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [fingerprint_path(tmp_path / "data")]
    assert read_fresh(open_dataset(tmp_path / "data")) is not None


def _one_patient(root: Path) -> Path:
    """Two pictures that may be of one patient lie in two splits, under names that tell it."""
    write_dataset(root, n_train=3, n_val=1, n_test=0, subsets=())
    names = {"case_001": "anna_pre", "case_002": "bert_pre", "case_003": "cleo", "case_004": "anna_post"}
    for before, after in names.items():
        (root / f"imagesTr/{before}_0000.nii.gz").rename(root / f"imagesTr/{after}_0000.nii.gz")
        (root / f"labelsTr/{before}.nii.gz").rename(root / f"labelsTr/{after}.nii.gz")
    (root / "splits/train.txt").write_text("anna_pre\nbert_pre\ncleo\n")
    (root / "splits/val.txt").write_text("anna_post\n")
    return root


def _state(root: Path, **changes: object) -> None:
    """Keys of dataset.json; None removes one."""
    stated = json.loads((root / "dataset.json").read_text()) | changes
    (root / "dataset.json").write_text(json.dumps({key: value for key, value in stated.items() if value is not None}))


def test_what_is_mended_without_a_change_to_any_case_is_not_warned_of_again(tmp_path: Path, scans: list[str]) -> None:
    root = _one_patient(tmp_path)
    _state(root, slice_axes=1)
    (root / "labels").mkdir()
    (root / "imagesTr/notes.txt").touch()
    told = check(root).warnings
    assert [text.split(":")[0] for text in told] == [
        "names that may be of one patient in different splits",
        "not used, as they are no scans of a known format",
        "folders that are not read",
        "keys of dataset.json that nothing reads",
    ]
    assert load_fingerprint(open_dataset(root)).warnings == told
    scans.clear()
    _state(root, patient_regex="(.+)", slice_axes=None)
    (root / "labels").rmdir()
    (root / "imagesTr/notes.txt").unlink()
    assert load_fingerprint(open_dataset(root)).warnings == ()
    _state(root, patient_regex=None)
    assert load_fingerprint(open_dataset(root)).warnings == told[:1]
    (root / "masks").mkdir()
    assert load_fingerprint(open_dataset(root)).warnings[1].startswith("folders that are not read: masks")
    assert not scans


def test_what_is_seen_in_voxels_is_kept_and_is_told_once(tmp_path: Path, scans: list[str]) -> None:
    root = _one_patient(tmp_path)
    shutil.copy(root / "imagesTr/anna_pre_0000.nii.gz", root / "imagesTr/bert_pre_0000.nii.gz")
    told = check(root).warnings
    assert told[0] == "anna_pre and bert_pre (train) are the same image"
    assert len(told) == 2
    scans.clear()
    for _ in range(2):
        assert load_fingerprint(open_dataset(root)).warnings == told
    assert not scans


def test_a_fingerprint_that_keeps_all_warnings_is_made_again(tmp_path: Path, scans: list[str]) -> None:
    """As earlier versions wrote it."""
    root = _one_patient(tmp_path)
    check(root)
    path = fingerprint_path(root)
    stored = json.loads(path.read_text())
    assert stored["warnings"] == []
    path.write_text(json.dumps(stored | {"version": 5, "warnings": ["stale"]}))
    _state(root, patient_regex="(.+)")
    scans.clear()
    assert load_fingerprint(open_dataset(root)).warnings == ()
    assert scans
