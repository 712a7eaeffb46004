"""The report of a run in 3D: which planes, which way up, and a page with planes, surfaces and notes."""

import json
import re

import numpy as np
import pytest

from crossmatch import formats
from crossmatch.formats import new_volume
from crossmatch.reports import overlays, slices, write_report
from crossmatch.scoring.evaluate import evaluate
from page import Page
from tiny import write_dataset
from untrained import untrained_run

RAS = np.diag([1.0, 1.0, 2.0, 1.0])  # axes to the right, the front, the head; 1 x 1 x 2 mm
LPS = np.diag([-1.0, -1.0, 2.0, 1.0])
# axes to the head, the right and the front: a scan stored in sagittal slices
SRA = np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [2, 0, 0, 0], [0, 0, 0, 1]])


def volume(affine, shape=(12, 12, 12)):
    return new_volume(np.zeros(shape, np.int16), affine)


def test_planes_by_the_affine():
    assert slices.planes(volume(RAS)) == {"Axial": 2, "Coronal": 1, "Sagittal": 0}
    assert list(slices.planes(volume(RAS))) == ["Axial", "Coronal", "Sagittal"]
    assert slices.planes(volume(SRA)) == {"Axial": 0, "Coronal": 2, "Sagittal": 1}
    assert slices.planes(volume(None)) == {"Across axis 3": 2, "Across axis 2": 1, "Across axis 1": 0}


def test_the_plane_goes_through_most_wrong_voxels():
    reference, prediction = np.zeros((2, 6, 8, 8), np.uint8)
    assert overlays.chosen_plane(reference, prediction) == (3, "the middle, no label")
    reference[2, :4, :4] = prediction[2, :4, :4] = 1
    reference[4, :2, :2] = prediction[4, :2, :2] = 1
    assert overlays.chosen_plane(reference, prediction) == (2, "largest reference, no wrong voxel")
    prediction[4, 0, 0] = 2
    assert overlays.chosen_plane(reference, prediction) == (4, "most wrong voxels")


@pytest.mark.parametrize("affine", [RAS, LPS, SRA])
def test_planes_show_the_patients_left_on_the_right(affine):
    """A box to the patient's left, front and head: in each plane where radiologists expect it, in millimetres."""
    scan = volume(affine)
    mask = np.zeros(scan.shape, np.uint8)
    world = np.moveaxis(np.indices(scan.shape), 0, -1) @ affine[:3, :3].T  # mm to the right, the front, the head
    middle = world.reshape(-1, 3).mean(0)
    mask[(world[..., 0] < middle[0]) & (world[..., 1] > middle[1]) & (world[..., 2] > middle[2])] = 1
    spread = {"Axial": (1, 1), "Coronal": (2, 1), "Sagittal": (2, 1)}  # height and width of a pixel, mm
    for name, axis in slices.planes(scan).items():
        stack, pixel = slices.upright(scan, axis)
        rows, columns = np.nonzero(stack(mask).any(0))
        assert pixel == spread[name]
        assert (rows.min(), rows.max()) == (0, 5), "front or head on top"
        expected = (0, 5) if name == "Sagittal" else (6, 11)  # the front on the left; the patient's left on the right
        assert (columns.min(), columns.max()) == expected


def test_figures_of_planes_are_cropped_in_true_proportions():
    scan = volume(RAS, (20, 30, 12))
    reference = np.zeros(scan.shape, np.uint8)
    reference[10:14, 10:20, 4:7] = 1
    prediction = reference.copy()
    prediction[13, 12:20, 5] = 0  # 8 of 120 voxels wrong, all in one slice of axes 1 and 3
    figures = overlays.plane_figures(scan, reference, prediction, {"LA": 1})
    texts = [re.search("<figcaption>(.*)</figcaption>", figure)[1] for figure in figures]
    # in z = 5 prediction 32 of 40 voxels, in y = 12 11 of 12, in x = 13 22 of 30
    assert texts == [
        "Axial, 6 of 12, Dice 89 % (most wrong voxels)",
        "Coronal, 13 of 30, Dice 96 % (most wrong voxels)",
        "Sagittal, 14 of 20, Dice 85 % (most wrong voxels)",
    ]
    boxes = [re.search('viewBox="0 0 (.*?) (.*?)"', figure).groups() for figure in figures]
    # the longest side with a margin of 35 %: 10 x 1.35 of 1 mm; 6 x 1.35 = 8.1 mm are 4 voxels of 2 mm and 8 of 1 mm
    assert boxes == [("14", "14"), ("8", "8"), ("14", "14")]


@pytest.fixture
def run(tmp_path):
    """A run in 3D with four evaluated cases: 005 is perfect, the prediction of 008 is empty."""
    data = write_dataset(tmp_path / "data", n_test=4, shape=(18, 16, 8))
    run = untrained_run(tmp_path / "run", data, "data.size=[16, 16, 16]")
    for missing, path in zip((0, 2, 4, 8), sorted((data / "labelsTs").iterdir()), strict=True):
        like = formats.read(path)
        voxels = like.voxels.copy()
        voxels[:, :, 8 - missing :] = 0
        formats.write(run.folder / "test" / path.name, voxels, like)
    evaluate(run.folder / "test", data / "labelsTs", run.folder / "test")
    return run


def test_the_page_shows_planes_and_surfaces(run):
    page = Page(write_report(run.folder))
    assert re.findall(r"(Best|Median|Worst): (case_\d+)", page.text) == [
        ("Best", "case_005"),
        ("Median", "case_006"),
        ("Worst", "case_008"),
    ]
    for name in ("Axial", "Coronal", "Sagittal"):
        assert page.text.count(f"{name}, ") == 3
    assert sum(attrs.get("class") == "overlay" for _, attrs in page.tags) == 9
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    # two classes: three pictures each of the best and the median case, of the worst only the reference
    assert len(pictures) == 2 * 3 * 2 + 2
    assert all(attrs["src"].startswith("data:image/png;base64,") and attrs["alt"] for attrs in pictures)
    assert page.text.count("MYO: the prediction has no voxel of it, Dice 0.0 %.") == 1
    summary = json.loads((run.folder / "test" / "summary.json").read_text())["summary"]["classes"]
    assert f"{summary['RV']['hd95_mm']['mean']:.3g} mm and more" in page.text
    assert not page.open, "a tag is left open"
    assert (run.folder / "report.html").stat().st_size < 1_500_000


def test_missing_files_give_a_note(run):
    (run.folder / "test" / "case_006.nii.gz").unlink()
    page = Page(write_report(run.folder))
    assert "No picture of case_006 (median): there is no mask" in page.text
    assert sum(attrs.get("class") == "overlay" for _, attrs in page.tags) == 6


def test_slices_learned_in_2d_have_no_surface(tmp_path):
    data = write_dataset(tmp_path / "data")
    run = untrained_run(tmp_path / "run", data)
    label = formats.read(data / "labelsTs" / "case_005.nii.gz")
    formats.write(run.folder / "test" / "case_005.nii.gz", label.voxels, label)
    evaluate(run.folder / "test", data / "labelsTs", run.folder / "test")
    page = Page(write_report(run.folder))
    assert "Slice 1 of 4" in page.text
    assert "Axial" not in page.text
    assert not any(tag == "img" for tag, _ in page.tags)
