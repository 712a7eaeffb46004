"""quality.json and quality.csv: written, read back, and never taken for an estimate of another mask."""

import csv
import json
from pathlib import Path

import pytest

from crossmatch.errors import UserError
from crossmatch.inference.estimates import CalibrationFacts, CaseQuality, ClassQuality, MadeBy
from crossmatch.inference.origin import file_state
from crossmatch.inference.quality_record import read_quality, write_quality
from crossmatch.inference.ranking import Ranked, write_ranking
from tiny import write_dataset
from untrained import untrained_run

SCAN = {"path": "../scans/a.nii.gz", "size": 3, "mtime_ns": 1, "ctime_ns": 1, "sha256": "5ca9"}
MADE_BY: MadeBy = {
    "run": "run",
    "checkpoint": "last",
    "step": 3,
    "weights_sha256": "beef",
    "flips": False,
    "views": ["clean", "channels dropped at 0.1"],
}
CALIBRATION: CalibrationFacts = {
    "method": "validation",
    "told": "Fitted on 2 validation cases.",
    "cases": ["val000", "val001"],
    "weights_sha256": "beef",
    "level": 0.8,
    "error": 0.03,
    "reliability": None,
}


def estimates(folder: Path, name: str, dice: float | None, *, strange: bool = False) -> CaseQuality:
    """A mask in the folder, and what is estimated of it."""
    mask = folder / f"{name}.nii.gz"
    mask.write_bytes(name.encode())
    values = {"dice": dice, "low": dice, "high": dice, "agreement": 0.5, "soft_dice": 0.8, "border_entropy": None}
    heart: ClassQuality = {
        **values,
        "voxels": 8,
        "volume_ml": 0.25,
        "surface_cm2": None,
        "components": 2,
        "edge_share": 0.0,
    }
    return {
        **values,
        "flags": ["Grey values lie outside."] if strange else [],
        "out_of_distribution": strange,
        "grey_distance": 0.0,
        "spacing_distance": 1.0,
        "classes": {"heart": heart},
        "mask": file_state(folder, mask),
        "scan": [dict(SCAN)],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Masks a to d with estimates; d lies outside of the training data."""
    cases = {name: estimates(tmp_path, name, dice) for name, dice in (("a", 0.9), ("b", 0.2), ("c", None))}
    cases["d"] = estimates(tmp_path, "d", 0.95, strange=True)
    origin = {"weights_sha256": "beef", "flips": False, "scans": {name: [SCAN] for name in cases}}
    (tmp_path / "prediction.json").write_text(json.dumps(origin))
    write_quality(tmp_path, MADE_BY, CALIBRATION, {"heart": 1}, cases)
    return tmp_path


def test_what_is_written_is_read_and_the_worst_stands_first(folder: Path) -> None:
    found = read_quality(folder)
    assert found is not None
    assert found.outdated == {}
    assert found.worst_first() == ["d", "b", "c", "a"]
    assert found.cases["b"]["classes"]["heart"]["volume_ml"] == 0.25
    assert found.made_by == MADE_BY
    assert found.calibration == CALIBRATION
    rows = list(csv.DictReader((folder / "quality.csv").read_text().splitlines()))
    assert [(row["case"], row["class"], row["dice"], row["volume_ml"]) for row in rows[:4]] == [
        ("a", "mean", "0.9", ""),
        ("a", "heart", "0.9", "0.25"),
        ("b", "mean", "0.2", ""),
        ("b", "heart", "0.2", "0.25"),
    ]
    assert rows[-2]["flags"] == "Grey values lie outside."


def test_names_are_no_formulas(folder: Path) -> None:
    """In the tables, which people open in a spreadsheet: of cases, classes and flags."""
    case = estimates(folder, "=c", 0.5)
    case["flags"], case["classes"] = ["@x reaches the edge."], {"=1+1": case["classes"]["heart"]}
    write_quality(folder, MADE_BY, CALIBRATION, {"=1+1": 1}, {"=c": case})
    lines = (folder / "quality.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["'=c", "mean"], ["'=c", "'=1+1"]]
    assert lines[1].endswith(",'@x reaches the edge.")
    assert list(read_quality(folder).outdated) == ["=c"]  # prediction.json does not know it


def test_scans_to_label_next_are_no_formulas(tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "run", write_dataset(tmp_path / "data"))
    write_ranking(
        tmp_path, run, "last", "ab" * 32, [Ranked("=c", "+p", (), 0.5, 0.4, 0.6, 0.5, 1, None, "@x is small.", ())]
    )
    assert (tmp_path / "rank.csv").read_text().splitlines()[1] == "1,'=c,'+p,0.5,0.4,0.6,0.5,1,,'@x is small."


def test_no_estimates_are_none(tmp_path: Path) -> None:
    assert read_quality(tmp_path) is None


def test_a_changed_or_lost_mask_has_no_estimate(folder: Path) -> None:
    (folder / "a.nii.gz").write_bytes(b"corrected by hand")
    (folder / "b.nii.gz").unlink()
    (folder / "c.nii.gz").touch()  # another time, the same content
    found = read_quality(folder)
    assert found is not None
    assert sorted(found.cases) == ["c", "d"]
    assert found.outdated == {"a": "The mask was changed since.", "b": "The mask is gone."}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"weights_sha256": "other"}, "another checkpoint"),
        ({"flips": True}, "other settings"),
        ({"scans": {"a": [{**SCAN, "sha256": "0"}]}}, "another scan"),
    ],
)
def test_masks_of_another_origin_have_no_estimate(folder: Path, change: dict, word: str) -> None:
    path = folder / "prediction.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    found = read_quality(folder)
    assert found is not None
    assert not found.cases
    assert word in found.outdated["a"]
    path.unlink()
    assert "prediction.json is gone" in read_quality(folder).outdated["a"]


def test_a_damaged_record_is_refused(folder: Path) -> None:
    path = folder / "quality.json"
    path.write_text(path.read_text().replace('"agreement": 0.5', '"agreement": 5'))
    with pytest.raises(UserError, match=r"quality\.json is damaged .*predict --quality"):
        read_quality(folder)
