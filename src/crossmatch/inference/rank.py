"""Which unlabelled scans to label next: those whose masks a run trusts least, and no two alike."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossmatch.atomic import check_writable
from crossmatch.errors import UserError, listed
from crossmatch.inference.candidates import ScanToLabel, candidates_of
from crossmatch.inference.ensemble import load_networks
from crossmatch.inference.judged import calibration_of
from crossmatch.inference.origin import weights_digest
from crossmatch.inference.predict import Options, predictor_of
from crossmatch.inference.quality import judge
from crossmatch.inference.ranking import RANKING_TABLE, Ranked, shown, unread_files, write_ranking
from crossmatch.inference.scan_files import read_image
from crossmatch.inference.variety import choose
from crossmatch.runs.devices import choose_device, memory_advice
from crossmatch.runs.display import Counted, counting
from crossmatch.runs.run import Run, open_run

POOL = 3  # times as many of the most uncertain scans are looked at, at least, as are asked for
POOR, GOOD = 0.5, 0.9  # mean estimated Dice up to which all scans are looked at, and from which POOL decides


@dataclass(frozen=True)
class Looked:
    """What a run makes of scans. `uncertainty` (N,) is 1 minus the estimated Dice; features (N, C)."""

    uncertainty: np.ndarray
    features: np.ndarray
    verdicts: list[dict[str, object]]
    scans: Sequence[ScanToLabel] = ()  # N, without those whose voxels cannot be used
    failed: Sequence[UserError] = ()  # why they cannot
    weights_sha256: str = ""  # of the network


def rank(
    run: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    *,
    count: int = 5,
    out: str | os.PathLike[str] | None = None,
    checkpoint: str = "last",
    device: str = "auto",
    progress: Counted = True,
    warn: Callable[[str], None] | None = None,
) -> list[Ranked]:
    """Choose the scans to label next, those whose masks a run trusts least and no two alike; write rank.json and .csv.

    Args:
        run: a run's folder.
        data: a dataset, whose training cases without a label are looked at, or a folder of scans; by default the
            run's dataset.
        count: how many.
        out: folder for the two files; by default the run's.
        checkpoint: ``last``, ``best`` or the file of a checkpoint of the same network.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        progress: True shows a bar, False nothing; or a function called with (scans done, scans in all).
        warn: called with what the user should know about the scans; by default a warning of Python's.

    Returns:
        The scans in the order in which they should be labelled, each with its files and the reason.

    Raises:
        UserError: not a run, a count below 1, nothing to choose from, or scans that the network cannot take. Where only
            the voxels of some cannot be used, the others are ranked and written first, and these are named.
    """
    if type(count) is not int or count < 1:
        raise UserError(f"count is the number of scans to choose, 1 or more, not {count!r}.")
    opened = open_run(Path(run))
    if data is None and opened.is_packed:
        raise UserError(f"{run} is a packed model, which has no data: name a dataset, or a folder of scans.")
    if out is None and opened.is_packed:
        raise UserError(f"{run} is a packed model, which takes no further files: name a folder with --out.")
    target = opened.folder if out is None else Path(out)
    check_writable(target)
    place = Path(opened.data["root"]) if data is None else Path(data)
    if data is None and not place.is_dir():
        raise UserError(
            f"{place}, where the data of {run} were, is no folder now: name a dataset, or a folder of scans."
        )
    candidates, known = candidates_of(opened, place, warn or (lambda text: warnings.warn(text, stacklevel=3)))
    if not candidates:
        of_dataset = (place / "dataset.json").is_file()
        used = "every training case has a label that the run may use" if of_dataset else "all are in use by the run"
        raise UserError(f"{place} has no scan to choose from: {used}. Name a folder of new scans.")
    files = {one.case: unread_files(one.images) for one in candidates}
    with counting(progress, "Looking") as count_scans:
        looked, of_known = look(opened, [candidates, known], checkpoint, device, count_scans)
    failed = [*looked.failed, *of_known.failed]
    told = f"{len(failed)} of {len(candidates) + len(known)} scans cannot be used. {{}} {listed(failed, ' ')}"
    candidates = list(looked.scans)
    if not candidates:
        raise UserError(told.format("Nothing was ranked."))
    chosen = choose(
        looked.uncertainty,
        looked.features,
        [one.patient for one in candidates],
        of_known.features if of_known.scans else looked.features[:0],
        count,
        pool_of(looked, count),
    )
    found = []
    for one in chosen:
        candidate, verdict = candidates[one.number], looked.verdicts[one.number]
        dice, agreement = verdict["dice"], verdict["agreement"]
        trusted = f"estimated Dice {100 * dice:.0f} %" if isinstance(dice, float) else f"agreement {shown(agreement)}"
        apart = "" if one.distance is None else f"; {one.distance:.1f} spreads from the nearest labelled or chosen scan"
        found.append(
            Ranked(
                case=candidate.case,
                patient=candidate.patient,
                images=tuple(str(path.absolute()) for path in candidate.images),
                **{key: verdict[key] for key in ("dice", "low", "high", "agreement")},  # type: ignore[arg-type]
                place=one.place,
                distance=one.distance,
                reason=f"{trusted}, number {one.place} of {len(candidates)} from below{apart}.",
                flags=tuple(verdict["flags"]),  # type: ignore[arg-type]
            )
        )
    write_ranking(target, opened, checkpoint, looked.weights_sha256, found, files)
    if failed:
        raise UserError(told.format(f"The others are ranked in {target / RANKING_TABLE}."))
    return found


def look(
    run: Run,
    groups: Sequence[Sequence[ScanToLabel]],
    checkpoint: str,
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Looked]:
    """Predict groups of scans and judge their masks, which are not written. Arguments and errors as of `rank`.

    Scans whose voxels cannot be used are left out, see `Looked.failed`.
    """
    network, (loaded,) = load_networks([run], checkpoint)
    chosen = choose_device(device)
    predictor = predictor_of([run], network.to(chosen), chosen, Options(checkpoint, device, quality=True))
    views = predictor.views
    assert views is not None
    total, done, found = sum(map(len, groups)), 0, []
    with memory_advice("Use --device cpu."):
        digest = weights_digest(loaded.network)
        calibration = calibration_of([run], predictor, digest, progress)
        for group in groups:
            verdicts, features, scans, failed = [], [], list[ScanToLabel](), list[UserError]()
            for one in group:
                progress(done, total)
                done += 1
                try:
                    volumes = read_image(one.images)
                except UserError as error:
                    failed.append(error)
                    continue
                views.start()
                labels, _ = predictor(volumes, one.images[0])
                sums = views.sums()
                verdicts.append(judge(run, calibration, volumes, labels, sums))
                features.append(sums.features)
                scans.append(one)
            uncertainty = np.array([_uncertainty(one) for one in verdicts])
            found.append(Looked(uncertainty, np.array(features), verdicts, scans, failed, digest))
    progress(total, total)
    return found


def pool_of(looked: Looked, count: int) -> int:
    """How many of the most uncertain scans to choose `count` from.

    A poor network is a poor judge of its masks, and what is unlike all labelled scans teaches it most: then all are
    looked at. The better the estimates, the more they narrow the choice, down to `POOL` times `count`. Without
    estimates of Dice, all are looked at.
    """
    dice = [float(one["dice"]) for one in looked.verdicts if one["dice"] is not None]  # type: ignore[arg-type]
    share = (GOOD - float(np.mean(dice))) / (GOOD - POOR) if dice else 1.0
    return min(len(looked.verdicts), max(POOL * count, round(min(1.0, share) * len(looked.verdicts))))


def _uncertainty(verdict: dict[str, object]) -> float:
    """1 minus the estimated Dice, or the agreement; a mask with nothing in it is the most uncertain."""
    value = verdict["dice"] if verdict["dice"] is not None else verdict["agreement"]
    return 1.0 if value is None else 1.0 - float(value)  # type: ignore[arg-type]
