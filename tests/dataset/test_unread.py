"""What lies in a dataset's folder and is not read is named."""

import json
from pathlib import Path

import pytest

from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from tiny import write_dataset


@pytest.mark.parametrize("name", ["validation.txt", "Val.txt", "train_2_labeled.txt", "train__label.txt"])
def test_a_list_of_another_name_is_an_error(tmp_path: Path, name: str) -> None:
    """Its cases would be trained on."""
    root = write_dataset(tmp_path / "d")
    (root / "splits" / "val.txt").rename(root / "splits" / name)
    with pytest.raises(UserError, match=rf"splits has files that are not read \({name}\): lists are train\.txt, val"):
        open_dataset(root)


def test_the_split_of_nnunet_is_named(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "d")
    (root / "splits" / "splits_final.json").write_text("[]")
    assert "files in splits/ that are not read: splits_final.json; lists are train.txt" in "".join(check(root).warnings)
    (root / "splits" / "val.txt").unlink()
    with pytest.raises(UserError, match=r"nnU-Net's splits_final\.json write the cases of one fold into train\.txt"):
        open_dataset(root)


def test_folders_and_keys_that_nothing_reads_are_warned_of(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "d")
    (root / "splits" / ".DS_Store").touch()
    (root / "notes").mkdir()
    assert not [each for each in check(root).warnings if "read" in each]
    for name in ("imagesUn", "labels"):
        (root / name).mkdir()
    description = json.loads((root / "dataset.json").read_text())
    described = {**description, "patient_regx": "(.+)", "licence": "CC BY", "spacing": [1, 1, 1]}
    (root / "dataset.json").write_text(json.dumps(described))
    folders, keys = [each for each in check(root).warnings if "read" in each]
    assert folders.startswith("folders that are not read: imagesUn, labels; images lie in imagesTr and imagesTs")
    assert keys.startswith(
        "keys of dataset.json that nothing reads: patient_regx (is patient_regex meant?), spacing; known are"
    )


def test_case_numbers_of_four_digits_are_told_from_channels(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "d", n_val=0, n_test=0)
    for number, path in enumerate(sorted((root / "imagesTr").iterdir())):
        path.rename(path.with_name(f"liver_{number:04d}.nii.gz"))
    with pytest.raises(UserError, match=r"if 0000 is a case number, add a channel: liver_0000_0000\.nii\.gz"):
        open_dataset(root)
