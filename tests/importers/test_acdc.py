"""ACDC from both of its forms: tiny files written in exactly those layouts, and the real sample where it is there."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from acdc_files import AFFINE, community_case, write_patient
from axis_turns import ORDERS, reordered
from crossmatch import formats
from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.importers.acdc import import_acdc, standard_lists
from crossmatch.importers.acdc_hdf5 import as_integers
from pair_files import write_pair
from tiny import write_nifti


def _ids(cases) -> list[str]:
    return [case.id for case in cases]


def test_the_standard_lists():
    lists = standard_lists()
    assert {name: len(cases) for name, cases in lists.items()} == {
        "train": 140,
        "val": 20,
        "test": 40,
        "train_1_label": 2,
        "train_3_label": 6,
        "train_7_label": 14,
    }
    assert lists["train_1_label"] == ["patient099_frame01", "patient099_frame02"]
    everyone = [case for name in ("train", "val", "test") for case in lists[name]]
    assert sorted(everyone) == sorted(f"patient{n:03d}_frame0{f}" for n in range(1, 101) for f in (1, 2))
    assert set(lists["train_1_label"]) < set(lists["train_3_label"]) < set(lists["train_7_label"]) < set(lists["train"])


def test_the_challenge_form(tmp_path):
    """Frames by Info.cfg (here end-systole comes first in time), geometry kept, patients in their usual splits."""
    training = tmp_path / "src" / "training"
    frames = write_patient(training, "patient099", ed=12, es=3, seed=1)
    write_patient(training, "patient038", ed=1, es=10, seed=2)
    write_patient(training, "patient028", ed=1, es=9, seed=3)
    write_patient(training, "patient011", ed=1, es=8, seed=4)
    write_patient(tmp_path / "src" / "testing", "patient101", ed=1, es=8, seed=5)
    told: list[str] = []
    steps: list[tuple[int, int]] = []
    dataset = import_acdc(tmp_path / "src", tmp_path / "out", lambda *at: steps.append(at), told.append)
    assert _ids(dataset.split("train")) == [f"patient{n}_frame0{f}" for n in ("099", "038") for f in (1, 2)]
    assert {case.patient for case in dataset.split("val")} == {"patient028"}
    assert {case.patient for case in dataset.split("test")} == {"patient011"}
    assert _ids(dataset.labelled("1")[0]) == ["patient099_frame01", "patient099_frame02"]
    assert len(dataset.labelled("7")[0]) == 4
    assert dataset.labels == {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    for case, frame in zip(dataset.split("train")[:2], (12, 3), strict=True):
        image, label = formats.read(case.images[0]), formats.read(case.label)
        np.testing.assert_array_equal(image.voxels, frames[frame][0])
        np.testing.assert_array_equal(label.voxels, frames[frame][1])
        assert (image.voxels.dtype, label.voxels.dtype) == (np.int16, np.uint8)
        np.testing.assert_array_equal(image.affine, AFFINE)
        np.testing.assert_array_equal(label.affine, AFFINE)
        assert image.spacing_mm == pytest.approx((1.5, 1.25, 10.0))
    assert steps == [(n, 8) for n in range(1, 9)]
    assert "testing" in told[0]
    assert "136 of 140 in train" in told[1]
    assert "12 of 14" not in told[1]
    assert "10 of 14 in train_7_label" in told[1]
    assert len(load_fingerprint(dataset).cases) == 8


def test_the_training_folder_itself_may_be_named(tmp_path):
    write_patient(tmp_path / "training", "patient099", ed=1, es=10, seed=1)
    assert len(import_acdc(tmp_path / "training", tmp_path / "out").cases) == 2


def test_what_is_not_read_is_named(tmp_path):
    source = tmp_path / "source"
    for patient in ("patient099", "patient101", "patient102"):
        write_patient(source / "training", patient)
    told: list[str] = []
    import_acdc(source, tmp_path / "out", tell=told.append)
    assert "patients left out, not of the usual 100: 2 (patient101, patient102)" in told
    _, image, label = community_case(1)
    write_pair(source / "data" / "patient038_frame01.h5", image, label)
    told.clear()
    import_acdc(source, tmp_path / "other", tell=told.append)
    assert "the .h5 files are imported; the folders of 3 patients beside them are not read" in told


def test_the_community_form(tmp_path):
    """Volumes and slices: axes turned, integers restored, a volume stacked again, one with gaps left out."""
    data = tmp_path / "src" / "data"
    k, image, label = community_case(1)
    write_pair(data / "patient099_frame01.h5", image, label)
    stacked, stacked_image, stacked_label = community_case(2, largest=200)
    for n in (1, 2, 3):
        write_pair(data / "slices" / f"patient038_frame02_slice_{n}.h5", stacked_image[n - 1], stacked_label[n - 1])
        write_pair(data / "slices" / f"patient099_frame01_slice_{n}.h5", image[n - 1] * 0, label[n - 1])  # not used
    write_pair(data / "slices" / "patient050_frame01_slice_2.h5", image[0], label[0])
    _, val_image, val_label = community_case(3)
    write_pair(data / "patient028_frame01.h5", val_image.astype(np.float64) ** 2, val_label)  # not made of integers
    (tmp_path / "src" / "train.list").write_text("patient099_frame01\n")
    told: list[str] = []
    dataset = import_acdc(tmp_path / "src", tmp_path / "out", tell=told.append)
    assert _ids(dataset.cases) == ["patient099_frame01", "patient038_frame02", "patient028_frame01"]
    whole, rebuilt, plain = (formats.read(case.images[0]) for case in dataset.cases)
    assert (whole.voxels.dtype, rebuilt.voxels.dtype, plain.voxels.dtype) == (np.int16, np.uint8, np.float32)
    np.testing.assert_array_equal(whole.voxels, k.transpose(2, 1, 0))
    assert whole.voxels[1, 0, 0] == 700  # slice 0, row 0, column 1
    np.testing.assert_array_equal(rebuilt.voxels, stacked.transpose(2, 1, 0))
    np.testing.assert_array_equal(formats.read(dataset.cases[1].label).voxels, stacked_label.transpose(2, 1, 0))
    np.testing.assert_array_equal(
        plain.voxels, (val_image.astype(np.float64) ** 2).astype(np.float32).transpose(2, 1, 0)
    )
    assert {whole.spacing_mm, rebuilt.spacing_mm, plain.spacing_mm} == {None}
    assert any("patient050_frame01 is left out" in remark and "slices 1 are missing" in remark for remark in told)


@pytest.mark.parametrize(("largest", "dtype"), [(1, np.uint8), (255, np.uint8), (256, np.int16), (3071, np.int16)])
@pytest.mark.parametrize("source", [np.float32, np.float64])
def test_integers_are_found_again_exactly(largest, dtype, source):
    k = np.random.default_rng(largest).integers(0, largest + 1, 4000)
    k[:2] = 0, largest
    found = as_integers((k / largest).astype(source))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, k)


def test_floats_that_were_no_integers_are_left_alone():
    noise = np.random.default_rng(0).random(4000).astype(np.float32)
    noise[:2] = 0, 1
    assert as_integers(noise) is noise
    assert as_integers(noise * 0.9).dtype == np.float32


def _no_info(folder: Path) -> None:
    (folder / "Info.cfg").unlink()


def _half_info(folder: Path) -> None:
    (folder / "Info.cfg").write_text("ED: 1\nGroup: NOR\n")


def _no_label(folder: Path) -> None:
    (folder / "patient099_frame10_gt.nii.gz").unlink()


def _other_shape(folder: Path) -> None:
    write_nifti(folder / "patient099_frame10_gt.nii.gz", np.zeros((7, 6, 4), np.uint8), AFFINE)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_no_info, r"Info\.cfg is missing"),
        (_half_info, r"Info\.cfg does not say both frames"),
        (_no_label, r"frame10_gt\.nii\.gz does not exist"),
        (_other_shape, r"image has shape \(7, 6, 3\), its _gt \(7, 6, 4\)"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_in_the_source_leaves_no_half_dataset(tmp_path, fault, message):
    write_patient(tmp_path / "src", "patient099", ed=1, es=10, seed=1)
    fault(tmp_path / "src" / "patient099")
    with pytest.raises(UserError, match=message):
        import_acdc(tmp_path / "src", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["src"]


def test_an_affine_that_differs_in_the_reference_is_replaced_and_said(tmp_path):
    write_patient(tmp_path / "src", "patient099", ed=1, es=10, seed=1)
    path = tmp_path / "src/patient099/patient099_frame10_gt.nii.gz"
    write_nifti(path, np.asarray(nib.load(path).dataobj), np.diag([1.5, 1.25, 10.0, 1.0]))
    told: list[str] = []
    dataset = import_acdc(tmp_path / "src", tmp_path / "out", tell=told.append)
    assert any("frame10_gt has another affine" in remark for remark in told)
    np.testing.assert_array_equal(formats.read(dataset.cases[1].label).affine, AFFINE)


def test_a_reference_with_other_axes_is_turned_onto_its_image(tmp_path):
    write_patient(tmp_path / "src", "patient099", ed=1, es=10, seed=1)
    path = tmp_path / "src/patient099/patient099_frame10_gt.nii.gz"
    before = np.asarray(nib.load(path).dataobj)
    write_nifti(path, *reordered(before, nib.load(path).affine, ORDERS[29]))
    told: list[str] = []
    dataset = import_acdc(tmp_path / "src", tmp_path / "out", tell=told.append)
    assert not [remark for remark in told if "another affine" in remark]
    np.testing.assert_array_equal(formats.read(dataset.cases[1].label).voxels, before)


def test_the_real_sample_equals_the_real_dataset(shared, tmp_path):
    dataset = import_acdc(shared / "data" / "acdc_h5_sample", tmp_path / "out")
    assert _ids(dataset.cases) == ["patient099_frame01", "patient028_frame01", "patient011_frame02"]
    reference = {case.id: case for case in open_dataset(shared / "data" / "acdc").cases}
    for case in dataset.cases:
        expected = reference[case.id]
        assert case.split == expected.split
        for ours, theirs in ((case.images[0], expected.images[0]), (case.label, expected.label)):
            stored, wanted = formats.read(ours), formats.read(theirs)
            assert stored.voxels.dtype == wanted.voxels.dtype
            np.testing.assert_array_equal(stored.voxels, wanted.voxels)


def test_the_split_is_that_of_the_real_dataset(shared):
    for name, cases in standard_lists().items():
        assert cases == (shared / "data/acdc/splits" / f"{name}.txt").read_text().split(), name
