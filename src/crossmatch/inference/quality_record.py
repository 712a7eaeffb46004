"""The estimated quality of predicted masks on disk: `quality.json` and `quality.csv` in the folder of the masks.

An estimate records the run, checkpoint, mask and scan that it was made from, so that it is never used for another mask.
`inference/quality.py` makes the estimates; this file only keeps them.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch.atomic import read_json, write_json, write_text
from crossmatch.errors import listed, no_formula
from crossmatch.inference.estimates import CalibrationFacts, CaseQuality, MadeBy, StoredQuality
from crossmatch.inference.origin import ORIGIN, Recorded
from crossmatch.scoring.recorded_files import has_changed

QUALITY, TABLE = "quality.json", "quality.csv"


@dataclass(frozen=True)
class QualityRecord:
    """The estimates of a folder of masks that are still valid.

    Attributes:
        made_by, calibration: what the estimates come from.
        labels: name -> value of the classes, without background.
        cases: name -> its estimates. Invalid ones are not among them.
        outdated: name -> why its estimate is no longer valid, in one sentence.
    """

    made_by: MadeBy
    calibration: CalibrationFacts
    labels: dict[str, int]
    cases: dict[str, CaseQuality]
    outdated: dict[str, str]

    def worst_first(self) -> list[str]:
        """The names of the cases: those outside the training data first, then by the estimated Dice (or agreement)."""

        def key(name: str) -> tuple[bool, float, str]:
            case = self.cases[name]
            value = case["agreement"] if case["dice"] is None else case["dice"]
            return not case["out_of_distribution"], -1.0 if value is None else value, name

        return sorted(self.cases, key=key)


def write_quality(
    folder: Path,
    made_by: MadeBy,
    calibration: CalibrationFacts,
    labels: dict[str, int],
    cases: dict[str, CaseQuality],
) -> None:
    """Write `quality.json` and `quality.csv`, each whole or not at all.

    Args:
        folder: of the masks.
        labels: name -> value of the classes, without background.
        cases: the estimates of all masks of the folder that have one.
    """
    stored = StoredQuality(
        format="crossmatch quality 2", made_by=made_by, calibration=calibration, labels=labels, cases=cases
    )
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for name, case in cases.items():
        rows.writerows(_rows(name, case))
    write_text(folder / TABLE, text.getvalue())
    write_json(folder / QUALITY, stored)


def read_quality(folder: Path) -> QualityRecord | None:
    """The estimates of a folder of masks; None where there are none.

    A case whose mask was changed or removed since, or whose mask prediction.json says to be of another scan or
    network, is in `outdated` instead of `cases`.

    Raises:
        UserError: `quality.json` or `prediction.json` is damaged.
    """
    if not (folder / QUALITY).is_file():
        return None
    stored = read_json(folder / QUALITY, StoredQuality, "remove it; `crossmatch predict --quality` makes it again")
    cases, outdated = {}, {}
    origin = _origin(folder)
    for name, case in stored["cases"].items():
        why = _why_outdated(folder, name, case, stored["made_by"], origin)
        if why is None:
            cases[name] = case
        else:
            outdated[name] = why
    return QualityRecord(stored["made_by"], stored["calibration"], dict(stored["labels"]), cases, outdated)


def warn_of_old(folder: Path, warn: Callable[[str], None]) -> None:
    """Name the masks of a folder whose estimates are those of earlier masks."""
    record = read_quality(folder)
    if record is not None and record.outdated:
        warn(f"estimated quality in {TABLE} is of earlier masks: {listed(record.outdated)}; add --quality to renew it")


_COLUMNS = (
    "case",
    "class",
    "dice",
    "low",
    "high",
    "agreement",
    "soft_dice",
    "border_entropy",
    "voxels",
    "volume_ml",
    "surface_cm2",
    "components",
    "edge_share",
    "grey_distance",
    "spacing_distance",
    "out_of_distribution",
    "flags",
)


def _rows(name: str, case: CaseQuality) -> Iterator[list[object]]:
    """A row for the mean over classes, then one for each class; what is undefined is empty."""
    estimate = ("dice", "low", "high", "agreement", "soft_dice", "border_entropy")
    whole = ("grey_distance", "spacing_distance", "out_of_distribution")
    shape = ("voxels", "volume_ml", "surface_cm2", "components", "edge_share")
    facts: dict[str, Any] = dict(case)
    flags = " ".join(case["flags"])
    name = no_formula(name)
    yield [name, "mean", *_shown(facts, estimate), *[""] * len(shape), *_shown(facts, whole), no_formula(flags)]
    for label, one in case["classes"].items():
        yield [name, no_formula(label), *_shown(dict(one), (*estimate, *shape)), *[""] * (len(whole) + 1)]


def _shown(facts: dict[str, Any], keys: Iterable[str]) -> list[object]:
    found = [facts[key] for key in keys]
    return ["" if value is None else f"{value:.6g}" if isinstance(value, float) else value for value in found]


class _Origin(TypedDict, total=False):
    """The part of prediction.json that tells whether estimates belong to these masks."""

    weights_sha256: str
    flips: bool
    scans: Recorded


def _origin(folder: Path) -> _Origin:
    """What prediction.json says; nothing where there is none."""
    path = folder / ORIGIN
    return read_json(path, _Origin, "predict again into another folder") if path.is_file() else {}


def _why_outdated(folder: Path, name: str, case: CaseQuality, made_by: MadeBy, origin: _Origin) -> str | None:
    """Why the estimate of a case holds no more; None: it holds."""
    if not origin:
        return f"{ORIGIN} is gone, which says what made the mask."
    if any(origin.get(key) != made_by[key] for key in ("weights_sha256", "flips")):
        return "The mask was made by another checkpoint or with other settings."
    recorded = origin.get("scans", {}).get(name, [])
    if [each["sha256"] for each in recorded] != [each["sha256"] for each in case["scan"]]:
        return "The mask was made from another scan of this name."
    path = folder / case["mask"]["path"]
    if not path.is_file():
        return "The mask is gone."
    return "The mask was changed since." if has_changed(path, case["mask"]) else None
