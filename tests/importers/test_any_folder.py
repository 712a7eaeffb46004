"""`import folder` finds images, labels and channels in folders of any layout, and writes them without a change."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossmatch import formats
from crossmatch.dataset.check import load_fingerprint
from crossmatch.errors import UserError
from crossmatch.importers.carry_out import carry_out
from crossmatch.importers.proposal import propose_import
from crossmatch.importers.roles import SEQUENCES, role_of
from crossmatch.importers.wishes import Wishes
from folder_files import LABELS, brats, decathlon, imported, label, nnunet, pairs, photographs, scan
from refusal import tree
from tiny_dicom import write_series


def found(source: Path, **wishes: object) -> dict[str, tuple[list[str], str | None, str]]:
    """Case -> its images, its label and its split; paths below the source."""
    proposal = propose_import(source, Wishes(**wishes))
    assert proposal.left_out == {}
    short = {None: None} | {path: str(path.relative_to(source)) for path in source.rglob("*")}
    return {case.name: ([short[i] for i in case.images], short[case.label], case.split) for case in proposal.cases}


@pytest.mark.parametrize(
    ("path", "case", "is_label", "channel", "split"),
    [
        ("images/anna", "anna", False, None, "train"),
        ("masks/anna_mask", "anna", True, None, "train"),
        ("anna-label", "anna", True, None, "train"),
        ("anna/seg", "anna", True, None, "train"),
        ("test/images/anna", "anna", False, None, "test"),
        ("val_masks/anna", "anna", True, None, "val"),
        ("segmentation-12", "12", True, None, "train"),
        ("volume-12", "12", False, None, "train"),
        ("label0007", "0007", True, None, "train"),
        ("patient001_frame01_gt", "patient001_frame01", True, None, "train"),
        ("BraTS_001/BraTS_001_t1ce", "BraTS_001", False, "t1ce", "train"),
        ("BraTS-GLI-00000-000-t2f", "BraTS-GLI-00000-000", False, "t2f", "train"),
        ("flair/anna", "anna", False, "flair", "train"),
        ("ground_truth/Jörg Müller (2)", "Jörg Müller (2)", True, None, "train"),
        ("masks/Zoë (1)_Mask", "Zoë (1)", True, None, "train"),
        ("Zoë (1)", "Zoë (1)", False, None, "train"),
        ("Zoë (1) (mask)", "Zoë (1)", True, None, "train"),
        ("Zoë [2]-t1", "Zoë [2]", False, "t1", "train"),
        ("(mask) Zoë", "Zoë", True, None, "train"),
        ("clinic/1/10", "clinic 1 10", False, None, "train"),
    ],
)
def test_the_words_of_a_path(path: str, case: str, is_label: bool, channel: str | None, split: str) -> None:
    *folders, stem = path.split("/")
    role = role_of(folders, stem, SEQUENCES)
    assert (" ".join(role.key), role.label, role.channel, role.split) == (case, is_label, channel, split)


def test_images_and_masks_in_two_folders(tmp_path: Path) -> None:
    source = pairs(tmp_path / "src", ["anna", "bert"])
    scan(source / "images" / "carl.nii.gz")
    assert found(source) == {
        "anna": (["images/anna.nii.gz"], "masks/anna_mask.nii.gz", "train"),
        "bert": (["images/bert.nii.gz"], "masks/bert_mask.nii.gz", "train"),
        "carl": (["images/carl.nii.gz"], None, "train"),
    }


def test_a_folder_for_each_patient(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        scan(tmp_path / name / "ct.nii.gz")
        label(tmp_path / name / "segmentation.nii.gz")
    proposal = propose_import(tmp_path, Wishes())
    assert [case.name for case in proposal.cases] == ["anna", "bert"]
    assert proposal.channels == ("ct",)


def test_several_scans_of_a_patient_stay_in_one_split(tmp_path: Path) -> None:
    for patient in ("anna_a", "bert", "carl", "dora"):
        for scan_name in ("one", "two"):
            scan(tmp_path / "src" / "images" / patient / f"{scan_name}.nii.gz")
            label(tmp_path / "src" / "labels" / patient / f"{scan_name}.nii.gz")
    dataset = imported(tmp_path / "src", tmp_path / "out", validation=0.5, seed=1)
    assert {case.patient for case in dataset.cases} == {"anna_a", "bert", "carl", "dora"}
    assert [len(dataset.split(split)) for split in ("train", "val")] == [4, 4]

    def chosen(seed: int) -> list[str]:
        cases = propose_import(tmp_path / "src", Wishes(validation=0.5, seed=seed)).cases
        return [case.name for case in cases if case.split == "val"]

    assert chosen(1) == sorted(case.id for case in dataset.split("val"))
    assert len({tuple(chosen(seed)) for seed in range(8)}) > 1


def test_labels_beside_their_scans_in_another_tree_and_test_folders(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        scan(tmp_path / "ISIC_Training_Input" / f"case_{name}.nii.gz")
        label(tmp_path / "ISIC_Training_GroundTruth" / f"case_{name}_segmentation.nii.gz")
    scan(tmp_path / "ISIC_Test_Input" / "case_9.nii.gz")
    label(tmp_path / "ISIC_Test_GroundTruth" / "case_9_segmentation.nii.gz")
    cases = propose_import(tmp_path, Wishes()).cases
    files = [(case.split, case.images[0].name[:6], case.label.name[:6]) for case in cases]
    assert files == [*[("train", f"case_{n}", f"case_{n}") for n in "123"], ("test", "case_9", "case_9")]


def test_a_label_never_goes_to_the_scan_of_another_patient(tmp_path: Path) -> None:
    for patient in ("anna", "bert"):
        scan(tmp_path / patient / "liver.nii.gz")
        label(tmp_path / patient / "liver_seg.nii.gz")
    label(tmp_path / "carl" / "liver_seg.nii.gz")
    (tmp_path / "anna" / "liver_seg.nii.gz").unlink()
    proposal = propose_import(tmp_path, Wishes())
    assert {case.name: case.label for case in proposal.cases} == {
        "anna": None,
        "bert": tmp_path / "bert" / "liver_seg.nii.gz",
    }
    assert list(proposal.left_out) == [str(tmp_path / "carl" / "liver_seg.nii.gz")]


def test_folders_that_all_files_share_tell_no_case(tmp_path: Path) -> None:
    for name in ("1", "2"):
        scan(tmp_path / "clinic" / "photos" / f"{name}.nii.gz")
        label(tmp_path / "clinic" / "drawn" / f"{name}_mask.nii.gz")
    assert found(tmp_path) == {
        name: ([f"clinic/photos/{name}.nii.gz"], f"clinic/drawn/{name}_mask.nii.gz", "train") for name in ("1", "2")
    }


def test_patterns_say_what_names_do_not(tmp_path: Path) -> None:
    for name in ("x1", "x2"):
        scan(tmp_path / "a" / f"{name}_final.nii.gz")
        scan(tmp_path / "a" / f"{name}_draft.nii.gz")
        label(tmp_path / "b" / f"outline of {name}.nii.gz")
    scan(tmp_path / "c" / "y_final.nii.gz")
    wishes = {"images": "a/*_final.*", "labels": "b/outline of *.nii.gz", "test": "c"}
    assert found(tmp_path, **wishes) == {
        "x1": (["a/x1_final.nii.gz"], "b/outline of x1.nii.gz", "train"),
        "x2": (["a/x2_final.nii.gz"], "b/outline of x2.nii.gz", "train"),
        "y_final": (["c/y_final.nii.gz"], None, "test"),
    }
    with pytest.raises(UserError, match=r"--images d matches none of the scans in .*, such as"):
        propose_import(tmp_path, Wishes(images="d"))
    with pytest.raises(UserError, match="matches both --images and --labels"):
        propose_import(tmp_path, Wishes(images="a", labels="*/*.nii.gz"))


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"images": "scans", "labels": "labels"},
        {"images": "scans/*/zo\u00eb.nii.gz", "labels": "labels/*/zoe\u0308.nii.gz"},
    ],
)
def test_folders_pair_whichever_way_their_accents_are_stored(tmp_path: Path, wishes: dict[str, str]) -> None:
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    scan(tmp_path / "scans" / decomposed / "zoe\u0308.nii.gz")
    label(tmp_path / "labels" / composed / "zo\u00eb.nii.gz")
    scan(tmp_path / "scans" / "anna" / "zo\u00eb.nii.gz")
    label(tmp_path / "labels" / "anna" / "zo\u00eb.nii.gz")
    proposal = propose_import(tmp_path, Wishes(**wishes))
    assert proposal.left_out == {}
    assert [case.label is not None for case in proposal.cases] == [True, True]
    assert all(composed in case.name for case in proposal.cases if "anna" not in case.name)


@pytest.mark.parametrize(
    ("asked", "unused"),
    [
        ((), ["p1/p1_t2.nii.gz", "p2/p2.nii.gz"]),
        (("flair", "t1"), ["p1/p1_t2.nii.gz", "p2/p2.nii.gz"]),
        (("t1",), ["p1/p1_flair.nii.gz", "p1/p1_t2.nii.gz", "p2/p2.nii.gz", "p2/p2_flair.nii.gz"]),
    ],
)
def test_files_of_no_chosen_channel_are_named(tmp_path: Path, asked: tuple[str, ...], unused: list[str]) -> None:
    for name in ("p1", "p2"):
        for channel in ("t1", "flair"):
            scan(tmp_path / name / f"{name}_{channel}.nii.gz")
        label(tmp_path / name / f"{name}_seg.nii.gz")
    scan(tmp_path / "p1" / "p1_t2.nii.gz")  # of one case alone
    scan(tmp_path / "p2" / "p2.nii.gz")
    proposal = propose_import(tmp_path, Wishes(channels=asked))
    assert [case.name for case in proposal.cases] == ["p1", "p2"]
    (told,) = [remark for remark in proposal.remarks if "none of the channels" in remark]
    assert sorted(told.removesuffix(".").split(": ")[1].split(", ")) == unused


def test_channels_are_found_by_known_words_or_as_asked(tmp_path: Path) -> None:
    source = brats(tmp_path)
    proposal = propose_import(source, Wishes())
    assert proposal.channels == ("t1", "t1ce", "t2", "flair")
    for case in proposal.cases:
        names = [path.name for path in case.images]
        assert names == [f"{case.name}_{channel}.nii.gz" for channel in proposal.channels]
    assert [case.label is not None for case in proposal.cases] == [True, True, True, False]
    asked = propose_import(source, Wishes(channels=("FLAIR", "T1")))
    assert asked.channels == ("FLAIR", "T1")
    assert [path.name for path in asked.cases[0].images] == ["BraTS_001_flair.nii.gz", "BraTS_001_t1.nii.gz"]
    alone = propose_import(source, Wishes(channels=("t2",)))
    assert [path.name for path in alone.cases[0].images] == ["BraTS_001_t2.nii.gz"]
    with pytest.raises(UserError, match="dwi is a word of no image's name"):
        propose_import(source, Wishes(channels=("t1", "dwi")))


def test_a_dicom_series_is_written_as_nifti(tmp_path: Path) -> None:
    """A folder of slices for each patient, and a label of its geometry in another folder."""
    rng = np.random.default_rng(0)
    stored = {name: rng.integers(0, 2000, (7, 6, 4)).astype(np.int16) for name in ("anna", "bert")}
    for name in stored:
        write_series(tmp_path / "src" / "ct" / name, stored[name])
        volume = formats.read_channels([tmp_path / "src" / "ct" / name])[0]
        mask = np.zeros(volume.shape, np.uint8)
        mask[1:3, 1:3, 1:] = 1
        formats.write(tmp_path / "src" / "labels" / f"{name}.nrrd", mask, like=volume)
    dataset = imported(tmp_path / "src", tmp_path / "out")
    assert [(case.id, case.label is None) for case in dataset.cases] == [("anna", False), ("bert", False)]
    for case in dataset.cases:
        (ours,), (theirs,) = formats.read_channels(case.images), formats.read_channels([tmp_path / "src/ct" / case.id])
        np.testing.assert_array_equal(ours.voxels, theirs.voxels)
        np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)


FORMS: dict[str, Callable[[Path], Path]] = {
    "pairs": pairs,
    "brats": brats,
    "photographs": lambda source: photographs(source, ["Jörg 1", "b", "c"]),
    "decathlon": decathlon,
    "nnunet": lambda source: nnunet(source, LABELS),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_dataset_holds_every_voxel_and_is_checked(
    tmp_path: Path, form: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from a source that may not be written; the source stays as it is, and importing again gives equal files."""
    source = form(tmp_path / "src")
    before, steps = tree(source), []
    for folder in [source, *source.rglob("*/")]:
        folder.chmod(0o555)
    proposal = propose_import(source, Wishes())
    assert [path.name for path in tmp_path.iterdir()] == ["src"]  # nothing is written by looking
    dataset, left_out = carry_out(tmp_path / "out", proposal, lambda *at: steps.append(at), lambda text: None)
    for folder in [source, *source.rglob("*/")]:
        folder.chmod(0o755)
    assert left_out == {}
    assert tree(source) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "src"]
    assert steps == [(n, 2 * len(dataset.cases)) for n in range(1, 2 * len(dataset.cases) + 1)]
    for case in dataset.cases:
        origin = next(one for one in proposal.cases if one.name == case.id)
        if not proposal.stacked:
            theirs = formats.read_channels(origin.images)
            for ours, channel in zip(formats.read_channels(case.images), theirs, strict=True):
                np.testing.assert_array_equal(ours.voxels, channel.voxels)
                np.testing.assert_array_equal(ours.affine, channel.affine)
        assert (case.label is None) == (origin.label is None)
        if origin.label is not None and case.label is not None:
            expected = formats.read_label(origin.label).voxels.astype(int)
            for old, new in proposal.values.changed.items():
                expected = np.where(expected == old, new, expected)
            np.testing.assert_array_equal(formats.read_label(case.label).voxels, expected)
    assert all(path.stat().st_mode & 0o200 for path in dataset.files())
    contents = [
        {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.*")) if path.is_file()}
        for out in (dataset.root, imported(source, tmp_path / "two").root)
    ]
    for content in contents:
        content.pop("fingerprint.json", None)
        content["dataset.json"] = content["dataset.json"].replace(b'"two"', b'"out"')
    assert contents[0] == contents[1]
    monkeypatch.setattr(formats, "read_channels", None)
    assert len(load_fingerprint(dataset).cases) == len(dataset.cases)


def test_links_where_nothing_changes(tmp_path: Path) -> None:
    source = pairs(tmp_path / "src", values=(255,))
    proposal = propose_import(source, Wishes())
    dataset, _ = carry_out(tmp_path / "out", proposal, None, lambda text: None, link=True)
    for case in dataset.cases:
        assert case.images[0].resolve() == source / "images" / f"{case.id}.nii.gz"
        assert case.label is not None
        assert not case.label.is_symlink()  # 255 became 1
