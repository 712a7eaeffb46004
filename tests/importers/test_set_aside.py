"""What crossmatch wrote below a folder of scans is no scan: `import folder` leaves it out and names it."""

from pathlib import Path

import pytest

from crossmatch.errors import UserError
from crossmatch.export.infer_cases import begin
from crossmatch.importers.proposal import propose_import
from crossmatch.importers.wishes import Wishes
from folder_files import LABELS, imported, label, nnunet, scan

DATASET = "a dataset (name it, or its imagesTr, to use its scans)"


def patients(source: Path, *, labelled: bool = True) -> Path:
    """A folder for each of two patients, and masks that a run predicted for them."""
    for name in ("anna", "bert"):
        scan(source / name / "mr.nii.gz")
        if labelled:
            label(source / name / "seg.nii.gz")
        label(source / "out" / f"{name}.nii.gz")
        scan(source / "out" / "probabilities" / f"{name}.nii.gz")
    (source / "out" / "prediction.json").write_text('{"scans": {"anna": [], "bert": []}}')
    return source


def files(source: Path, **wishes: object) -> dict[str, list[str]]:
    """Case -> its image and label, below the source."""
    proposal = propose_import(source, Wishes(**wishes))
    assert proposal.left_out == {}
    paths = {case.name: [*case.images, *([case.label] if case.label else [])] for case in proposal.cases}
    return {name: [path.relative_to(source).as_posix() for path in each] for name, each in paths.items()}


def test_predictions_runs_and_datasets_below_are_named_and_left_out(tmp_path: Path) -> None:
    source = patients(tmp_path / "src")
    wanted = {name: [f"{name}/mr.nii.gz", f"{name}/seg.nii.gz"] for name in ("anna", "bert")}
    assert files(source) == wanted
    imported(source, source / "ds")
    for name in ("test", "calibration"):
        scan(source / "runs" / "first" / name / "anna.nii.gz")
    (source / "runs" / "first" / "run.json").touch()
    label(source / "exported" / "anna.nii.gz")
    begin(source / "exported", {"step": 3})
    assert files(source) == wanted
    assert propose_import(source, Wishes()).remarks[-1] == (
        f"Not used: ds, which holds {DATASET}; exported, which holds masks of an exported model; "
        "out, which holds predictions; runs/first, which holds a run."
    )


def test_predictions_are_labels_where_they_are_asked_for(tmp_path: Path) -> None:
    """Somebody may have corrected them. The folder has to be named: no * leads into it."""
    source = patients(tmp_path / "src", labelled=False)
    wanted = {name: [f"{name}/mr.nii.gz", f"out/{name}.nii.gz"] for name in ("anna", "bert")}
    for pattern in ("out", "out/*", "./out/*.nii.gz"):
        assert files(source, labels=pattern) == wanted
        assert not any("out" in remark for remark in propose_import(source, Wishes(labels=pattern)).remarks)
    with pytest.raises(UserError, match=r"matches none of the scans.*\. Not used: out, which holds predictions\.$"):
        propose_import(source, Wishes(labels="o*/*"))


def test_a_folder_of_datasets_alone_says_what_to_name(tmp_path: Path) -> None:
    nnunet(tmp_path / "downloads" / "Dataset001", LABELS)
    with pytest.raises(UserError, match=r"name another\. Not used: Dataset001, which holds a dataset \(name it"):
        propose_import(tmp_path / "downloads", Wishes())


def test_a_dataset_names_predictions_that_lie_in_it(tmp_path: Path) -> None:
    source = patients(nnunet(tmp_path / "Dataset001", LABELS) / "masks").parent
    remarks = propose_import(source, Wishes()).remarks
    assert "Not used: masks/out, which holds predictions." in remarks
    assert not any("masks/out/" in remark for remark in remarks)
