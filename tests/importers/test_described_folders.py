"""Tasks of the Decathlon and folders made for nnU-Net: what their dataset.json says is taken, or refused clearly."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crossmatch import formats
from crossmatch.dataset.check import load_fingerprint
from crossmatch.errors import UserError
from crossmatch.importers.proposal import propose_import
from crossmatch.importers.wishes import Wishes
from folder_files import LABELS, SHAPE, decathlon, imported, label, nnunet, scan


def test_a_decathlon_task_has_its_channels_split(tmp_path: Path) -> None:
    source = decathlon(tmp_path / "Task01_BrainTumour")
    dataset = imported(source, tmp_path / "out")
    assert dataset.channels == ("FLAIR", "T1w")
    assert dataset.labels == {"background": 0, "edema": 1, "tumour": 2}
    assert [(case.id, case.split) for case in dataset.cases] == [
        ("BRATS_001", "train"),
        ("BRATS_002", "train"),
        ("BRATS_900", "test"),
    ]
    for case in dataset.cases:
        part = "Ts" if case.split == "test" else "Tr"
        stacked = nib.load(source / f"images{part}" / f"{case.id}.nii.gz")
        for k, volume in enumerate(formats.read_channels(case.images)):
            np.testing.assert_array_equal(volume.voxels, np.asarray(stacked.dataobj)[..., k])
            np.testing.assert_array_equal(volume.affine, stacked.affine)
            assert volume.spacing_mm == (1.5, 1.5, 8.0)


def test_a_file_that_is_missing_from_a_task_leaves_its_case_out(tmp_path: Path) -> None:
    source = decathlon(tmp_path)
    (source / "labelsTr" / "BRATS_002.nii.gz").unlink()
    proposal = propose_import(source, Wishes())
    assert [case.name for case in proposal.cases] == ["BRATS_001", "BRATS_900"]
    assert proposal.left_out == {"BRATS_002": "lacks ./labelsTr/BRATS_002.nii.gz, which dataset.json lists"}


def test_the_list_that_names_a_case_says_its_split(tmp_path: Path) -> None:
    """A test case that lies in imagesTr became a training case without a label; validation cases were ignored."""
    source = decathlon(tmp_path / "task")
    for name in ("v1", "h1", "u1"):
        scan(source / "imagesTr" / f"{name}.nii.gz", shape=(*SHAPE, 2))
        label(source / "labelsTr" / f"{name}.nii.gz", (1, 2))
    (source / "notes.txt").write_text("")
    entries = {name: {"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in ("v1", "h1")}
    stated = json.loads((source / "dataset.json").read_text())
    stated |= {"validation": [entries["v1"]], "test": [*stated["test"], entries["h1"]]}
    (source / "dataset.json").write_text(json.dumps(stated))
    proposal = propose_import(source, Wishes())
    assert {case.name: (case.split, case.label is not None) for case in proposal.cases} == {
        "BRATS_001": ("train", True),
        "BRATS_002": ("train", True),
        "v1": ("val", True),
        "BRATS_900": ("test", False),
        "h1": ("test", True),
    }
    assert proposal.left_out == {}
    unlisted, unclaimed = proposal.remarks
    assert unlisted.endswith("no list in dataset.json names them: imagesTr/u1.nii.gz, labelsTr/u1.nii.gz.")
    assert "notes.txt" in unclaimed
    del entries["v1"]["label"]
    (source / "dataset.json").write_text(json.dumps(stated))
    assert "validation case without a label" in propose_import(source, Wishes()).left_out["v1"]
    (source / "dataset.json").write_text(json.dumps(stated | {"test": 1}))
    with pytest.raises(UserError, match="has no list under test"):
        propose_import(source, Wishes())


def test_files_that_nnunet_does_not_use_are_named(tmp_path: Path) -> None:
    source = nnunet(tmp_path, LABELS)
    scan(source / "imagesVal" / "p9_0000.nii.gz")
    (source / "imagesTr" / "notes.txt").write_text("")
    told = " ".join(propose_import(source, Wishes(fold=0)).remarks)
    assert "imagesVal/p9_0000.nii.gz" in told
    assert "no scans of a known format: imagesTr/notes.txt." in told


def test_an_nnunet_folder_and_a_fold_of_its_splits(tmp_path: Path) -> None:
    source = nnunet(tmp_path / "Dataset001", LABELS)
    proposal = propose_import(source, Wishes())
    assert {case.split for case in proposal.cases} == {"train", "test"}
    assert any("--fold 0 takes" in remark for remark in proposal.remarks)
    dataset = imported(source, tmp_path / "out", fold=1)
    assert (dataset.channels, dataset.labels) == (("CT",), LABELS)
    assert [(case.id, case.split, case.label is None) for case in dataset.cases] == [
        ("p1", "train", False),
        ("p3", "train", False),
        ("p4", "train", True),
        ("p2", "val", False),
        ("p5", "test", False),
    ]
    with pytest.raises(UserError, match=r"--fold 2: .*splits_final\.json has the folds 0 to 1"):
        propose_import(source, Wishes(fold=2))
    with pytest.raises(UserError, match="give one of them"):
        propose_import(source, Wishes(fold=0, validation=0.2))
    (source / "splits_final.json").unlink()
    with pytest.raises(UserError, match="copy it from nnUNet_preprocessed"):
        propose_import(source, Wishes(fold=0))


def test_what_a_fold_leaves_out_is_not_learned_from(tmp_path: Path) -> None:
    """nnU-Net trains on the list `train` alone. A case without a label is held out of nothing and stays."""
    source = nnunet(tmp_path / "src", LABELS)
    for name in ("p6", "p7"):
        scan(source / "imagesTr" / f"{name}_0000.nii.gz")
        label(source / "labelsTr" / f"{name}.nii.gz", (1, 2))
    proposal = propose_import(source, Wishes(fold=0))
    splits = {"p1": "val", "p2": "train", "p3": "train", "p4": "train", "p5": "test"}
    assert {case.name: case.split for case in proposal.cases} == splits
    assert "Not used, as fold 0 of splits_final.json has them in neither list: p6, p7." in proposal.remarks
    assert proposal.left_out == {}
    dataset = imported(source, tmp_path / "out", fold=0)
    assert [case.id for case in dataset.split("train")] == ["p2", "p3", "p4"]
    (source / "splits_final.json").write_text(json.dumps([{"train": ["p2", "p8"], "val": ["p1"]}, {"val": ["p1"]}]))
    assert propose_import(source, Wishes(fold=0)).left_out == {"p8": "stands in splits_final.json and has no image"}
    unnamed = propose_import(source, Wishes(fold=1)).cases  # without a list of its own, all others are for training
    assert [case.name for case in unnamed if case.split == "train"] == ["p2", "p3", "p4", "p6", "p7"]


def test_an_ignore_label_is_kept_or_becomes_what_the_user_says(tmp_path: Path) -> None:
    source = nnunet(tmp_path / "src", {"background": 0, "ignore": 2, "liver": 1})
    dataset = imported(source, tmp_path / "kept")
    assert (dataset.labels, dataset.ignore) == ({"background": 0, "liver": 1}, 2)
    print_of = load_fingerprint(dataset).cases[0]
    assert [len(print_of.label_voxels), print_of.box] == [2, (1, 3, 4)]  # a column of 3 x 4, without the one to ignore
    dataset = imported(source, tmp_path / "out", values={2: 0})
    assert dataset.ignore is None
    assert dataset.labels == {"background": 0, "liver": 1}
    voxels = formats.read_label(dataset.cases[0].label).voxels
    np.testing.assert_array_equal(np.unique(voxels), [0, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"background": 0, "whole": [1, 2]}}, r"labels of regions \(whole: \[1, 2\]\), which overlap"),
        ({"labels": {"background": 0, "liver": "one"}}, "liver of value 'one': write a whole number"),
        ({"labels": []}, "names no labels"),
        ({"channel_names": {"1": "CT"}}, "names no channels"),
    ],
)
def test_what_dataset_json_must_say(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = nnunet(tmp_path, LABELS) / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        propose_import(tmp_path, Wishes())


def test_nnunet_cases_that_do_not_fit_are_left_out(tmp_path: Path) -> None:
    source = nnunet(tmp_path, LABELS)
    scan(source / "imagesTr" / "odd.nii.gz")
    scan(source / "imagesTr" / "p2_0001.nii.gz")
    label(source / "labelsTr" / "nobody.nii.gz")
    (source / "splits_final.json").write_text('[{"train": [], "val": ["p1", "gone"]}]')
    left_out = propose_import(source, Wishes(fold=0)).left_out
    assert left_out["odd"].endswith("odd_0000.nii.gz")
    assert left_out["p2"] == "has the channels 0, 1, dataset.json names 1"
    assert "no image that can be used" in left_out["nobody"]
    assert left_out["gone"] == "stands in splits_final.json and has no image"
    assert len(left_out) == 4
