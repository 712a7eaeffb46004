"""Pancreas-CT, both variants and both forms: tiny files in exactly those layouts, values worked out by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from crossmatch import formats
from crossmatch.dataset.check import load_fingerprint
from crossmatch.errors import UserError
from crossmatch.formats import new_volume
from crossmatch.importers.pancreas import crop, import_pancreas, standard_lists
from pancreas_files import scan_voxels, write_scan
from tiny import write_nifti
from tiny_dicom import edit


def test_the_standard_lists():
    lists = {variant: standard_lists(variant) for variant in ("A", "B")}
    for variant, sizes in (("A", (62, 20)), ("B", (62, 18))):
        names = lists[variant]
        assert {name: len(cases) for name, cases in names.items()} == {
            "train": sizes[0], "test": sizes[1], "train_6_label": 6, "train_12_label": 12,
        }  # fmt: skip
        assert names["train"][:6] == names["train_6_label"]
        assert names["train"][:12] == names["train_12_label"]
    scans = {f"pancreas_{n:04d}" for n in range(1, 83)}
    assert sorted(lists["A"]["train"] + lists["A"]["test"]) == sorted(scans)
    assert sorted(lists["B"]["train"] + lists["B"]["test"]) == sorted(scans - {"pancreas_0025", "pancreas_0070"})
    assert lists["A"]["train"][:3] == ["pancreas_0057", "pancreas_0018", "pancreas_0062"]  # MC-Net's order
    assert lists["A"]["test"][0] == "pancreas_0050"
    assert lists["B"]["train"][0] == "pancreas_0001"
    assert lists["B"]["test"][0] == "pancreas_0064"


def test_variant_a(tmp_path):
    """1 mm scans: cut in x and y to 25 voxels around the label, at least 96 + 50; z-score over what is left."""
    hu = np.random.default_rng(1).integers(-1000, 400, (200, 180, 4))
    label = np.zeros(hu.shape, np.uint8)
    label[40:150, 20:23, 1:3] = 1  # 110 voxels wide in x; y is grown, and moved to stay inside
    write_scan(tmp_path / "src", "0057", hu, label)
    write_scan(tmp_path / "src", "0050", *scan_voxels((20, 20, 4)))
    told: list[str] = []
    steps: list[tuple[int, int]] = []
    dataset = import_pancreas(tmp_path / "src", tmp_path / "out", "A", lambda *at: steps.append(at), told.append)
    assert [(case.id, case.split) for case in dataset.cases] == [("pancreas_0057", "train"), ("pancreas_0050", "test")]
    assert dataset.labels == {"background": 0, "pancreas": 1}
    image, written = (formats.read(path) for path in (dataset.cases[0].images[0], dataset.cases[0].label))
    cut = hu[15:175, :146].clip(-125, 275)
    assert (image.voxels.dtype, written.voxels.dtype) == (np.float32, np.uint8)
    np.testing.assert_allclose(image.voxels, (cut - cut.mean()) / cut.std(), atol=1e-5)
    np.testing.assert_array_equal(written.voxels, label[15:175, :146])
    np.testing.assert_allclose(
        image.affine, [[-1, 0, 0, 45], [0, -1, 0, 50], [0, 0, 1, 30], [0, 0, 0, 1]]
    )  # the first column kept is number 15: 60 - 15 = 45
    assert formats.read(dataset.cases[1].images[0]).shape == (20, 20, 4)  # smaller than the least: whole
    assert steps == [(1, 2), (2, 2)]
    assert any("61 of 62 in train, 19 of 20 in test" in remark for remark in told)
    description = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert description["name"] == "Pancreas-CT A"
    assert description["reference"] == "doi:10.7937/K9/TCIA.2016.tNB1kqBU"
    assert description["channel_names"] == {"0": "CT"}
    assert len(load_fingerprint(dataset).cases) == 2


def test_variant_a_is_resampled_to_1_mm(tmp_path):
    """Columns 2 mm, rows 0.5 mm, slices 3 mm apart; rows are averaged in pairs, the label is repeated or thinned."""
    hu, label = scan_voxels((12, 20, 4))
    hu = np.repeat(hu[:, ::2], 2, axis=1)  # pairs of rows are equal, so their mean is known
    label = np.repeat(label[:, ::2], 2, axis=1)
    write_scan(tmp_path / "src", "0057", hu, label, spacing=(2.0, 0.5), step=3.0)
    case = import_pancreas(tmp_path / "src", tmp_path / "out", "A").cases[0]
    image, written = formats.read(case.images[0]), formats.read(case.label)
    assert image.shape == (24, 10, 12)
    assert image.spacing_mm == pytest.approx((1, 1, 1))
    np.testing.assert_array_equal(written.voxels, label[:, ::2].repeat(2, axis=0).repeat(3, axis=2))
    np.testing.assert_allclose(image.affine[:3, 3], [60.5, 49.75, 29])  # outer borders stay: 61 | 50.25 | 28.5
    centres = [(np.arange(24) + 0.5) / 2 - 0.5, np.arange(10), (np.arange(12) + 0.5) / 3 - 0.5]
    at = np.meshgrid(*centres, indexing="ij")
    values = map_coordinates(hu[:, ::2].astype(float), at, order=1, mode="nearest").clip(-125, 275)
    np.testing.assert_allclose(image.voxels, (values - values.mean()) / values.std(), atol=1e-4)


def test_variant_b(tmp_path):
    """Rows 0.5 mm apart halve all three axes; the header keeps the true distance; min-max of the whole scan."""
    hu, label = scan_voxels((20, 24, 4))
    blocks = hu.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    larger = np.kron(label, np.ones((2, 2, 2), np.uint8))
    write_scan(tmp_path / "src", "0001", blocks, larger, spacing=(0.5, 0.5), step=2.0)
    for number in ("0025", "0064"):
        write_scan(tmp_path / "src", number, *scan_voxels((8, 8, 4), seed=int(number)))
    told: list[str] = []
    dataset = import_pancreas(tmp_path / "src", tmp_path / "out", "B", tell=told.append)
    assert [(case.id, case.split) for case in dataset.cases] == [("pancreas_0001", "train"), ("pancreas_0064", "test")]
    image, written = (formats.read(path) for path in (dataset.cases[0].images[0], dataset.cases[0].label))
    np.testing.assert_allclose(image.voxels, (hu.clip(-125, 275) + 125) / 400, atol=1e-6)
    np.testing.assert_array_equal(written.voxels, label)
    assert image.spacing_mm == pytest.approx((1, 1, 4))
    assert image.voxels.dtype == np.float32
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["name"] == "Pancreas-CT B"
    assert told[0].startswith("pancreas_0025 show")


def test_the_crop():
    """Both sides of the box, the scan's borders, a least extent, axes left whole; world places stay."""
    label = np.zeros((200, 200, 60), np.uint8)
    label[100:111, 10:30, 20:22] = 1
    image = new_volume(np.arange(label.size, dtype=np.float32).reshape(label.shape), np.diag([2.0, 1, 3, 1]))
    cut, found = crop(image, label, axes=(0, 1, 2), least=0)
    assert found.shape == (25 + 11 + 25, 30 + 25, 22 + 25)
    np.testing.assert_array_equal(cut.voxels, image.voxels[75:136, :55, :47])
    np.testing.assert_array_equal(cut.affine[:3, 3], [150, 0, 0])
    cut, found = crop(image, label, axes=(0, 1, 2), least=96)
    np.testing.assert_array_equal(cut.voxels, image.voxels[58:154, :96, :60])  # 35 more in x: 17 below, 18 above
    cut, found = crop(image, label, axes=(0, 1), least=0)
    np.testing.assert_array_equal(cut.voxels, image.voxels[75:136, :55])
    np.testing.assert_array_equal(found, label[75:136, :55])
    cut, _ = crop(image, label[::-1, ::-1], axes=(1,), least=96)
    np.testing.assert_array_equal(cut.voxels, image.voxels[:, 104:])


def test_labels_with_impossible_headers_and_other_folders(tmp_path):
    """Scans at the top, labels in labels/; slices of the label by instance number; one remark for all of them."""
    hu, label = scan_voxels((12, 10, 6))
    for number in ("0001", "0002"):
        series = write_scan(tmp_path / "src", number, hu, label, header=np.eye(4), step=2.0, labels="labels")
        for path in series.iterdir():
            edit(path, InstanceNumber=100 - int(path.stem[2:]))
        (series.parent.parent).rename(tmp_path / "src" / f"PANCREAS_{number}")
    write_scan(tmp_path / "src", "0003", hu, label)
    (tmp_path / "src" / "TCIA_pancreas_labels-02-05-2017" / "label0003.nii.gz").unlink()
    told: list[str] = []
    dataset = import_pancreas(tmp_path / "src", tmp_path / "out", "B", tell=told.append)
    assert [case.id for case in dataset.cases] == ["pancreas_0001", "pancreas_0002"]
    written = formats.read(dataset.cases[0].label)
    np.testing.assert_array_equal(written.voxels, label[:, :, ::-1])
    assert written.spacing_mm == pytest.approx((1, 1, 2))
    assert told[0].startswith("PANCREAS_0003 is left out: label0003.nii.gz is not in")
    remarks = [remark for remark in told if "k-th instance number" in remark]
    assert [remark.split(" have ")[0] for remark in remarks] == ["the labels of 2 scans (pancreas_0001, pancreas_0002)"]


@pytest.mark.parametrize(
    ("twice", "message"),
    [
        (
            "Pancreas-CT/PANCREAS_0057",
            "holds PANCREAS_0057 twice, in .*/src/PANCREAS_0057 and .*/src/Pancreas-CT/PANCREAS",
        ),
        ("labels/label0057.nii.gz", r"holds label0057\.nii\.gz twice, in .*/src/label0057.* and .*/labels/label0057"),
    ],
)
def test_what_lies_in_two_folders_is_refused(tmp_path, twice, message):
    write_scan(tmp_path / "src", "0057", *scan_voxels((12, 10, 6)), labels="labels")
    path = tmp_path / "src" / twice
    (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / "src" / path.name)
    with pytest.raises(UserError, match=message):
        import_pancreas(tmp_path / "src", tmp_path / "out", "A")


def _gap(src: Path) -> None:
    sorted(src.glob("Pancreas-CT/PANCREAS_0057/*/*/*.dcm"))[2].unlink()


def _no_dicom(src: Path) -> None:
    for path in src.glob("Pancreas-CT/PANCREAS_0057/*/*/*.dcm"):
        path.unlink()


def _label(voxels: np.ndarray):
    return lambda src: write_nifti(src / "labels" / "label0057.nii.gz", voxels, np.diag([1.0, 1, 1, 1]))


def _constant(src: Path) -> None:
    write_scan(src, "0057", np.full((12, 10, 6), -1000), scan_voxels((12, 10, 6))[1], labels="labels")


FAULTS = {
    "gap": (_gap, "missing between them: 1"),
    "no DICOM": (_no_dicom, "PANCREAS_0057 holds no DICOM file"),
    "empty": (_label(np.zeros((12, 10, 6), np.uint8)), "The label of pancreas_0057 is empty"),
    "values": (_label(np.full((12, 10, 6), 2, np.uint8)), r"label0057\.nii\.gz holds values that are no labels"),
    "fractions": (_label(np.full((12, 10, 6), 0.5, np.float32)), r"label0057\.nii\.gz holds values that are no"),
    "shape": (_label(np.ones((12, 10, 5), np.uint8)), r"has shape \(12, 10, 5\), its scan \(12, 10, 6\)"),
    "constant": (_constant, "pancreas_0057 is constant between -125 and 275 HU"),
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_the_source_leaves_no_half_dataset(tmp_path, fault, message):
    for number in ("0057", "0062"):
        write_scan(tmp_path / "src", number, *scan_voxels((12, 10, 6)), labels="labels")
    fault(tmp_path / "src")
    with pytest.raises(UserError, match=message):
        import_pancreas(tmp_path / "src", tmp_path / "out", "B")
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_a_wrong_variant_is_explained(tmp_path):
    with pytest.raises(UserError, match=r"no variant 'C'.*A: 1 mm, .*UA-MT.*B: slices .*CoraNet, BCP"):
        import_pancreas(tmp_path, tmp_path / "out", "C")
