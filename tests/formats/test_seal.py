"""While a network learns, no test case can be opened: by its name, by another name, from another thread."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from crossmatch import formats
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.formats.dicom import find_series, read_series, read_slices
from crossmatch.formats.hdf5 import read_pair
from crossmatch.formats.seal import SealedError, sealed
from crossmatch.plan.make import make_plan
from crossmatch.recipes.load import load_recipe
from crossmatch.training.fit import fit
from tiny import write_dataset
from tiny_dicom import write_series
from train_tiny import TINY, Quiet


def files_of_test(root: Path) -> list[Path]:
    return open_dataset(root, splits=("test",)).files()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = write_dataset(tmp_path / "data", n_train=3, n_val=1, n_test=1)
    check(root)
    return root


def test_images_and_labels_of_test_cases_are_refused_until_the_block_ends(data: Path) -> None:
    image, label = data / "imagesTs/case_005_0000.nii.gz", data / "labelsTs/case_005.nii.gz"
    with sealed(files_of_test(data)):
        for path in (image, label):
            for read in (formats.read, formats.read_grid):
                with pytest.raises(SealedError, match=r"case_005.*may not be opened while a network learns"):
                    read(path)
        assert formats.read(data / "imagesTr/case_001_0000.nii.gz").shape == (16, 14, 4)
        assert formats.read(data / "imagesTr/case_004_0000.nii.gz").shape == (16, 14, 4)  # validation
    assert formats.read(image).shape == formats.read(label).shape == (16, 14, 4)


def test_other_ways_to_a_test_case_are_refused_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a relative path, by a way round, from another thread; links are among the tests of every format."""
    monkeypatch.chdir(data)
    with sealed(files_of_test(data)), ThreadPoolExecutor(1) as pool:
        for path in (Path("imagesTs/case_005_0000.nii.gz"), data / "imagesTr/../imagesTs/case_005_0000.nii.gz"):
            with pytest.raises(SealedError):
                pool.submit(formats.read, path).result()


def test_readers_beside_the_registry_ask_too(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", np.zeros((4, 3, 2), np.int16))
    slices = read_slices(tmp_path / "series")
    with h5py.File(tmp_path / "pair.h5", "w") as file:
        file["image"], file["label"] = np.ones((2, 2)), np.ones((2, 2))
    with sealed([series[1], tmp_path / "pair.h5"]):
        for read in (
            lambda: find_series(tmp_path),
            lambda: read_slices(tmp_path / "series"),
            lambda: read_series(slices),
            lambda: read_pair(tmp_path / "pair.h5", 2, 2),
        ):
            with pytest.raises(SealedError):
                read()


def test_a_test_list_may_name_files_anywhere(data: Path) -> None:
    (data / "splits/train.txt").write_text("case_001\ncase_002\n")
    (data / "splits/test.txt").write_text("case_003\n")
    with sealed(files_of_test(data)), pytest.raises(SealedError):
        formats.read(data / "imagesTr/case_003_0000.nii.gz")


def test_seals_may_overlap(data: Path) -> None:
    path = data / "imagesTs/case_005_0000.nii.gz"
    with sealed(files_of_test(data)):
        with sealed(files_of_test(data)):
            pass
        with pytest.raises(SealedError):
            formats.read(path)
    formats.read(path)


class Curious(Quiet):
    """Tries to look at a test case after each step, and while scans are read."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.refused, self.read = path, 0, 0

    def loading(self, done: int, total: int) -> None:
        self.step(0, 0, {})

    def step(self, step: int, steps: int, values: dict[str, float]) -> None:
        try:
            formats.read(self.path)
            self.read += 1
        except SealedError:
            self.refused += 1


@pytest.mark.parametrize("name", ["imagesTs/case_005_0000.nii.gz", "labelsTs/case_005.nii.gz"])
def test_training_cannot_open_a_test_case(data: Path, tmp_path: Path, name: str) -> None:
    display = Curious(data / name)
    fit(load_recipe("phantom", [*TINY, "train.steps=3"]), data, tmp_path / "run", display)
    assert (display.refused, display.read) == (6, 0)  # three scans are read, three steps are done
    assert formats.read(data / name).shape == (16, 14, 4)


def test_data_that_changed_is_refused_where_it_must_have_been_checked(data: Path, tmp_path: Path) -> None:
    chosen = load_recipe("phantom", [*TINY, "train.steps=1"])
    fit(chosen, data, tmp_path / "run", Quiet(), checked=True)
    path = data / "imagesTs/case_005_0000.nii.gz"
    content = bytearray(path.read_bytes())
    content[4] ^= 1  # the time in the header of gzip: only a look at its voxels tells whether they changed
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"changed since it was checked: run `crossmatch check .*data` first"):
        fit(chosen, data, tmp_path / "again", Quiet(), checked=True)
    assert not (tmp_path / "again").exists()
    fit(chosen, data, tmp_path / "again", Quiet())  # looks at it, before anything is learned


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_linked_test_case_is_refused_before_anything_is_learned(data: Path, tmp_path: Path, link) -> None:
    """Checked before the link was made or not, by image or by label: one paragraph, and no run."""
    scan, label = data / "imagesTr/case_003_0000.nii.gz", data / "labelsTr/case_003.nii.gz"
    for path, test in ((scan, data / "imagesTs/case_005_0000.nii.gz"), (label, data / "labelsTs/case_005.nii.gz")):
        path.unlink()
        link(path, test)
        told = rf"{path} and {test} are one file, and the latter is of a test case"
        with pytest.raises(UserError, match=told):
            check(data)
        for checked in (False, True):
            with pytest.raises(UserError, match="are one file" if not checked else "changed since it was checked"):
                fit(load_recipe("phantom", [*TINY, "train.steps=1"]), data, tmp_path / "run", Quiet(), checked=checked)
        assert not (tmp_path / "run").exists()
        path.unlink()
        path.write_bytes(test.read_bytes())


def test_a_link_to_equal_content_is_refused_although_the_fingerprint_is_fresh(data: Path, tmp_path: Path) -> None:
    chosen = load_recipe("phantom", [*TINY, "train.steps=1"])
    scan, test = data / "imagesTr/case_003_0000.nii.gz", data / "imagesTs/case_005_0000.nii.gz"
    scan.write_bytes(test.read_bytes())
    assert "LEAK" in "".join(check(data).warnings)
    scan.unlink()
    scan.symlink_to(test)
    with pytest.raises(UserError, match="are one file"):
        fit(chosen, data, tmp_path / "run", Quiet())
    with pytest.raises(UserError, match="are one file"):
        make_plan(data)


def test_test_images_that_a_list_names_for_training_are_warned_of(data: Path) -> None:
    """Unless a list says which are the test cases."""
    (data / "splits/train.txt").write_text("case_001\ncase_002\ncase_005\n")
    (data / "splits/test.txt").write_text("case_003\n")
    assert "folder of test cases" not in "".join(check(data).warnings)
    (data / "splits/test.txt").unlink()
    (warning,) = (each for each in check(data).warnings if "folder of test cases" in each)
    assert "case_005 (train); if this is meant, write the test cases into splits/test.txt" in warning
