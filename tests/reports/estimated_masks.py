"""Masks as `predict` leaves them, with their scans and estimates written down, for tests of reports."""

import json
import os
from pathlib import Path

from written_runs import write_predictions

from crossmatch import formats
from crossmatch.atomic import file_sha256
from crossmatch.inference.estimates import CalibrationFacts, MadeBy
from crossmatch.inference.origin import file_state
from crossmatch.inference.quality_record import write_quality

SCRIPT = "<script>alert(1)</script>"


def scan_state(folder: Path, scan: Path) -> dict:
    """What prediction.json in a folder of masks says of a scan's file."""
    stat, path = scan.stat(), os.path.relpath(scan, folder)
    times = {"mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
    return {"path": path, "size": stat.st_size, **times, "sha256": file_sha256(scan)}


def predicted(folder: Path, source: Path, split: str = "Ts", **facts: object) -> Path:
    """Masks of the cases of a split, and what `predict` writes down of their scans; `facts` of what made them."""
    count = len(list((source / f"labels{split}").iterdir()))
    write_predictions(source, folder, (0, 1, 2, 4)[:count], split)
    scans = {
        formats.stem(path): [scan_state(folder, source / f"images{split}" / f"{formats.stem(path)}_0000.nii.gz")]
        for path in sorted(folder.glob("*.nii.gz"))
    }
    made = {"scans": scans, "weights_sha256": "ab", "flips": False, **facts}
    (folder / "prediction.json").write_text(json.dumps(made))
    return folder


def write_estimates(folder, dice: dict[str, float | None], outside: str = ""):
    """quality.json of masks with these estimates; the case `outside` is out of distribution."""
    one = {
        "low": None, "high": None, "agreement": 0.5, "soft_dice": 0.8, "border_entropy": 0.1, "voxels": 9,
        "volume_ml": 1.0, "surface_cm2": 2.0, "components": 2, "edge_share": 0.0,
    }  # fmt: skip
    scans = json.loads((folder / "prediction.json").read_text())["scans"]
    cases = {
        case: {
            **{key: one[key] for key in ("agreement", "soft_dice", "border_entropy")},
            "dice": value,
            "low": None if value is None else value - 0.1,
            "high": None if value is None else value + 0.05,
            "flags": [f"Grey values lie far outside {SCRIPT}.", "RV lies in 9 parts."] if case == outside else [],
            "out_of_distribution": case == outside,
            "grey_distance": 0.0,
            "spacing_distance": 1.0,
            "classes": {name: {**one, "dice": value} for name in ("RV", "MYO")},
            "mask": file_state(folder, folder / f"{case}.nii.gz"),
            "scan": scans[case],
        }
        for case, value in dice.items()
    }
    bins = [{"confidence": 0.7, "accuracy": 0.5, "share": 0.4}, {"confidence": 0.95, "accuracy": 0.9, "share": 0.6}]
    reliability = {
        "temperature": 1.7, "ece_before": 0.081, "ece_after": 0.032, "bins_before": bins, "bins_after": bins,
    }  # fmt: skip
    fitted = None not in dice.values()
    facts = CalibrationFacts(
        method="validation" if fitted else "none",
        told="Fitted on 4 validation cases.",
        cases=["case_004"],
        weights_sha256="ab",
        level=0.8,
        error=0.04 if fitted else None,
        reliability=reliability if fitted else None,
    )
    made = MadeBy(run="run", checkpoint="last", step=60, weights_sha256="ab", flips=False, views=["clean", "weak"])
    write_quality(folder, made, facts, {"RV": 1, "MYO": 2}, cases)
