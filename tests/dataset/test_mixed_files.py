"""Datasets of several endings, colours in one file, and files that nothing claims."""

import json
from pathlib import Path

import nrrd
import numpy as np
import pytest
from PIL import Image

from crossmatch.dataset.check import check, load_fingerprint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from tiny import write_dataset, write_nifti
from tiny_dicom import write_contours, write_series

SIZE = (18, 16)  # columns, rows


def draw(path: Path, pixels: np.ndarray, turn: int = 1) -> Path:
    """Write a picture, with the note of a camera (EXIF) where it is to be turned."""
    exif = Image.Exif()
    if turn != 1:
        exif[274] = turn
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def write_colours(root: Path, cases: int = 2, image: str = ".png", label: str = ".png") -> Path:
    """A dataset of pictures in colours with masks of 0 and 1; the last case is unlabelled."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    channels = {"0": "R", "1": "G", "2": "B"}
    (root / "dataset.json").write_text(
        json.dumps({"channel_names": channels, "labels": {"background": 0, "lesion": 1}, "file_ending": ".png"})
    )
    for n in range(cases):
        mask = np.zeros(SIZE[::-1], np.uint8)
        mask[4 : 10 + n, 5:12] = 1
        draw(root / f"imagesTr/case_{n}_0000{image}", rng.integers(0, 200, (*mask.shape, 3)).astype(np.uint8))
        if n < cases - 1:
            draw(root / f"labelsTr/case_{n}{label}", mask)
    return root


def test_a_picture_in_colours_is_a_case_of_three_channels(tmp_path: Path) -> None:
    root = write_colours(tmp_path / "data", image=".jpg")
    found = check(root)
    first, second = found.cases
    assert (first.shape, first.spacing_mm, len(first.intensity)) == (SIZE, None, 3)
    assert first.label_voxels == (18 * 16 - 42, 42)
    assert second.label_voxels is None
    assert first.intensity[0] != first.intensity[1]


def test_a_dataset_may_hold_several_endings_and_labels_others_than_images(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, n_train=3, n_val=0, n_test=0, shape=(18, 16), subsets=())
    draw(root / "imagesTr/schräg und neu_0000.png", np.arange(288, dtype=np.uint8).reshape(16, 18))
    draw(root / "labelsTr/schräg und neu.png", (np.arange(288) % 3).astype(np.uint8).reshape(16, 18))
    (root / "labelsTr/case_001.nii.gz").unlink()
    draw(root / "labelsTr/case_001.png", np.ones((16, 18), np.uint8))
    (root / "splits/train.txt").unlink()
    (root / "splits/test.txt").unlink()
    (root / "splits/val.txt").unlink()
    cases = {case.id: case for case in check(root).cases}
    assert cases["schräg und neu"].label_voxels == (96, 96, 96)
    assert cases["case_001"].label_voxels == (0, 288, 0)
    assert len(cases) == 4


def test_images_of_another_number_of_channels(tmp_path: Path) -> None:
    root = write_colours(tmp_path / "data")
    draw(root / "imagesTr/case_1_0000.png", np.arange(288, dtype=np.uint8).reshape(16, 18))
    with pytest.raises(UserError, match=r"case_1_0000\.png holds 1 channel, dataset\.json names 3 \(R, G, B\)"):
        check(root)
    write_dataset(tmp_path / "grey", n_train=1, n_val=0, n_test=0, shape=(18, 16), subsets=())
    draw(
        tmp_path / "grey/imagesTr/a_0000.png", np.zeros((16, 18, 3), np.uint8) + np.arange(18, dtype=np.uint8)[:, None]
    )
    (tmp_path / "grey/splits/train.txt").unlink()
    with pytest.raises(UserError, match=r"a_0000\.png holds 3 channels, dataset\.json names 1 \(C0\)"):
        check(tmp_path / "grey")


def test_a_mask_of_another_size_and_a_mask_in_jpeg(tmp_path: Path) -> None:
    root = write_colours(tmp_path / "data")
    draw(root / "labelsTr/case_0.png", np.zeros((16, 17), np.uint8))
    with pytest.raises(UserError, match=r"case_0\.png lies on another grid.* shape \(17, 16\), not \(18, 16\)"):
        check(root)
    (root / "labelsTr/case_0.png").unlink()
    mask = np.zeros((16, 18), np.uint8)
    mask[4:9, 3:11] = 255
    draw(root / "labelsTr/case_0.jpg", mask)
    with pytest.raises(UserError, match=r"case_0\.jpg is a JPEG file, .*Save masks as PNG"):
        check(root)


def test_a_picture_that_a_note_turns_and_a_mask_or_channel_without_it_are_refused(tmp_path: Path) -> None:
    root = write_colours(tmp_path / "data")
    pixels = np.random.default_rng(0).integers(0, 200, (16, 18, 3)).astype(np.uint8)
    draw(root / "imagesTr/case_0_0000.png", pixels, turn=3)
    with pytest.raises(
        UserError, match=r"case_0_0000\.png has a note that turns it .*labelsTr/case_0\.png has another"
    ):
        check(root)
    draw(root / "labelsTr/case_0.png", np.eye(16, 18, dtype=np.uint8), turn=3)
    check(root)
    for n in range(3):
        draw(root / f"imagesTr/case_1_000{n}.png", pixels[:, :, n], turn=3 if n == 1 else 1)
    with pytest.raises(UserError, match=r"case_1_0001\.png has a note that turns it .*case_1_0000\.png has another"):
        check(root)


def test_what_nothing_claims_is_named(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, subsets=())
    strange = ("imagesTr/notes.txt", "imagesTs/b.gif", "labelsTs/old", "labelsTr/.hidden.nii.gz")
    for name in (*strange, "imagesTr/.DS_Store"):
        (root / name).touch()
    (root / "labelsTs/sub").mkdir()
    (warning,) = check(root).warnings
    assert warning.startswith("not used, as they are no scans of a known format: ")
    for name in (*strange, "labelsTs/sub"):
        assert name in warning
    assert "DS_Store" not in warning


def test_what_lies_in_the_folder_of_a_series_and_is_no_slice_is_named(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, subsets=())
    series = root / "imagesTs" / "case_005_0000"
    series.with_name("case_005_0000.nii.gz").unlink()
    (root / "labelsTs" / "case_005.nii.gz").unlink()
    write_series(series, np.random.default_rng(1).integers(0, 99, (16, 14, 4)).astype(np.int16))
    assert not [warning for warning in check(root).warnings if "not used" in warning]
    write_contours(series / "RS.dcm")
    (series / "notes.txt").touch()
    contours, others = [warning for warning in check(root).warnings if "case_005_0000/" in warning]
    assert "contours (RTSTRUCT) are not read" in contours
    assert others == "not used, as they are no scans of a known format: imagesTs/case_005_0000/notes.txt"


@pytest.mark.parametrize("name", ["case_001.gif", "case_001.nii.gz.bak", "sub"])
def test_in_the_folder_of_labels_it_is_an_error(tmp_path: Path, name: str) -> None:
    root = write_dataset(tmp_path)
    (root / "labelsTr" / name).mkdir() if name == "sub" else (root / "labelsTr" / name).touch()
    with pytest.raises(UserError, match=rf"labelsTr/{name} is no label by its name: use a file that ends in"):
        open_dataset(root)


def test_a_changed_data_file_of_a_pair_makes_the_fingerprint_stale(tmp_path: Path) -> None:
    import nibabel as nib

    from crossmatch.dataset.fingerprint import read_fresh

    root = write_dataset(tmp_path, n_train=1, n_val=0, n_test=0, subsets=())
    (root / "imagesTr/case_001_0000.nii.gz").unlink()
    image = nib.Nifti1Pair(np.arange(896, dtype=np.int16).reshape(16, 14, 4), np.diag([-1.5, -1.5, 8, 1]))
    image.header.set_xyzt_units("mm")
    nib.save(image, root / "imagesTr/case_001_0000.hdr")
    check(root)
    assert read_fresh(open_dataset(root)) is not None
    with (root / "imagesTr/case_001_0000.img").open("ab") as file:
        file.write(b"\0")
    assert read_fresh(open_dataset(root)) is None


def test_a_changed_data_file_of_any_name_makes_the_fingerprint_stale(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, n_train=1, n_val=0, n_test=0, subsets=())
    (root / "labelsTr/case_001.nii.gz").unlink()
    header = {
        "space": "LPS",
        "space directions": np.diag([1.5, 1.5, 8.0]),
        "space origin": [0, 0, 0],
        "encoding": "raw",
    }
    nrrd.write(str(root / "labelsTr/case_001.nhdr"), np.ones((16, 14, 4), np.uint8), header, detached_header=True)
    stated = (root / "labelsTr/case_001.nhdr").read_text()
    (root / "labelsTr/case_001.nhdr").write_text(stated.replace("case_001.raw", "drawn by anna.raw"))
    voxels = (root / "labelsTr/case_001.raw").rename(root / "labelsTr/drawn by anna.raw")
    before = check(root)
    voxels.write_bytes(bytes(16 * 14 * 4))
    after = load_fingerprint(open_dataset(root))
    assert (before.cases[0].label_voxels, after.cases[0].label_voxels) == ((0, 896, 0), (896, 0, 0))


def test_one_name_and_two_endings(tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    write_nifti(root / "imagesTr/case_001_0000.nii", np.zeros((16, 14, 4), np.int16))
    with pytest.raises(UserError, match=r"case_001_0000.* have one name and two endings: remove one"):
        open_dataset(root)


def test_a_folder_without_a_channel_number_is_named(tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    (root / "imagesTr/sub").mkdir()
    with pytest.raises(UserError, match=r"rename it to sub_0000, if it is a DICOM series, or remove it"):
        open_dataset(root)


def test_a_cropped_segmentation_of_slicer_is_a_label(tmp_path: Path) -> None:
    """Its segments are numbered otherwise than the labels, and its grid is a part of the scan's."""
    root = write_dataset(tmp_path, n_train=1, n_val=0, n_test=0, subsets=())
    (root / "labelsTr/case_001.nii.gz").unlink()
    drawn = np.zeros((4, 3, 2), np.uint8)
    drawn[:2], drawn[2:] = 2, 1
    directions = np.diag([1.5, 1.5, 8.0])  # LPS+: the axes of the scan
    header: dict[str, object] = {"space": "left-posterior-superior", "space directions": directions}
    header["space origin"] = np.array([5, 6, 1]) @ directions
    for n, (name, value) in enumerate((("RV", 2), ("MYO", 1))):
        header |= {f"Segment{n}_ID": name, f"Segment{n}_Name": name, f"Segment{n}_LabelValue": str(value)}
    nrrd.write(str(root / "labelsTr/case_001.seg.nrrd"), drawn, header)
    (case,) = check(root).cases
    assert case.label_voxels == (16 * 14 * 4 - 24, 12, 12)
    header["Segment1_Name"] = "vessel"
    nrrd.write(str(root / "labelsTr/case_001.seg.nrrd"), drawn, header)
    with pytest.raises(UserError, match=r"has the segments vessel, which are no labels \(background, RV, MYO\)"):
        check(root)
