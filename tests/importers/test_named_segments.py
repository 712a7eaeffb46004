"""Labels that name their segments: `import folder` takes the names, though values differ from case to case."""

from pathlib import Path

import nrrd
import numpy as np
import pytest

from command import call
from crossmatch import formats
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.orientation import read_label
from crossmatch.errors import UserError
from crossmatch.importers.proposal import propose_import
from crossmatch.importers.wishes import Wishes
from folder_files import imported

SHAPE, SPACING = (8, 7, 5), np.diag([0.5, 0.75, 3.0])
LIVER, TUMOUR = (slice(2, 4), slice(1, 5), slice(1, 3)), (slice(4, 6), slice(2, 5), slice(1, 4))
BOX = (slice(1, 7), slice(1, 6), slice(1, 4))  # what is left of a label when it is cropped


def scan(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).integers(0, 99, SHAPE).astype(np.int16)
    nrrd.write(str(path), voxels, {"space": "left-posterior-superior", "space directions": SPACING})
    return path


def segmentation(path: Path, *segments: tuple[str, int, tuple[slice, ...]], cropped: bool = True) -> Path:
    """Write a segmentation of (name, label value, place); cropped as 3D Slicer does."""
    voxels = np.zeros(SHAPE, np.uint8)
    header: dict[str, object] = {"space": "left-posterior-superior", "space directions": SPACING}
    for n, (name, value, place) in enumerate(segments):
        voxels[place] = value
        header |= {f"Segment{n}_ID": f"S{n}", f"Segment{n}_Name": name, f"Segment{n}_LabelValue": str(value)}
    if cropped:
        voxels, header["space origin"] = voxels[BOX], np.array([1, 1, 1]) @ SPACING
    nrrd.write(str(path), voxels, header)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three patients; the second one's segments have other values and spellings, the third one lacks a segment."""
    root = tmp_path / "raw"
    for n, name in enumerate(("anna", "bert", "carl")):
        scan(root / name / "mr.nrrd", n)
    segmentation(root / "anna" / "Segmentation.seg.nrrd", ("liver", 1, LIVER), ("tumour", 2, TUMOUR))
    segmentation(root / "bert" / "Segmentation.seg.nrrd", ("Tumour", 1, TUMOUR), ("Liver", 2, LIVER))
    segmentation(root / "carl" / "Segmentation.seg.nrrd", ("liver", 3, LIVER))
    return root


def drawn(dataset_root: Path, case: str) -> np.ndarray:
    """The label of a case on its scan, as a training reads it."""
    dataset = open_dataset(dataset_root)
    found = next(one for one in dataset.cases if one.id == case)
    return read_label(found.label, formats.read_channels(found.images)[0], dataset.drawn).voxels


def expected(liver: int, tumour: int) -> np.ndarray:
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[LIVER], voxels[TUMOUR] = liver, tumour
    return voxels


def test_names_become_labels(source: Path, tmp_path: Path) -> None:
    proposal = propose_import(source, Wishes())
    assert proposal.values.labels == {"background": 0, "liver": 1, "tumour": 2}
    assert "Labels are the segments' names: liver (3 of 3 files), tumour (2 of 3 files)" in proposal.remarks
    imported(source, tmp_path / "out")
    for case, tumour in (("anna", 2), ("bert", 2), ("carl", 0)):
        np.testing.assert_array_equal(drawn(tmp_path / "out", case), expected(1, tumour))


def test_a_segment_named_ignore_is_left_out(source: Path, tmp_path: Path) -> None:
    segmentation(source / "anna" / "Segmentation.seg.nrrd", ("Ignore", 1, TUMOUR), ("liver", 2, LIVER))
    dataset = imported(source, tmp_path / "out")
    assert (dataset.labels, dataset.ignore) == ({"background": 0, "liver": 1, "Tumour": 2}, 3)
    np.testing.assert_array_equal(drawn(tmp_path / "out", "anna"), expected(1, 3))


def test_a_map_of_the_user_is_by_value(source: Path, tmp_path: Path) -> None:
    """Each file's own values then count, and the dataset does not read the names again; a crop is filled up."""
    dataset = imported(source, tmp_path / "out", values={3: 1}, names={1: "tumour", 2: "liver"})
    assert dataset.labels == {"background": 0, "tumour": 1, "liver": 2}
    np.testing.assert_array_equal(drawn(tmp_path / "out", "anna"), expected(1, 2))
    np.testing.assert_array_equal(drawn(tmp_path / "out", "bert"), expected(2, 1))
    assert {path.suffix for path in (tmp_path / "out" / "labelsTr").iterdir()} == {".gz"}


def test_beside_labels_without_names_the_values_have_to_agree(source: Path, tmp_path: Path) -> None:
    for case in ("bert", "carl"):
        (source / case / "Segmentation.seg.nrrd").unlink()
    like = formats.read(source / "carl" / "mr.nrrd")
    formats.write(source / "carl" / "carl_seg.nii.gz", expected(1, 2), like=like)
    imported(source, tmp_path / "out")
    for case in ("anna", "carl"):
        np.testing.assert_array_equal(drawn(tmp_path / "out", case), expected(1, 2))
    segmentation(source / "bert" / "Segmentation.seg.nrrd", ("Tumour", 1, TUMOUR), ("Liver", 2, LIVER))
    with pytest.raises(
        UserError, match=r"carl_seg\.nii\.gz does not name its labels.*Tumour is 2 in .*anna.* and 1 in"
    ):
        propose_import(source, Wishes())


def test_segments_that_overlap_leave_their_case_out(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = np.vstack([np.full(3, np.nan), SPACING])
    layers = np.zeros((2, *SHAPE), np.uint8)
    layers[0][LIVER], layers[1][LIVER] = 1, 1
    header: dict[str, object] = {"space": "left-posterior-superior", "space directions": steps}
    header["kinds"] = ["list", *["domain"] * 3]
    for n, name in enumerate(("liver", "tumour")):
        header |= {f"Segment{n}_ID": f"S{n}", f"Segment{n}_Name": name, f"Segment{n}_LabelValue": "1"}
        header[f"Segment{n}_Layer"] = str(n)
    nrrd.write(str(source / "bert" / "Segmentation.seg.nrrd"), layers, header)
    code, _, err = call(capsys, "import", "folder", source, tmp_path / "out")
    told = " ".join(err.split())
    assert code == 2
    assert "1 left out: - bert: " in told
    assert "has the segments liver and tumour overlapping in 16 voxels" in told
    assert {case.id for case in open_dataset(tmp_path / "out").cases} == {"anna", "carl"}
