"""LA from both of its forms: what is written, and what is said."""

import nrrd
import numpy as np
import pytest

from crossmatch import formats
from crossmatch.dataset.check import load_fingerprint
from crossmatch.importers.la import crop_box, import_la, standard_lists
from la_files import FIFTH, FIRST, SECOND, TEST, write_challenge, write_community, write_label


def test_the_standard_lists():
    lists = standard_lists()
    assert {name: len(cases) for name, cases in lists.items()} == {
        "train": 80,
        "test": 20,
        "train_4_label": 4,
        "train_8_label": 8,
        "train_16_label": 16,
    }
    assert len({*lists["train"], *lists["test"]}) == 100
    assert (lists["train"][0], lists["train"][1], lists["train"][4]) == (FIRST, SECOND, FIFTH)
    assert lists["test"][0] == TEST
    for count in (4, 8, 16):
        assert lists[f"train_{count}_label"] == lists["train"][:count]


@pytest.mark.parametrize("count", [4, 8, 16])
def test_what_is_not_labelled_is_the_true_complement(tmp_path, count):
    """The released list of unlabelled scans beside the 16 labelled ones repeated 12 of those and lacked 12 others."""
    lists = standard_lists()
    for name in lists["train"][: count + 2]:
        write_community(tmp_path / "src" / name, seed=1)
    labelled, unlabelled = import_la(tmp_path / "src", tmp_path / "out").labelled(str(count))
    assert [case.id for case in labelled] == lists["train"][:count]
    assert [case.id for case in unlabelled] == lists["train"][count : count + 2]
    assert {case.label for case in unlabelled} == {None}


def test_the_community_form(tmp_path):
    """Values as they are, the stated spacing, axes to the left, back and top; scans lie in a folder of their own."""
    source = tmp_path / "src" / "LA" / "data" / "2018LA_Seg_Training Set"
    image, label = write_community(source / FIRST, seed=1)
    write_community(source / FIFTH, seed=2)
    write_community(source / TEST, seed=3)
    write_community(source / "NOTONTHELISTS", seed=4)
    (source / "train.list").write_text("something else\n")
    told: list[str] = []
    steps: list[tuple[int, int]] = []
    dataset = import_la(tmp_path / "src", tmp_path / "out", lambda *at: steps.append(at), told.append)
    assert [case.id for case in dataset.split("train")] == [FIRST, FIFTH]
    assert [case.id for case in dataset.split("test")] == [TEST]
    assert [case.id for case in dataset.labelled("4")[0]] == [FIRST]
    assert [case.id for case in dataset.labelled("8")[0]] == [FIRST, FIFTH]
    assert (dataset.name, dataset.labels) == ("LA", {"background": 0, "LA": 1})
    for path, voxels in ((dataset.cases[0].images[0], image), (dataset.cases[0].label, label)):
        stored = formats.read(path)
        np.testing.assert_array_equal(stored.voxels, voxels)
        assert stored.voxels.dtype == voxels.dtype
        np.testing.assert_array_equal(stored.affine, np.diag([-0.625, -0.625, 0.625, 1]))
        assert stored.spacing_mm == (0.625, 0.625, 0.625)
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert "mri_norm2.h5 has no spacing: 0.625 mm along all axes is written" in told[0]
    assert told[1] == "scans left out, not of the usual 100: 1 (NOTONTHELISTS)"
    assert "78 of 80 in train, 19 of 20 in test, 3 of 4 in train_4_label" in told[2]
    assert len(load_fingerprint(dataset).cases) == 3


def test_a_label_with_other_axes_is_turned_onto_its_scan(tmp_path):
    """The challenge's form, the label stored with its rows reversed."""
    write_challenge(tmp_path / "straight" / FIRST, seed=1)
    write_challenge(tmp_path / "turned" / FIRST, seed=1)
    path = tmp_path / "turned" / FIRST / "laendo.nrrd"
    voxels, header = nrrd.read(str(path))
    header["space directions"] = header["space directions"] * [[1], [-1], [1]]
    header["space origin"] = np.array([-40.0, -50.0 + 169 * 0.625, 60.0])
    nrrd.write(str(path), voxels[:, ::-1], header)
    straight, turned = (
        formats.read(import_la(tmp_path / name, tmp_path / f"{name}_out").cases[0].label)
        for name in ("straight", "turned")
    )
    np.testing.assert_array_equal(straight.voxels, turned.voxels)


def test_the_challenge_form(tmp_path):
    """Normalised over the whole scan before it is cropped; the world coordinates of what is left stay."""
    whole = write_challenge(tmp_path / "src" / "Training Set" / FIRST, seed=1)
    told: list[str] = []
    dataset = import_la(tmp_path / "src", tmp_path / "out", tell=told.append)
    image, label = formats.read(dataset.cases[0].images[0]), formats.read(dataset.cases[0].label)
    # x: 10 voxels are widened by 51 on both sides to 112, then margins 11 and 10; y: margin 19 is cut to 10, then 18.
    expected = (whole.astype(np.float64) - whole.mean()) / whole.std()
    np.testing.assert_allclose(image.voxels, expected[8:141, 0:158], rtol=1e-5, atol=1e-6)
    assert image.voxels.dtype == np.float32
    assert (label.voxels.dtype, int(label.voxels.sum())) == (np.uint8, 10 * 130 * 3)
    assert label.voxels[62:72, 10:140].all()
    np.testing.assert_allclose(
        image.affine, [[-0.625, 0, 0, 40 - 8 * 0.625], [0, -0.625, 0, 50], [0, 0, 0.625, 60], [0, 0, 0, 1]]
    )
    np.testing.assert_array_equal(label.affine, image.affine)
    assert image.spacing_mm == (0.625, 0.625, 0.625)
    assert len(told) == 1
    assert "79 of 80 in train" in told[0]


def test_the_crop_is_a_function_of_the_name():
    """SHA-256 of the two names begins 33 be 63 12 and 48 38 d8 67: margins 11, 10, 19, 18 and 12, 16, 16, 13."""
    label = np.zeros((300, 300, 5), np.uint8)
    label[100, 150, 2] = label[219, 90, 4] = 1  # 120 x 61 voxels: the 61 are widened by 26 on both sides
    everything = slice(0, 5)
    assert crop_box(label, FIRST) == (slice(89, 230), slice(45, 195), everything)
    assert crop_box(label, SECOND) == (slice(88, 236), slice(48, 190), everything)
    margins = set()
    for name in (name for cases in standard_lists().values() for name in cases):
        x, y, _ = crop_box(label, name)
        margins |= {100 - x.start, x.stop - 220, 64 - y.start, y.stop - 177}
    assert margins == set(range(10, 20))


def test_a_hair_between_the_grids_is_accepted(tmp_path):
    write_challenge(tmp_path / "src" / FIRST, seed=1)
    write_label(tmp_path / "src" / FIRST, space_origin=[-40.0 + 0.625e-5, -50.0, 60.0])
    dataset = import_la(tmp_path / "src", tmp_path / "out")
    grids = [formats.read(path).affine for path in (dataset.cases[0].images[0], dataset.cases[0].label)]
    np.testing.assert_array_equal(grids[0], grids[1])


def test_a_scan_without_geometry_keeps_an_unknown_spacing(tmp_path):
    write_challenge(tmp_path / "src" / FIRST, seed=1)
    for name in ("lgemri.nrrd", "laendo.nrrd"):
        path = tmp_path / "src" / FIRST / name
        nrrd.write(str(path), nrrd.read(str(path))[0], {})
    assert formats.read(import_la(tmp_path / "src", tmp_path / "out").cases[0].images[0]).spacing_mm is None


def test_other_values_in_a_label_are_said(tmp_path):
    write_challenge(tmp_path / "src" / FIRST, seed=1)
    path = str(tmp_path / "src" / FIRST / "laendo.nrrd")
    label, header = nrrd.read(path)
    label = label.copy()
    label[0, 0, 0] = 7
    nrrd.write(path, label, header)
    told: list[str] = []
    dataset = import_la(tmp_path / "src", tmp_path / "out", tell=told.append)
    assert any(f"{FIRST}/laendo.nrrd also holds 7; only 255 is the atrium" in remark for remark in told)
    assert int(formats.read(dataset.cases[0].label).voxels.sum()) == 10 * 130 * 3


def test_where_both_forms_lie_in_one_folder_the_community_one_counts(tmp_path):
    """UA-MT's preprocessing writes its file beside the challenge's."""
    write_challenge(tmp_path / "src" / FIRST, seed=1)
    image, _ = write_community(tmp_path / "made" / FIRST, seed=2)
    (tmp_path / "made" / FIRST / "mri_norm2.h5").rename(tmp_path / "src" / FIRST / "mri_norm2.h5")
    told: list[str] = []
    dataset = import_la(tmp_path / "src", tmp_path / "out", tell=told.append)
    np.testing.assert_array_equal(formats.read(dataset.cases[0].images[0]).voxels, image)
    assert any("the lgemri.nrrd files beside them are not read" in remark for remark in told)
