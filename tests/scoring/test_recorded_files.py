"""Scans that were written since their masks were made: who names them, and what is no such scan."""

import json
import os
from pathlib import Path

import pytest

from crossmatch.atomic import file_sha256
from crossmatch.scoring.evaluate import evaluate
from crossmatch.scoring.recorded_files import rewritten_scans
from tiny import write_dataset


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Masks of two cases, which equal the labels, with their scans as `predict` writes them down."""
    data = write_dataset(tmp_path / "data", n_test=2)
    folder, scans = tmp_path / "masks", {}
    folder.mkdir()
    for label in sorted((data / "labelsTs").iterdir()):
        (folder / label.name).write_bytes(label.read_bytes())
        case = label.name.removesuffix(".nii.gz")
        scan = data / "imagesTs" / f"{case}_0000.nii.gz"
        stat = scan.stat()
        times = {"mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
        path = os.path.relpath(scan, folder)
        scans[case] = [{"path": path, "size": stat.st_size, **times, "sha256": file_sha256(scan)}]
    (folder / "prediction.json").write_text(json.dumps({"run": "tiny", "scans": scans}))
    return folder


def scan_of(masks: Path, case: str) -> Path:
    return masks.parent / "data" / "imagesTs" / f"{case}_0000.nii.gz"


def found(masks: Path) -> list[str]:
    return rewritten_scans({path.name.removesuffix(".nii.gz"): path for path in sorted(masks.glob("*.nii.gz"))})


def test_a_scan_of_other_content_is_named_by_evaluate(masks: Path) -> None:
    told: list[str] = []
    references = masks.parent / "data" / "labelsTs"
    evaluate(masks, references, warn=told.append)
    assert told == []
    first, second = sorted(path.name.removesuffix(".nii.gz") for path in masks.glob("*.nii.gz"))
    scan_of(masks, second).write_bytes(scan_of(masks, first).read_bytes())
    evaluate(masks, references, warn=told.append)
    told_of = f"Scans written since masks were made of them (1): {second}."
    assert told == [f"{told_of} To score masks of these scans, predict again"]
    told.clear()
    evaluate(masks / f"{first}.nii.gz", references / f"{first}.nii.gz", warn=told.append)
    assert told == []
    evaluate(masks / f"{second}.nii.gz", references / f"{second}.nii.gz", warn=told.append)
    assert len(told) == 1


def test_the_same_content_anew_or_a_scan_that_is_gone_is_not_named(masks: Path) -> None:
    first, second = sorted(path.name.removesuffix(".nii.gz") for path in masks.glob("*.nii.gz"))
    scan = scan_of(masks, first)
    scan.write_bytes(scan.read_bytes())
    os.utime(scan, (1, 1))
    scan_of(masks, second).unlink()
    assert found(masks) == []


def test_what_earlier_versions_recorded_names_nothing(masks: Path) -> None:
    case = min(masks.glob("*.nii.gz")).name.removesuffix(".nii.gz")
    (masks / "prediction.json").write_text(json.dumps({"scans": {case: [{"path": "x", "sha256": "ab"}]}}))
    assert found(masks) == []
    (masks / "prediction.json").unlink()
    assert found(masks) == []
    assert rewritten_scans({}) == []
