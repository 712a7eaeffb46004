"""The viewer's cases inside a page: whole, cut around their masks, or left out; what is said of them; their voxels."""

import base64
import json
import re

import numpy as np
import pytest
from written_runs import log, write_predictions, write_run

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import new_volume
from crossmatch.reports import viewer, write_report
from crossmatch.reports.viewer import Viewer
from tiny import write_dataset

AFFINE = np.array([[2.0, 0, 0, 5], [0, 2, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])


def stored(found: Viewer, name: str, tmp_path):
    """A volume of the first case as a reader sees it."""
    path = tmp_path / "voxels.nii.gz"
    path.write_bytes(base64.b64decode(found.cases[0]["volumes"][name]))
    return formats.read(path)


@pytest.fixture
def scan():
    return new_volume(np.random.default_rng(0).integers(0, 900, (50, 40, 30)).astype(np.int16), AFFINE)


@pytest.fixture
def mask():
    found = np.zeros((50, 40, 30), np.uint8)
    found[20:25, 15:20, 10:14] = 2
    return found


def test_a_small_case_is_taken_in_whole(scan, mask, tmp_path):
    found = Viewer({"RV": 1, "LV": 2})
    assert found.add("a", scan, {"prediction": mask}) == '<div class="viewer-place" data-case="0"></div>'
    image, labels = stored(found, "scan", tmp_path), stored(found, "prediction", tmp_path)
    np.testing.assert_array_equal(labels.voxels, mask)
    np.testing.assert_allclose(image.affine, AFFINE)
    assert image.voxels.dtype == np.uint8
    assert (image.voxels.min(), image.voxels.max()) == (0, 255)


def test_a_large_one_is_cut_around_its_masks_and_keeps_its_place(scan, mask, tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "MOST_OF_A_CASE", 40_000)
    found = Viewer({"RV": 1, "LV": 2})
    assert found.add("a", scan, {"prediction": mask})
    labels = stored(found, "prediction", tmp_path)
    np.testing.assert_array_equal(labels.voxels, mask[10:35, 5:30, 0:24])
    np.testing.assert_allclose(labels.affine[:3, 3], [5 + 2 * 10, 6 + 2 * 5, 7])
    assert found.cases[0]["about"] == "the part around the masks"


def test_what_is_too_large_or_flat_is_left_out_and_said(scan, mask, monkeypatch):
    monkeypatch.setattr(viewer, "MOST_OF_ALL", 100)
    found = Viewer({"RV": 1})
    assert found.add("a", scan, {"prediction": mask}) == ""
    assert found.add("b", new_volume(scan.voxels[..., 0]), {"prediction": mask[..., 0]}) == ""
    assert [note.split(" is ")[0] for note in found.told()] == ["a", "b"]
    assert found.content() == ([], ())


def test_the_page_states_its_size_and_stays_within_bounds(tmp_path):
    data = write_dataset(tmp_path / "data", n_train=3, n_val=1, n_test=4, unlabelled=1)
    run = write_run(tmp_path / "run", data, log())
    write_predictions(data, run / "new")
    plain = write_report(run, predictions=run / "new").stat().st_size
    page = write_report(run, predictions=run / "new", viewer=True)
    size = page.stat().st_size - plain
    said = float(re.search(r"its 3 cases take ([\d.]+) MB", page.read_text())[1])
    assert said == pytest.approx(size / 1e6, abs=0.1)
    block = json.loads(re.search('class="volumes">(.*?)</script>', page.read_text())[1])
    assert [label["name"] for label in block["labels"]] == ["RV", "MYO"]
    assert "Copyright" in page.read_text(), "licences of what is inside"


def test_the_viewer_is_for_one_run(tmp_path):
    from crossmatch.cli.pages import report

    with pytest.raises(UserError, match="--viewer are for the page of one run"):
        report([tmp_path, tmp_path / "b"], viewer=True)
