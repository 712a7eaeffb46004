"""Where the masks of an evaluation come from, and which of them are not as predict wrote them."""

from collections.abc import Mapping
from pathlib import Path

from crossmatch import formats
from crossmatch.atomic import read_json
from crossmatch.scoring.stored import Prediction


def origin_of(pred: Path) -> tuple[Prediction | None, dict[str, str | None] | None]:
    """What `crossmatch predict` wrote beside its masks in prediction.json.

    Args:
        pred: the folder of masks, or one of them.

    Returns:
        Run, checkpoint and recipe. Then case -> digest of its mask as it was written, None where it is not known. Both
        are None where nobody knows anything.
    """
    path = (pred if pred.is_dir() else pred.parent) / "prediction.json"
    if not path.is_file():
        return None, None
    found = read_json(path, Prediction, "predict again, or remove it")
    scans, masks = found.pop("scans", None), found.pop("masks", {})  # names of this machine, of no use elsewhere
    return found, None if scans is None else {case: masks[case]["sha256"] if case in masks else None for case in scans}


def edited(
    masks: Mapping[str, Path], digests: Mapping[str, str], written: Mapping[str, str | None] | None
) -> tuple[str, ...]:
    """The cases whose masks are not as predict wrote them: changed since, or put there by others.

    Args:
        masks: case -> file; digests: case -> what it holds.
        written: see `origin_of`.
    """
    known = {case: (written or {}).get(formats.stem(mask) or "", "") for case, mask in masks.items()}
    return () if written is None else tuple(case for case in masks if known[case] not in (None, digests[case]))
