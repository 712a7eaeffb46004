"""The scans to label next, kept beside a run: `rank.json` and `rank.csv`. `inference/rank.py` chooses them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NotRequired

from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch import formats
from crossmatch.atomic import file_sha256, read_json, write_json, write_text
from crossmatch.errors import listed, no_formula, quoted
from crossmatch.inference.present_weights import present_weights
from crossmatch.runs.run import Run
from crossmatch.scoring.recorded_files import SourceFile, has_changed

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
    checkpoint: NotRequired[str]  # ``last``, ``best`` or a path; earlier versions recorded neither this
    weights_sha256: NotRequired[str]  # nor the weights that it held
    scans: NotRequired[dict[str, list[SourceFile]]]  # case -> its files when it was looked at; nor these
    next: list[Ranked]


def unread_files(images: Iterable[Path]) -> list[SourceFile]:
    """The files of a scan as they are, before it is looked at; none where they are gone."""
    found = []
    with suppress(OSError):
        for path in (part.absolute() for image in images for part in formats.parts(image)):
            stat = path.stat()
            size, times = stat.st_size, (stat.st_mtime_ns, stat.st_ctime_ns)
            found.append(SourceFile(path=str(path), size=size, mtime_ns=times[0], ctime_ns=times[1], sha256=None))
    return found


def write_ranking(
    folder: Path,
    run: Run,
    checkpoint: str,
    weights_sha256: str,
    found: Sequence[Ranked],
    files: Mapping[str, list[SourceFile]] | None = None,
) -> None:
    """Write the two files into a folder.

    Args:
        folder: made if missing; run: that ranked.
        checkpoint: ``last``, ``best`` or a path; weights_sha256: of the network that it held.
        found: the scans, the first to label first.
        files: case -> its files before it was looked at; by default they are what they are now.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["number", "case", "patient", "dice", "low", "high", "agreement", "place", "distance", "reason"])
    for number, one in enumerate(found, start=1):
        numbers = (one.dice, one.low, one.high, one.agreement, one.place, one.distance)
        case, patient, reason = map(no_formula, (one.case, one.patient, one.reason))
        rows.writerow([number, case, patient, *map(shown, numbers), reason])
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / RANKING_TABLE, text.getvalue())
    named = checkpoint if checkpoint in ("last", "best") else str(Path(checkpoint).absolute())
    by = {"run": run.folder.resolve().name, "checkpoint": named, "weights_sha256": weights_sha256}
    scans = {one.case: (files or {}).get(one.case) or unread_files(map(Path, one.images)) for one in found}
    scans = {case: [_with_digest(file) for file in recorded] for case, recorded in scans.items()}
    write_json(folder / RANKING, {**by, "scans": scans, "next": [asdict(one) for one in found]})


def _with_digest(file: SourceFile) -> SourceFile:
    """A file with its digest; without one if it was written meanwhile, as nobody knows what was looked at then."""
    path = Path(file["path"])
    with suppress(OSError):
        digest = file_sha256(path)
        stat = path.stat()
        if (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) == (file["size"], file["mtime_ns"], file["ctime_ns"]):
            return {**file, "sha256": digest}
    return file


def read_ranking(run: Run) -> tuple[list[Ranked], str | None]:
    """The scans to label next by the run's folder, and a sentence where they are not, or may not be, those of today.

    They are none where nothing was ranked, and where the checkpoint holds other weights now. Scans whose files hold
    another scan by now are left out.

    Raises:
        UserError: rank.json is damaged.
    """
    path = run.folder / RANKING
    if not path.is_file():
        return [], None
    stored = read_json(path, StoredRanking, "remove it; `crossmatch rank` makes it again")
    checkpoint, known = stored.get("checkpoint", "last"), stored.get("weights_sha256")
    chosen = "" if checkpoint == "last" else f" --checkpoint {quoted(Path(checkpoint))}"
    again = f"crossmatch rank {quoted(run.folder)}{chosen}"
    now = None if known is None else present_weights(run, checkpoint)
    if now is not None and now.sha256 != known:
        return (
            [],
            f"The scans to label next were chosen with earlier weights, so they are not shown. Rank again: {again}",
        )
    told = []
    if now is None:
        why = "does not say with which weights it was made" if known is None else "was made with weights that are gone"
        told = [f"{path} {why}, so nobody knows whether these would choose the same scans now. To choose anew: {again}"]
    scans = stored.get("scans", {})
    others = [one.case for one in stored["next"] if any(map(_is_another, scans.get(one.case, [])))]
    if others:
        told.append(
            "Scans to label next whose files were written again since they were chosen are not shown: "
            f"{listed(others)}. Rank again: {again}"
        )
    return [one for one in stored["next"] if one.case not in others], " ".join(told) or None


def _is_another(file: SourceFile) -> bool:
    """Whether a file that is still there holds another content than it did."""
    return Path(file["path"]).is_file() and has_changed(Path(file["path"]), file)


def shown(value: object) -> str:
    """A number in a table; nothing where there is none."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
