"""The scans to label next, kept beside a run: `rank.json` and `rank.csv`. `inference/rank.py` chooses them."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch.atomic import read_json, write_json, write_text
from crossmatch.errors import no_formula
from crossmatch.runs.run import Run

RANKING, RANKING_TABLE = "rank.json", "rank.csv"


@dataclass(frozen=True)
class Ranked:
    """A scan to label.

    Attributes:
        case, patient: its names.
        images: the paths of its files.
        dice, low, high: the Dice that is expected of its mask, see `estimates.Estimate`.
        agreement: of the decodings.
        place: by uncertainty, 1 is the most uncertain of all candidates.
        distance: of its features to those of the nearest scan that is labelled or stands above; in spreads.
        reason: all this in a sentence.
        flags: of its mask.
    """

    case: str
    patient: str
    images: tuple[str, ...]
    dice: float | None
    low: float | None
    high: float | None
    agreement: float | None
    place: int
    distance: float | None
    reason: str
    flags: tuple[str, ...]


class StoredRanking(TypedDict):
    """The content of rank.json."""

    run: str
    next: list[Ranked]


def write_ranking(folder: Path, run: Run, found: Sequence[Ranked]) -> None:
    """Write the two files into a folder."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["number", "case", "patient", "dice", "low", "high", "agreement", "place", "distance", "reason"])
    for number, one in enumerate(found, start=1):
        numbers = (one.dice, one.low, one.high, one.agreement, one.place, one.distance)
        case, patient, reason = map(no_formula, (one.case, one.patient, one.reason))
        rows.writerow([number, case, patient, *map(shown, numbers), reason])
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / RANKING_TABLE, text.getvalue())
    write_json(folder / RANKING, {"run": run.folder.resolve().name, "next": [asdict(one) for one in found]})


def read_ranking(run: Run) -> list[Ranked]:
    """The scans to label next that lie in the run's folder; none where nothing was ranked.

    Raises:
        UserError: rank.json is damaged.
    """
    path = run.folder / RANKING
    return (
        read_json(path, StoredRanking, "remove it; `crossmatch rank` makes it again")["next"] if path.is_file() else []
    )


def shown(value: object) -> str:
    """A number in a table; nothing where there is none."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
