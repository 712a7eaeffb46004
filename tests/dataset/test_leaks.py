"""Leaks between splits: one patient under several names, one image in several types and formats."""

import gzip
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from axis_turns import ORDERS, reordered
from crossmatch import formats
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from tiny import write_nifti

UNIT = np.eye(4)


def dataset(root: Path, names: dict[str, str], regex: str | None = None, affine: np.ndarray = UNIT) -> Path:
    """A dataset of noise with these cases and their splits."""
    stated = {"channel_names": {"0": "M"}, "labels": {"background": 0, "a": 1}}
    (root / "splits").mkdir(parents=True)
    (root / "dataset.json").write_text(json.dumps(stated | ({"patient_regex": regex} if regex else {})))
    for seed, name in enumerate(names):
        voxels = np.random.default_rng(seed).normal(100, 20, (12, 12, 6)).astype(np.int16)
        write_nifti(root / "imagesTr" / f"{name}_0000.nii.gz", voxels, affine)
        write_nifti(root / "labelsTr" / f"{name}.nii.gz", (voxels > 100).astype(np.uint8), affine)
    for split in ("train", "val"):
        chosen = [name for name, where in names.items() if where == split]
        (root / "splits" / f"{split}.txt").write_text("\n".join(chosen))
    return root


@pytest.mark.parametrize("second", ["sub-01_ses-02", "sub-01_run-2", "sub-01_acq-fast_T1w"])
def test_a_bids_subject_is_a_patient(tmp_path: Path, second: str) -> None:
    root = dataset(tmp_path / "d", {"sub-01_ses-01": "train", second: "val", "sub-02_ses-01": "train"})
    with pytest.raises(UserError, match=rf"patient sub-01 is in both train \(sub-01_ses-01\) and val \({second}\)"):
        open_dataset(root)


def test_bids_subjects_that_begin_alike_are_two(tmp_path: Path) -> None:
    cases = open_dataset(dataset(tmp_path / "d", {"sub-1_ses-1": "train", "sub-10_ses-1": "val"})).cases
    assert [case.patient for case in cases] == ["sub-1", "sub-10"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"p01_t1": "train", "p01_t2": "val", "p02_t1": "train"}, r"p01 with t1 \(train\) and t2 \(val\)"),
        ({"anna_pre": "train", "anna_post": "val", "bert_pre": "train"}, r"anna with pre \(train\) and post \(val\)"),
        ({"7-ED": "train", "7-ES": "val", "8-ED": "train"}, r"7 with ED \(train\) and ES \(val\)"),
        ({"liver_001": "train", "liver_002": "val", "spleen_001": "train", "spleen_002": "val"}, None),
        ({"case_2024_001": "train", "case_2024_002": "val"}, None),
        ({"p01_t1": "train", "p01_t2": "train", "p02_t1": "val"}, None),
    ],
)
def test_names_that_share_a_stem_across_splits_are_warned_of(
    tmp_path: Path, names: dict[str, str], told: str | None
) -> None:
    found = [each for each in check(dataset(tmp_path / "d", names)).warnings if "may be of one patient" in each]
    assert len(found) == (told is not None)
    if told:
        assert re.search(f"{told}.*patient_regex", found[0])


def test_a_stated_patient_is_believed(tmp_path: Path) -> None:
    names = {"p01_t1": "train", "p01_t2": "val", "p02_t1": "train"}
    assert not [each for each in check(dataset(tmp_path / "d", names, "(.+)")).warnings if "may be" in each]


@pytest.mark.parametrize("kind", ["float32", "int32", "scaled", "nrrd"])
def test_one_image_in_two_splits_is_found_in_whatever_type_or_format(tmp_path: Path, kind: str) -> None:
    root = dataset(tmp_path / "d", {"ann": "train", "bob": "val", "eve": "train"})
    source, copy = (root / "imagesTr" / f"{name}_0000.nii.gz" for name in ("ann", "bob"))
    image = formats.read(source)
    if kind == "nrrd":
        copy.unlink()
        formats.write(copy.with_name("bob_0000.nrrd"), image.voxels, like=image)
    elif kind == "scaled":
        content = bytearray(nib.Nifti1Image(image.voxels * np.int16(2), image.affine).to_bytes())
        content[112:120] = np.array([0.5, 0], "<f4").tobytes()  # scl_slope, scl_inter
        copy.write_bytes(gzip.compress(bytes(content)))
    else:
        write_nifti(copy, image.voxels.astype(kind), image.affine)
    leaks = [each for each in check(root).warnings if each.startswith("LEAK")]
    assert leaks == [
        "LEAK: ann (train) and bob (val) are the same image in different splits: scores on it mean nothing, remove one"
    ]


def test_images_with_equal_statistics_are_two(tmp_path: Path) -> None:
    """The same values in other places: a mirror image is another one here."""
    root = dataset(tmp_path / "d", {"ann": "train", "bob": "val"})
    image = formats.read(root / "imagesTr" / "ann_0000.nii.gz")
    write_nifti(root / "imagesTr" / "bob_0000.nii.gz", np.roll(image.voxels, 1, 0), image.affine)
    assert not [each for each in check(root).warnings if "same image" in each]


@pytest.mark.parametrize(
    ("steps", "told"), [((5, 0.8, 0.8), True), ((0.8, 0.8, 5), False), ((1, 1, 1), False), ((1.5, 0.8, 0.8), False)]
)
def test_slices_across_those_that_were_taken_are_warned_of(
    tmp_path: Path, steps: tuple[float, ...], told: bool
) -> None:
    root = dataset(tmp_path / "d", {"ann": "train", "bob": "val"}, affine=np.diag([*steps, 1]))
    found = [each for each in check(root).warnings if "slice_axis" in each]
    assert len(found) == told
    assert not told or '"slice_axis": 0' in found[0]


@pytest.mark.parametrize("kind", ["int16", "float32"])
@pytest.mark.parametrize("header", ["of its axes", "of other axes"])
def test_one_image_is_found_turned_and_mirrored(tmp_path: Path, header: str, kind: str) -> None:
    """As RAS here and LPS there, which the headers say; and where a header was lost or is wrong."""
    affine = np.diag([1.0, 1.5, 3, 1])
    root = dataset(tmp_path / "d", {"ann": "train", "bob": "val", "eve": "train"}, affine=affine)
    source, copy = (root / "imagesTr" / f"{name}_0000.nii.gz" for name in ("ann", "bob"))
    voxels = formats.read(source).voxels.astype(kind)
    turned, placed = reordered(voxels, affine, ORDERS[11])
    lost = header == "of other axes"
    write_nifti(copy, turned, np.diag([1.2, 1.2, 1.2, 1]) if lost else placed)
    write_nifti(root / "labelsTr" / "bob.nii.gz", (turned > 100).astype(np.uint8), formats.read(copy).affine)
    how = "" if not lost else ", some of them mirrored or turned,"
    assert [each for each in check(root).warnings if each.startswith("LEAK")] == [
        f"LEAK: ann (train) and bob (val) are the same image{how} in different splits: scores on it mean nothing, "
        "remove one"
    ]


def test_a_mirrored_picture_is_found(tmp_path: Path) -> None:
    root = tmp_path / "d"
    (root / "splits").mkdir(parents=True)
    (root / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "M"}, "labels": {"background": 0, "a": 1}, "file_ending": ".png"})
    )
    grey = np.random.default_rng(0).integers(0, 255, (20, 24)).astype(np.uint8)
    for name, each in (("ann", grey), ("bob", grey[:, ::-1]), ("eve", grey // 2)):
        for folder, pixels in (("imagesTr", each), ("labelsTr", each > 100)):
            path = root / folder / f"{name}{'_0000' * (folder == 'imagesTr')}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.ascontiguousarray(pixels).astype(np.uint8)).save(path)
    (root / "splits" / "val.txt").write_text("bob\n")
    assert [each for each in check(root).warnings if "same image" in each] == [
        "LEAK: ann (train) and bob (val) are the same image, some of them mirrored or turned, in different splits: "
        "scores on it mean nothing, remove one"
    ]
