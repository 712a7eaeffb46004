"""Which scans can be chosen to be labelled next: none that the run knows with its label, wherever its files lie."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from crossmatch import formats
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.fingerprint import fingerprint_path
from crossmatch.dataset.known_images import KnownImages
from crossmatch.inference.candidates import candidates_of
from crossmatch.runs.run import open_run
from tiny import write_dataset
from untrained import untrained_run


def test_a_folder_of_scans_is_chosen_from_without_those_in_use(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", n_train=3, n_val=1, unlabelled=1)
    untrained_run(tmp_path / "run", data, "data.labelled=1")
    run = open_run(tmp_path / "run")
    in_use = {*run.data["labelled"], *run.data["validation"]}
    every = {path.name.removesuffix("_0000.nii.gz") for path in (data / "imagesTr").iterdir()}
    assert 0 < len(in_use) < len(every)
    copies = tmp_path / "copies"
    for path in (data / "imagesTr").iterdir():
        copies.mkdir(exist_ok=True)
        shutil.copy(path, copies / f"new_{path.name}")
    other = write_dataset(tmp_path / "other", n_train=4, n_val=0, unlabelled=4, seed=7)
    for path in (data / "imagesTr").iterdir():
        shutil.copy(path, other / "imagesTr")  # the scans in use, without their labels
    left, _ = candidates_of(run, other, lambda text: None)
    assert {one.case for one in left} == every - in_use
    for place, prefix in ((data / "imagesTr", ""), (copies, "new_")):
        told: list[str] = []
        left, labelled = candidates_of(run, place, told.append)
        assert {one.case for one in left} == {prefix + case for case in every - in_use}
        assert [one.case for one in labelled] == run.data["labelled"]
        (named,) = [text for text in told if "with labels or was validated" in text]
        assert all(prefix + case in named for case in in_use)


@pytest.mark.parametrize("fresh", [True, False])  # what the fingerprint knows is used, and not needed
def test_scans_in_use_are_known_however_they_are_stored(tmp_path: Path, fresh: bool) -> None:
    """Of another type, compressed, mirrored, in another format; of the test split too."""
    data = write_dataset(tmp_path / "data", n_train=3, n_val=1, n_test=1, unlabelled=2)
    untrained_run(tmp_path / "run", data)
    scans = tmp_path / "scans"
    names = {"train": "case_001", "free": "case_002", "val": "case_004", "test": "case_005"}
    for number, (name, case) in enumerate(names.items()):
        (path,) = data.glob(f"images*/{case}_0000.nii.gz")
        scan = formats.read(path)
        voxels = scan.voxels.astype([np.float32, np.int32, np.float64, np.int16][number])
        formats.write(scans / f"{name}{['.nii', '.nrrd', '.nii.gz', '.nrrd'][number]}", voxels, like=scan)
        formats.write(scans / f"{name}_mirrored.nii.gz", voxels[::-1], like=scan)
    formats.write(scans / "edited.nii.gz", np.where(voxels == voxels.max(), voxels.max() - 1, voxels), like=scan)
    if not fresh:
        fingerprint_path(data).unlink()
    told: list[str] = []
    left, _ = candidates_of(open_run(tmp_path / "run"), scans, told.append)
    assert {one.case for one in left} == {"edited", "free", "free_mirrored"}
    (named,) = [text for text in told if "with labels or was validated" in text]
    for name in ("train", "val", "test"):
        assert f"{name} (which is {names[name]}, {name}), {name}_mirrored (which is {names[name]}, {name})" in named


def test_an_image_that_the_fingerprint_knows_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_dataset(tmp_path / "data", n_train=2, n_val=1, unlabelled=1)
    check(data)
    known, asked = KnownImages(data, open_dataset(data).cases), []
    (tmp_path / "new").mkdir()
    other = formats.read(data / "imagesTr" / "case_001_0000.nii.gz")
    formats.write(tmp_path / "new" / "anna.nii", other.voxels + 1, like=other)
    read = formats.read_channels
    monkeypatch.setattr(formats, "read_channels", lambda paths: asked.append(tuple(paths)) or read(paths))
    assert known.same_as((tmp_path / "new" / "anna.nii",)) is None
    assert known.same_as((tmp_path / "new" / "none.nii",)) is None
    assert known.same_as((data / "imagesTr" / "case_002_0000.nii.gz",)).id == "case_002"
    assert asked == [(tmp_path / "new" / "anna.nii",)]
