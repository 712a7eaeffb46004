"""Cases that folders or DICOM headers say are of one patient stay in one split, and later steps know it."""

import json
from pathlib import Path

import numpy as np
import pytest

from crossmatch import formats
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.importers.proposal import propose_import
from crossmatch.importers.roles import says_no_patient
from crossmatch.importers.wishes import Wishes
from folder_files import LABELS, imported, label, label_voxels, nnunet, scan
from tiny_dicom import edit, write_series


def _pairs(root: Path, *names: str) -> Path:
    """Images of these names below a folder, with labels beside them."""
    for name in names:
        scan(root / f"{name}.nii.gz")
        label(root / f"{name}_seg.nii.gz")
    return root


def _groups(patients: dict[str, str]) -> set[frozenset[str]]:
    """The cases of each patient."""
    return {frozenset(case for case in patients if patients[case] == one) for one in patients.values()}


PATIENTS = ("anna", "bert", "cleo", "dora")
FORMS = {
    "files repeat the folder": [f"{name}/{name}_{n}" for name in PATIENTS for n in (1, 2)],
    "dates": [f"{name}/{name}_{date}/mr" for name in PATIENTS for date in (20200101, 20210305)],
    "some repeat it": [*(f"{name}/{name}_{n}" for name in PATIENTS[1:] for n in (1, 2)), "anna/x1", "anna/x2"],
    "below structure": [f"labelled/{name}/{name}_{n}" for name in PATIENTS for n in (1, 2)],
    "upper and lower case": [f"{(name, name.title())[n]}/{name}_{n}" for name in PATIENTS for n in (0, 1)],
}


@pytest.mark.parametrize("files", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_cases_of_a_folder_are_one_patient(tmp_path: Path, files: list[str], seed: int) -> None:
    source = _pairs(tmp_path / "src", *files)
    dataset = imported(source, tmp_path / "out", validation=0.5, seed=seed)
    assert {case.patient.lower() for case in dataset.cases} == set(PATIENTS)
    splits = [{case.patient for case in dataset.split(split)} for split in ("train", "val")]
    assert [len(each) for each in splits] == [2, 2]
    assert not splits[0] & splits[1]
    assert dataset.patients_stated
    told = [remark for remark in propose_import(source, Wishes()).remarks if "count as one patient" in remark]
    assert all(f"{name} (2 cases)" in told[0].lower() for name in PATIENTS)


@pytest.mark.parametrize(
    "files",
    [
        ("images/anna_1", "images/anna_2", "images/bert_1"),
        ("photos/anna_1", "photos/anna_2", "photos/bert_1"),
        ("labelled/a1", "labelled/a2", "unlabelled/b1", "unlabelled/b2"),
        ("train/a1", "train/a2", "val/b1", "test/c1"),
        ("set_1/a1", "set_1/a2", "set_2/b1", "set_2/b2"),
        ("anna/mr", "bert/mr", "cleo/mr"),
        ("Training_Input/a1", "Training_Input/a2", "Test_Input/b1", "Test_Input/b2"),
    ],
)
def test_folders_that_tell_no_patient(tmp_path: Path, files: tuple[str, ...]) -> None:
    proposal = propose_import(_pairs(tmp_path, *files), Wishes())
    assert (proposal.patient_regex, proposal.patients) == (None, {})
    assert not [remark for remark in proposal.remarks if "one patient" in remark]
    assert len(proposal.cases) == len(files)


@pytest.mark.parametrize("name", ["labelled", "set_2", "Site B", "fold1", "test_set", "T1", "masks", "all scans"])
def test_words_of_folders_that_are_no_patients(name: str) -> None:
    assert says_no_patient(name)


@pytest.mark.parametrize("name", ["anna", "1", "p01", "scan00", "anna_a", "case_1", "volume-12", "patient_3"])
def test_words_of_folders_that_may_be_patients(name: str) -> None:
    assert not says_no_patient(name)


def test_labels_in_one_folder_alone_leave_cases_apart(tmp_path: Path) -> None:
    source = _pairs(tmp_path, "anna/x1", "anna/x2", "anna/x3")
    scan(source / "bert" / "y1.nii.gz")
    scan(source / "bert" / "y2.nii.gz")
    proposal = propose_import(source, Wishes(validation=0.4))
    assert (proposal.patient_regex, proposal.patients) == (None, {})
    assert [case.split for case in proposal.cases].count("val") == 1
    assert "All cases with labels lie in one folder, so folders tell no patients" in proposal.remarks[0]


def test_a_patient_in_train_and_test_is_refused(tmp_path: Path) -> None:
    names = [
        f"{split}/{name}/{name}_{n}" for name in PATIENTS for split, n in (("train", 1), ("train", 2), ("test", 3))
    ]
    source = _pairs(tmp_path / "src", *names)
    with pytest.raises(
        UserError, match=r"anna \(anna_1 in train and anna_3 in test\); bert .* --patient \"\(\.\+\)\"\."
    ):
        propose_import(source, Wishes())
    dataset = imported(source, tmp_path / "out", patient="(.+)")
    assert [len(dataset.split(split)) for split in ("train", "test")] == [8, 4]
    stated = json.loads((dataset.root / "dataset.json").read_text())
    assert (stated["patient_regex"], "patient_of" in stated) == ("(.+)", False)


def _series(source: Path, identities: list[str]) -> Path:
    """A DICOM series of each PatientID, with a label beside it."""
    for n, identity in enumerate(identities):
        folder = source / f"scan{n:02d}"
        voxels = np.random.default_rng(n).integers(0, 99, (12, 10, 4)).astype(np.int16)
        for path in write_series(folder / "dcm", voxels):
            edit(path, PatientID=identity)
        formats.write(folder / "seg.nii.gz", label_voxels((1,)), like=formats.read(folder / "dcm"))
    return source


def test_series_with_one_patient_id_are_one_patient(tmp_path: Path) -> None:
    """The number itself is written nowhere."""
    source = _series(tmp_path / "src", ["77-A", "77-A", "77-B", "77-B", "", "", "Anonymous", "ANON"])
    dataset = imported(source, tmp_path / "out", validation=0.5, seed=3)
    named = [f"scan{n:02d}" for n in range(8)]
    pairs = [{"scan00", "scan01"}, {"scan02", "scan03"}]
    assert _groups({case.id: case.patient for case in dataset.cases}) == {
        *map(frozenset, pairs),
        *(frozenset([name]) for name in named[4:]),
    }
    splits = {case.id: case.split for case in dataset.cases}
    assert all(len({splits[name] for name in pair}) == 1 for pair in pairs)
    assert len(dataset.split("val")) in (3, 4, 5)  # of three patients
    assert "77-" not in "".join(path.read_text() for path in dataset.root.glob("**/*.json"))
    (told,) = propose_import(source, Wishes()).remarks
    assert "scan00 and scan01; scan02 and scan03" in told
    assert "77-" not in told


def test_one_patient_id_of_all_tells_nothing(tmp_path: Path) -> None:
    proposal = propose_import(_series(tmp_path, ["study", "study", "study"]), Wishes(validation=0.4))
    assert proposal.patients == {}
    assert [case.split for case in proposal.cases].count("val") == 1
    assert proposal.remarks == (
        "All cases with labels have one PatientID in their DICOM headers, so it tells no patients.",
    )


def test_check_knows_the_patients_that_an_import_found(tmp_path: Path) -> None:
    """Also where somebody moves a case to another split later; a case that is not named goes by its name."""
    source = _pairs(tmp_path / "src", *FORMS["files repeat the folder"])
    dataset = imported(source, tmp_path / "out", validation=0.5)
    train, val = (dataset.root / "splits" / f"{split}.txt" for split in ("train", "val"))
    moved, *others = train.read_text().split()
    train.write_text("\n".join(others))
    val.write_text(val.read_text() + moved)
    with pytest.raises(UserError, match=r"patient (\w+) is in both train .* correct patient_regex or patient_of"):
        open_dataset(dataset.root)
    stated = json.loads((dataset.root / "dataset.json").read_text())
    del stated["patient_of"][moved]
    (dataset.root / "dataset.json").write_text(json.dumps(stated))
    again = open_dataset(dataset.root)
    assert {case.id: case.patient for case in again.cases}[moved] == moved
    assert not again.patients_stated
    assert not [warning for warning in check(dataset.root).warnings if "keys of dataset.json" in warning]


def test_an_nnunet_folder_keeps_the_patients_that_it_states(tmp_path: Path) -> None:
    source = nnunet(tmp_path / "src", LABELS)
    stated = json.loads((source / "dataset.json").read_text())
    (source / "dataset.json").write_text(json.dumps(stated | {"patient_of": {"p1": "a", "p2": "a", "p3": "b"}}))
    dataset = imported(source, tmp_path / "out", validation=0.5)
    assert {case.id: case.patient for case in dataset.cases} == {
        "p1": "a",
        "p2": "a",
        "p3": "b",
        "p4": "p4",
        "p5": "p5",
    }
    with pytest.raises(UserError, match=r"a \(p2 in train and p1 in val\)"):
        propose_import(source, Wishes(fold=0))
    (source / "dataset.json").write_text(json.dumps(stated | {"patient_of": ["a"]}))
    with pytest.raises(UserError, match=r"has patient_of .*: write the patient of each case"):
        propose_import(source, Wishes())
