"""Pancreas-CT as the community's HDF5 files: kept as they are, variant A only."""

import numpy as np
import pytest

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.importers.pancreas import import_pancreas
from pair_files import write_pair


def test_the_community_form_is_kept_as_it_is(tmp_path):
    image = np.random.default_rng(2).normal(size=(9, 8, 7)).astype(np.float32)
    label = (image > 1).astype(np.float32)
    for number in ("0057", "0025"):
        write_pair(tmp_path / "src" / "Pancreas_h5" / f"image{number}_norm.h5", image + int(number), label)
    told: list[str] = []
    dataset = import_pancreas(tmp_path / "src", tmp_path / "out", "A", tell=told.append)
    assert [(case.id, case.split) for case in dataset.cases] == [("pancreas_0057", "train"), ("pancreas_0025", "test")]
    found, written = (formats.read(path) for path in (dataset.cases[0].images[0], dataset.cases[0].label))
    np.testing.assert_array_equal(found.voxels, image + 57)
    np.testing.assert_array_equal(written.voxels, label)
    assert (written.voxels.dtype, found.spacing_mm) == (np.uint8, (1.0, 1.0, 1.0))
    assert "its test set is not free of training scans" in told[0]
    with pytest.raises(UserError, match=r"are variant A.*import them as A, or make B from TCIA's DICOM"):
        import_pancreas(tmp_path / "src", tmp_path / "other", "B")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("other", ["", "data"])
def test_a_scan_in_two_folders_is_refused(tmp_path, other):
    for folder in (other, "Pancreas_h5"):
        write_pair(tmp_path / "src" / folder / "image0057_norm.h5", np.eye(3), np.eye(3))
    with pytest.raises(UserError, match=r"holds pancreas_0057 twice, in .*image0057_norm\.h5 and .*image0057_norm\.h5"):
        import_pancreas(tmp_path / "src", tmp_path / "out", "A")


def test_values_that_are_no_labels_are_refused(tmp_path):
    write_pair(tmp_path / "image0057_norm.h5", np.ones((4, 3, 2)), np.full((4, 3, 2), 2.0))
    with pytest.raises(UserError, match=r"image0057_norm\.h5 holds values in 'label' that are no labels"):
        import_pancreas(tmp_path, tmp_path / "out", "A")
