"""Grouping of what `predict` is pointed at into cases: names, channels, one file or a folder, mistakes."""

from pathlib import Path

import pytest

from crossmatch.errors import UserError
from crossmatch.inference.inputs import group_channels


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_a_folder_of_one_channel(tmp_path: Path) -> None:
    folder = touch(tmp_path, "b_0000.nii.gz", "a.nii", "scan_0007.nii.gz", ".hidden.nii.gz", "notes.txt")
    (folder / "sub").mkdir()
    assert group_channels(folder, 1) == {
        "a": (folder / "a.nii",),
        "b": (folder / "b_0000.nii.gz",),
        "scan_0007": (folder / "scan_0007.nii.gz",),  # a number of the scan: channel 7 of 1 makes no sense
    }


def test_channels_in_order(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a_0001.nii.gz", "a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz")
    both = {name: (folder / f"{name}_0000.nii.gz", folder / f"{name}_0001.nii.gz") for name in "ab"}
    assert group_channels(folder, 2) == both
    assert group_channels(folder / "b_0001.nii.gz", 2) == {"b": both["b"]}


def test_case_numbers_of_four_digits_get_one_rule_or_none(tmp_path: Path) -> None:
    """liver_0000 would lose its number, as if it were a channel, and liver_0001 keep it."""
    folder = touch(tmp_path / "a", "liver_0000.nii.gz", "liver_0001.nii.gz", "liver_0002.nii.gz", "b_0000.nii.gz")
    told = r"has liver_0000, liver_0001, liver_0002: .*rename the files to liver_0000_0000, liver_0001_0000"
    for source in (folder, folder / "liver_0000.nii.gz", folder / "liver_0002.nii.gz"):
        with pytest.raises(UserError, match=told):
            group_channels(source, 1)
    assert list(group_channels(folder / "b_0000.nii.gz", 1)) == ["b"]
    renamed = touch(tmp_path / "b", *(f"liver_000{k}_0000.nii.gz" for k in range(3)))
    assert list(group_channels(renamed, 1)) == ["liver_0000", "liver_0001", "liver_0002"]
    assert list(group_channels(touch(tmp_path / "c", "liver_0001.nii.gz", "liver_0002.nii.gz"), 1)) == [
        "liver_0001",
        "liver_0002",
    ]


def test_one_file_whatever_lies_beside_it(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a.nii.gz", "a_0000.nii.gz", "b.nii", "b.nii.gz", ".c.nii.gz")
    assert group_channels(folder / "a.nii.gz", 1) == {"a": (folder / "a.nii.gz",)}
    assert group_channels(folder / "a_0000.nii.gz", 1) == {"a": (folder / "a_0000.nii.gz",)}
    assert group_channels(folder / ".c.nii.gz", 1) == {".c": (folder / ".c.nii.gz",)}
    other = touch(tmp_path / "two", "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii", "b_0000.nii.gz")
    assert list(group_channels(other / "a_0000.nii.gz", 2)) == ["a"]


def test_mistakes(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz", "picture.gif")
    for source, channels, told in (
        (tmp_path / "none", 1, "none does not exist"),
        (folder / "picture.gif", 1, r"picture\.gif is no scan by its name"),
        (touch(tmp_path / "empty"), 1, "empty holds no image"),
        (folder, 2, r"takes 2 channels a case \(CASE_0000 to CASE_0001\), but a in .*in have others"),
        (folder, 3, "but a, b in"),
        (touch(tmp_path / "same", "a.nii", "a_0000.nii.gz"), 1, "are both channel 0 of a"),
    ):
        with pytest.raises(UserError, match=told):
            group_channels(source, channels)
