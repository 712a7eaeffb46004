"""Datasets on disk: layout, splits, label subsets, and every way in which a folder can be wrong."""

import json
import re
import unicodedata
from pathlib import Path

import pytest

from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.repetition import nests_repetitions
from crossmatch.errors import UserError
from tiny import write_dataset


def _touch(root: Path, *names: str) -> None:
    """Empty files: opening a dataset reads names alone."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _describe(root: Path, **changes: object) -> None:
    root.mkdir(parents=True, exist_ok=True)
    stated = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(stated | changes))


def _ids(cases) -> list[str]:
    return [case.id for case in cases]


def test_cases_channels_and_splits(tmp_path):
    root = write_dataset(tmp_path / "a set", n_train=3, n_val=2, n_test=1, channels=2, unlabelled=1)
    dataset = open_dataset(root)
    assert (dataset.name, dataset.channels, dataset.slice_axis) == ("tiny", ("C0", "C1"), 2)
    assert dataset.labels == {"background": 0, "RV": 1, "MYO": 2}
    assert _ids(dataset.split("train")) == ["case_001", "case_002", "case_003"]
    assert _ids(dataset.split("val")) == ["case_004", "case_005"]
    first, last = dataset.split("train")[0], dataset.split("train")[-1]
    assert first.images == (root / "imagesTr/case_001_0000.nii.gz", root / "imagesTr/case_001_0001.nii.gz")
    assert first.label == root / "labelsTr/case_001.nii.gz"
    assert last.label is None
    (test,) = dataset.split("test")
    assert (test.images[0].parent.name, test.label) == ("imagesTs", root / "labelsTs/case_006.nii.gz")


def test_only_the_splits_asked_for_are_there(tmp_path):
    dataset = open_dataset(write_dataset(tmp_path, n_test=2), splits=("train", "val"))
    assert dataset.split("test") == ()
    assert {case.split for case in dataset.cases} == {"train", "val"}


def test_without_lists_the_folders_decide(tmp_path):
    _describe(tmp_path)
    _touch(tmp_path, "imagesTr/b_0000.nii.gz", "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "imagesTs/c_0000.nii.gz")
    dataset = open_dataset(tmp_path)
    assert [_ids(dataset.split(split)) for split in ("train", "val", "test")] == [["a", "b"], [], ["c"]]
    labelled, unlabelled = dataset.labelled("all")
    assert (_ids(labelled), _ids(unlabelled)) == (["a"], ["b"])


def test_a_validation_list_alone_takes_its_cases_out_of_training(tmp_path):
    root = write_dataset(tmp_path)
    (root / "splits/train.txt").unlink()
    assert _ids(open_dataset(root).split("train")) == ["case_001", "case_002", "case_003"]


def test_a_label_list_hides_the_labels_outside_it(tmp_path):
    dataset = open_dataset(write_dataset(tmp_path, n_train=4, unlabelled=1, subsets=(1, 2)))
    labelled, unlabelled = dataset.labelled("2")
    assert _ids(labelled) == ["case_001", "case_002"]
    assert all(case.label is not None for case in labelled)
    assert _ids(unlabelled) == ["case_003", "case_004"]
    assert all(case.label is None for case in unlabelled)
    assert [len(part) for part in dataset.labelled("all")] == [3, 1]


def test_label_lists_that_cannot_be_used(tmp_path):
    root = write_dataset(tmp_path, n_train=3, unlabelled=1, subsets=(1, 2))
    dataset = open_dataset(root)
    with pytest.raises(UserError, match=r"no label list .*train_9_label\.txt.* one of these: all, 1, 2\."):
        dataset.labelled("9")
    (root / "splits/train_2_label.txt").write_text("case_003\n")
    with pytest.raises(UserError, match=r"train_2_label\.txt names case_003, which has no label file"):
        dataset.labelled("2")
    (root / "splits/train_2_label.txt").write_text("case_004\n")  # a validation case
    with pytest.raises(UserError, match="case_004, which is no training case"):
        dataset.labelled("2")
    (root / "splits/train_2_label.txt").write_text("\n")
    with pytest.raises(UserError, match="is empty"):
        dataset.labelled("2")


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"labels": {"0": "background", "2": "tumour", "1": "liver"}}, {"background": 0, "liver": 1, "tumour": 2}),
        ({"labels": {"organ": 1, "nothing": 0}}, {"nothing": 0, "organ": 1}),
        ({"labels": {"background": "0", "1": "organ"}}, None),
        ({"labels": {"background": 0, "organ": 2}}, None),
        ({"labels": {"background": 0, "organ": 1, "whole": [1, 2]}}, None),
        ({"labels": {"background": 0, "organ": 1, "ignore": 2}}, {"background": 0, "organ": 1}),
        ({"labels": {"background": 0, "organ": 1, "ignore": 3}}, None),
        ({"labels": {"background": 0, "ignore": 1}}, None),
        ({"labels": {"background": 0}}, None),
        ({"labels": ["background", "organ"]}, None),
    ],
)
def test_labels_in_either_direction(tmp_path, changes, labels):
    _describe(tmp_path, **changes)
    _touch(tmp_path, "imagesTr/a_0000.nii.gz")
    if labels is None:
        with pytest.raises(UserError, match=r"dataset\.json has labels .*write them like"):
            open_dataset(tmp_path)
    else:
        dataset = open_dataset(tmp_path)
        assert dataset.labels == labels
        assert dataset.ignore == (len(labels) if "ignore" in changes["labels"] else None)


def test_ignore_has_the_highest_value(tmp_path):
    _describe(tmp_path, labels={"background": 0, "ignore": 1, "organ": 2})
    with pytest.raises(UserError, match="ignore must have the highest value"):
        open_dataset(tmp_path)


def test_the_older_spelling_of_channels(tmp_path):
    _describe(tmp_path, modality={"0": "T1", "1": "T2"})
    stated = json.loads((tmp_path / "dataset.json").read_text())
    del stated["channel_names"], stated["file_ending"]
    (tmp_path / "dataset.json").write_text(json.dumps(stated))
    _touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz")
    assert open_dataset(tmp_path).channels == ("T1", "T2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_names": {"1": "MRI"}}, "channel_names"),
        ({"channel_names": {}}, "channel_names"),
        ({"file_ending": ".gif"}, "file_ending '.gif'"),
        ({"slice_axis": 3}, "slice_axis 3"),
        ({"patient_regex": "("}, "no regular expression"),
        ({"patient_regex": "p\\d+"}, "put the patient in a group"),
        ({"patient_regex": "(zzz)"}, "finds no patient in the case name a"),
    ],
)
def test_descriptions_that_cannot_be_used(tmp_path, changes, message):
    _describe(tmp_path, **changes)
    _touch(tmp_path, "imagesTr/a_0000.nii.gz")
    with pytest.raises(UserError, match=re.escape(message)):
        open_dataset(tmp_path)


def test_folders_that_are_no_dataset_show_the_tree(tmp_path):
    (tmp_path / "empty").mkdir()
    _touch(tmp_path, "other/scan.nii.gz", "file")
    for name, what in (
        ("gone", "does not exist"),
        ("empty", "is empty"),
        ("other", "no dataset.json"),
        ("file", "is a"),
    ):
        with pytest.raises(UserError, match=rf"(?s){what}.*imagesTr/CASE_0000"):
            open_dataset(tmp_path / name)
    _describe(tmp_path / "other")
    with pytest.raises(UserError, match=r"(?s)no image named CASE_0000\.nii\.gz.*imagesTr/CASE_0000"):
        open_dataset(tmp_path / "other")
    (tmp_path / "other/dataset.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        open_dataset(tmp_path / "other")


def test_problems_of_the_layout_are_told_together(tmp_path):
    _describe(tmp_path, channel_names=["T1", "T2"])
    _touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/b.nii.gz", "labelsTr/c.nii.gz", "imagesTr/.hidden.nii.gz")
    _touch(tmp_path, *(f"imagesTr/{name}_000{n}.nii.gz" for name in ("d", "D") for n in (0, 1)))
    _touch(tmp_path, *(f"imagesTr/e_000{n}.nii.gz" for n in (0, 1, 2)))
    with pytest.raises(UserError) as caught:
        open_dataset(tmp_path)
    text = str(caught.value)
    assert "5 problems" in text
    assert "a_0001.nii.gz is missing" in text
    assert "rename it to b_0000.nii.gz" in text
    assert "c.nii.gz is a label without an image" in text
    assert "cases D and d differ in upper and lower case only" in text
    assert "e_0002.nii.gz" in text
    assert "hidden" not in text


def test_files_of_any_known_format_in_any_case_of_letters(tmp_path):
    """Whatever dataset.json says of endings; two files of one case are told, other files are none of a dataset."""
    _describe(tmp_path, file_ending=".NRRD")
    _touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/b_0000.NII.GZ", "imagesTr/c_0000.nrrd", "imagesTr/notes.txt")
    _touch(tmp_path, "labelsTr/a.nii", "labelsTr/b.Nrrd", "labelsTr/c.nrrd")
    labelled, _ = open_dataset(tmp_path).labelled("all")
    assert [(case.images[0].name, case.label.name) for case in labelled] == [
        ("a_0000.nii.gz", "a.nii"),
        ("b_0000.NII.GZ", "b.Nrrd"),
        ("c_0000.nrrd", "c.nrrd"),
    ]
    _touch(tmp_path, "labelsTr/a.nrrd", "imagesTr/c_0000.nii")
    with pytest.raises(UserError) as caught:
        open_dataset(tmp_path)
    assert "labelsTr/a.nii and a.nrrd have one name and two endings: remove one" in str(caught.value)
    assert "imagesTr/c_0000.nii and c_0000.nrrd have one name" in str(caught.value)


def test_only_ten_problems_are_spelled_out(tmp_path):
    _describe(tmp_path)
    _touch(tmp_path, *(f"labelsTr/x{n:02d}.nii.gz" for n in range(14)), "imagesTr/a_0000.nii.gz")
    with pytest.raises(UserError) as caught:
        open_dataset(tmp_path)
    assert str(caught.value).count("\n  - ") == 11
    assert "and 4 more" in str(caught.value)


def test_splits_must_not_share_cases_or_patients(tmp_path):
    _describe(tmp_path)
    names = ["p1_frame01", "p1_frame02", "p2_frame01"]
    _touch(tmp_path, *(f"imagesTr/{n}_0000.nii.gz" for n in names), *(f"labelsTr/{n}.nii.gz" for n in names))
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/train.txt").write_text("p1_frame01\np2_frame01\n")
    (tmp_path / "splits/val.txt").write_text("p1_frame02\np2_frame01\n")
    with pytest.raises(UserError) as caught:
        open_dataset(tmp_path, splits=("train",))
    assert "patient p1 is in both train (p1_frame01) and val (p1_frame02)" in str(caught.value)
    assert "case p2_frame01 is in both train and val" in str(caught.value)
    (tmp_path / "splits/val.txt").write_text("p1_frame02\n")
    _describe(tmp_path, patient_regex="(.*)")
    assert [case.patient for case in open_dataset(tmp_path).cases] == ["p1_frame01", "p2_frame01", "p1_frame02"]


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("patient099_frame01", "patient099"),
        ("s12-visit_3_slice004", "s12"),
        ("ABC_time2", "ABC"),
        ("case_001", "case_001"),
        ("keyframe01", "keyframe01"),
    ],
)
def test_patients_are_read_from_names(tmp_path, name, patient):
    _describe(tmp_path)
    _touch(tmp_path, f"imagesTr/{name}_0000.nii.gz")
    assert open_dataset(tmp_path).cases[0].patient == patient


def test_lists_that_name_unknown_cases_and_cases_without_labels(tmp_path):
    root = write_dataset(tmp_path, n_train=2, n_val=1)
    (root / "splits/train.txt").write_text("case_001\ncase_01\n")
    (root / "labelsTr/case_003.nii.gz").unlink()
    with pytest.raises(UserError) as caught:
        open_dataset(root)
    assert "train.txt names case_01, which has no image" in str(caught.value)
    assert "validation case case_003 has no label file" in str(caught.value)
    (root / "splits/train.txt").write_text("")
    (root / "splits/val.txt").write_text("")
    with pytest.raises(UserError, match="has no training case"):
        open_dataset(root)


def test_lists_written_by_other_programs(tmp_path):
    """Byte order mark, Windows line ends, blanks, accents stored decomposed, names with spaces and dots."""
    _describe(tmp_path)
    name = "Müller 1.2"
    _touch(tmp_path, f"imagesTr/{unicodedata.normalize('NFD', name)}_0000.nii.gz", "imagesTr/b_0000.nii.gz")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/train.txt").write_bytes(("\ufeff" + name + " \r\n\r\nb\r\nb\r\n").encode())
    assert _ids(open_dataset(tmp_path).split("train")) == [name, "b"]


def test_the_real_dataset_opens_as_it_is(shared):
    dataset = open_dataset(shared / "data" / "acdc")
    assert [len(dataset.split(split)) for split in ("train", "val", "test")] == [140, 20, 40]
    assert [len(dataset.labelled(subset)[0]) for subset in ("1", "3", "7", "all")] == [2, 6, 14, 140]
    assert len({case.patient for case in dataset.cases}) == 100


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("labels", '{"background": 0, "organ": Infinity}', "values 0, 1, 2, ... without gaps"),
        ("labels", '{"background": 0, "organ": 1e400}', "values 0, 1, 2, ... without gaps"),
        ("labels", '{"background": 0, "organ": %s}' % ("9" * 500), "values 0, 1, 2, ... without gaps"),
        ("labels", '{"background": false, "organ": true}', "values 0, 1, 2, ... without gaps"),
        ("labels", '{"background": 0, "organ": [1, 2]}', "values 0, 1, 2, ... without gaps"),
        ("labels", '{"background": 0, "mean": 1}', "label named 'mean'"),
        ("labels", '{"background": 0, "\\u001b[31m": 1}', "label named '\\x1b[31m'"),
        ("labels", '{"background": 0, " ": 1}', "label named ' '"),
        ("labels", '{"background": 0, "\\ud800": 1}', "hex escape"),
        ("labels", "[" * 100_000, "recursion limit"),
        ("slice_axis", "1.0", "slice_axis 1.0"),
        ("slice_axis", "true", "slice_axis True"),
        ("patient_regex", '"((a+)+)b"', "repeats a repetition"),
    ],
)
def test_odd_values_of_dataset_json_are_told(tmp_path, key, text, told):
    root = write_dataset(tmp_path / "data")
    stated = {"channel_names": '{"0": "MRI"}', "labels": '{"background": 0, "organ": 1}', key: text}
    content = ", ".join(f'"{name}": {value}' for name, value in stated.items())
    (root / "dataset.json").write_text(f"{{{content}}}")
    with pytest.raises(UserError, match=r"dataset\.json") as error:
        open_dataset(root)
    assert told in str(error.value)


def test_whole_numbers_of_labels_may_be_written_as_fractions_or_text(tmp_path):
    root = write_dataset(tmp_path / "data")
    for labels in ({"background": 0, "RV": 1.0}, {"0": "background", "1": "RV"}):
        stated = {"channel_names": {"0": "MRI"}, "labels": labels}
        (root / "dataset.json").write_text(json.dumps(stated))
        assert open_dataset(root).labels == {"background": 0, "RV": 1}


@pytest.mark.parametrize(
    ("pattern", "nests"),
    [
        (r"(patient\d+)_.*", False),
        (r"(?:x\d+)_(\w+)", False),
        (r"([a+]+)_", False),
        (r"(\(+)x", False),
        (r"(\d{3}){2}_(.)", False),
        (r"((a+)+)b", True),
        (r"(a*)*", True),
        (r"((a|b+)c)*", True),
        (r"(?:(?:a{2,})+)", True),
    ],
)
def test_repeated_repetitions(pattern, nests):
    assert nests_repetitions(pattern) is nests


def test_a_label_map_cannot_hold_more_than_256_labels(tmp_path):
    """Labels are stored in 8 bits: value 256 would wrap to background."""
    root = write_dataset(tmp_path / "d")
    description = json.loads((root / "dataset.json").read_text())
    description["labels"] = {"background": 0} | {f"part {n}": n for n in range(1, 257)}
    (root / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match="declares 257 labels, at most 256 are stored"):
        open_dataset(root)
