"""Files and folders under a name that is nearly right."""

from pathlib import Path

import pytest

from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.unread import unread_folders
from crossmatch.errors import UserError
from tiny import write_dataset


def test_a_label_with_a_channel_number(tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    (root / "labelsTr/case_001.nii.gz").rename(root / "labelsTr/case_001_0000.nii.gz")
    told = r"labelsTr/case_001_0000\.nii\.gz: labels have no _0000: rename it to case_001\.nii\.gz\.$"
    with pytest.raises(UserError, match=told):
        open_dataset(root)
    (root / "labelsTr/case_001_0000.nii.gz").rename(root / "labelsTr/other_0000.nii.gz")
    with pytest.raises(UserError, match=r"other_0000\.nii\.gz is a label without an image"):
        open_dataset(root)


@pytest.mark.parametrize("line", ["case_001_0000.nii.gz", "case_001.nii.gz", "case_001_0000"])
@pytest.mark.parametrize("name", ["val", "train_1_label"])
def test_a_list_of_file_names(line: str, name: str, tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    (root / f"splits/{name}.txt").write_text(f"{line}\n")
    with pytest.raises(UserError, match=rf"{name}\.txt names {line}: write case_001\.$"):
        open_dataset(root).labelled("1")


@pytest.mark.parametrize("name", ["labelstr", "labels", "labels_tr", "lablesTr", "iamgesTr", "images", "imagesUn"])
def test_folders_that_look_like_those_of_the_layout(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "notes").mkdir()
    assert [remark.partition(";")[0] for remark in unread_folders(tmp_path)] == [f"folders that are not read: {name}"]


def test_check_warns_where_nothing_is_labelled_and_names_the_folder(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, n_val=0, n_test=0, subsets=())
    assert not any("nothing can be trained" in warning for warning in check(root).warnings)
    (root / "labelsTr").rename(root / "labels")
    warnings = check(root).warnings
    assert any(warning.startswith("folders that are not read: labels;") for warning in warnings)
    assert any("no training case has a label" in warning for warning in warnings)


def test_a_dataset_without_images_names_the_folder(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, n_val=0, n_test=0, subsets=())
    (root / "imagesTr").rename(root / "images_tr")
    with pytest.raises(UserError, match="folders that are not read: images_tr;"):
        open_dataset(root)
