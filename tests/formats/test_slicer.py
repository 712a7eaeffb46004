"""Segmentations of 3D Slicer: names, label values, layers, parts of a scan's grid, and what must be refused."""

from pathlib import Path

import nrrd
import numpy as np
import pytest

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import new_volume, same_grid

LABELS = {"background": 0, "liver": 1, "tumour": 2}
DIRECTIONS = np.diag([0.5, 0.75, 3.0])  # LPS+
AFFINE = np.diag([-0.5, -0.75, 3.0, 1.0])
LIVER, TUMOUR = np.zeros((2, 6, 5, 4), bool)
LIVER[1:4, 1:3, :2] = True
TUMOUR[4:6, 3:5, 2:] = True


def save(
    path: Path, voxels: np.ndarray, segments: list[tuple[str, int, int]], start: tuple[int, ...] = (0, 0, 0)
) -> Path:
    """Segments are (name, label value, layer); voxels (x, y, z), or (L, x, y, z) where there are several layers."""
    header: dict[str, object] = {
        "space": "left-posterior-superior",
        "space directions": DIRECTIONS,
        "space origin": np.array(start) @ DIRECTIONS,
        "kinds": ["domain"] * 3,
    }
    if voxels.ndim == 4:
        header["space directions"] = np.vstack([np.full(3, np.nan), DIRECTIONS])
        header["kinds"] = ["list", *["domain"] * 3]
    for n, (name, value, layer) in enumerate(segments):
        header |= {f"Segment{n}_ID": f"Segment_{n}", f"Segment{n}_Name": name, f"Segment{n}_LabelValue": str(value)}
        header[f"Segment{n}_Layer"] = str(layer)
    nrrd.write(str(path), voxels, header)
    return path


def layer(*parts: tuple[np.ndarray, int]) -> np.ndarray:
    return sum((mask * np.uint8(value) for mask, value in parts), np.zeros(LIVER.shape, np.uint8))


EXPECTED = layer((LIVER, 1), (TUMOUR, 2))


def test_segments_get_the_values_of_their_names(tmp_path: Path) -> None:
    """Slicer numbers segments in the order in which they were made, which differs from case to case."""
    assert formats.stem("case.seg.nrrd") == "case"
    path = save(tmp_path / "a.seg.nrrd", layer((LIVER, 2), (TUMOUR, 1)), [("Tumour", 1, 0), ("liver", 2, 0)])
    label = formats.read_label(path, labels=LABELS)
    np.testing.assert_array_equal(label.voxels, EXPECTED)
    np.testing.assert_array_equal(label.affine, AFFINE)
    np.testing.assert_array_equal(formats.read_label(path).voxels, layer((LIVER, 2), (TUMOUR, 1)))  # no names to go by


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("Segment_1", "Segment_4"), LABELS),
        (("segment 1", ""), LABELS),
        (("Label_1", "2"), LABELS),
        (("spleen", "kidney"), {"background": 0, "label_1": 1, "label 2": 2}),  # of an import, and of evaluate
    ],
)
def test_where_nobody_gave_names_the_values_stay(
    tmp_path: Path, names: tuple[str, str], labels: dict[str, int]
) -> None:
    path = save(tmp_path / "a.seg.nrrd", EXPECTED, [(name, value, 0) for value, name in enumerate(names, start=1)])
    np.testing.assert_array_equal(formats.read_label(path, labels=labels).voxels, EXPECTED)


def test_layers_are_flattened_where_they_do_not_overlap(tmp_path: Path) -> None:
    layers = np.stack([layer((LIVER, 1)), layer((TUMOUR, 1))])
    path = save(tmp_path / "a.seg.nrrd", layers, [("liver", 1, 0), ("tumour", 1, 1)])
    np.testing.assert_array_equal(formats.read_label(path, labels=LABELS).voxels, EXPECTED)
    assert formats.read_grid(path).shape == (6, 5, 4)
    layers[1][1, 1, 0] = 1
    save(path, layers, [("liver", 1, 0), ("tumour", 1, 1)])
    with pytest.raises(UserError, match=r"a\.seg\.nrrd has the segments liver and tumour overlapping in 1 voxels"):
        formats.read_label(path, labels=LABELS)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (
            [("liver", 1, 0), ("vessel", 2, 0)],
            r"has the segments vessel, which are no labels \(backgr",
        ),
        (
            [("spleen", 1, 0), ("Segment_2", 2, 0)],
            r"has the segments spleen, Segment_2, which are no labels \(background, liver, tumour\): rename or remove "
            r"them in 3D Slicer, or give the labels these names in dataset\.json",
        ),
        ([("Label_2", 1, 0), ("Label_1", 2, 0)], "has the segments Label_2, Label_1, which are no labels"),
        ([("liver", 1, 0), ("Liver", 1, 0)], "has the segments liver and Liver with one label value, 1: give every"),
        ([("liver", 1, 0)], "has voxels of a value that no segment has"),
        ([("liver", 1, 0), ("tumour", 2, 3)], "has 1 layers, and tumour lies on layer 3"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, segments: list[tuple[str, int, int]], message: str) -> None:
    with pytest.raises(UserError, match=rf"a\.seg\.nrrd {message}"):
        formats.read_label(save(tmp_path / "a.seg.nrrd", EXPECTED, segments), labels=LABELS)


def test_a_part_of_the_grid_is_padded_onto_it(tmp_path: Path) -> None:
    """As Slicer saves a segmentation by default: cropped to what is drawn."""
    part = (slice(1, 6), slice(1, 5), slice(0, 4))
    path = save(tmp_path / "a.seg.nrrd", EXPECTED[part], [("liver", 1, 0), ("tumour", 2, 0)], start=(1, 1, 0))
    scan = new_volume(np.zeros(EXPECTED.shape), AFFINE)
    label = formats.read_label(path, scan, LABELS)
    np.testing.assert_array_equal(label.voxels, EXPECTED)
    assert same_grid(label, scan, tolerance=0)
    assert formats.read_label_grid(path, scan).shape == EXPECTED.shape
    assert formats.read_label(path).shape == (5, 4, 4)


@pytest.mark.parametrize(
    "affine", [AFFINE @ np.diag([1, 1, 2, 1]), AFFINE + np.eye(4, k=3) * 0.2, np.diag([0.5, -0.75, 3, 1])], ids=str
)
def test_a_grid_that_is_no_part_stays_as_it_is(tmp_path: Path, affine: np.ndarray) -> None:
    """Other steps, between the voxels, flipped: the caller sees two grids and refuses them."""
    path = save(tmp_path / "a.seg.nrrd", EXPECTED[1:, 1:], [("liver", 1, 0), ("tumour", 2, 0)], start=(1, 1, 0))
    scan = new_volume(np.zeros(EXPECTED.shape), affine)
    assert formats.read_label(path, scan, LABELS).shape == (5, 4, 4)


def test_a_part_that_reaches_beyond_is_none(tmp_path: Path) -> None:
    path = save(tmp_path / "a.seg.nrrd", EXPECTED, [("liver", 1, 0), ("tumour", 2, 0)], start=(1, 0, 0))
    scan = new_volume(np.zeros(EXPECTED.shape), AFFINE)
    assert not same_grid(formats.read_label(path, scan, LABELS), scan)
