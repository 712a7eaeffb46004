"""Which files an evaluation scored: their digests, where they lie, and which of them were changed since."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from crossmatch import formats
from crossmatch.atomic import file_sha256
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.known_images import unchanged_prints
from crossmatch.dataset.same_image import content_of
from crossmatch.errors import UserError, listed
from crossmatch.scoring.recorded_files import rewritten_scans
from crossmatch.scoring.scores import Evaluation
from crossmatch.scoring.stored import FolderPlaces

SCANS_WRITTEN = "Scans written since masks were made of them"


def digest_of(path: Path) -> str:
    """The digest of a label file, or those of its files where its voxels lie in a second one."""
    return " ".join(file_sha256(part) for part in formats.parts(path))


def places_of(out: Path, pred: Path, ref: Path) -> FolderPlaces | None:
    """Where masks and references lie, seen from the folder of results; None where no path leads there."""
    predictions, references = seen_from(out, pred), seen_from(out, ref)
    if predictions is None or references is None:
        return None
    return FolderPlaces(predictions=predictions, references=references)


def seen_from(folder: Path, path: Path) -> str | None:
    """The way from a folder to a file or folder, so that both may be moved together; None where there is none."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return None


def contents_beside(references: Path, cases: Iterable[str]) -> dict[str, str]:
    """Case -> `content_of` its image, where references lie in a dataset that `check` has read and it is as it was."""
    folder = (references if references.is_dir() else references.parent).resolve()
    with suppress(UserError):
        dataset = open_dataset(folder.parent)
        wanted = set(cases)
        found = unchanged_prints(dataset.root, [case for case in dataset.cases if case.id in wanted])
        return {case: content_of(each) for case, each in found.items()}
    return {}


def changed_since(scored: Mapping[str, str], place: Path | None) -> list[str]:
    """The cases whose files are not those that were scored; none where it is not known.

    Args:
        scored: case -> digest of the file that was scored. One that is not there any more is passed over.
        place: the folder of the files, or the one file.
    """
    there = {} if place is None else _there(scored, place)
    return [case for case, path in there.items() if digest_of(path) != scored[case]]


def is_unchanged(scored: Mapping[str, str], place: Path) -> bool:
    """Whether all files that were scored, if these are known, lie in a place as they were. Arguments as above."""
    there = _there(scored, place)
    return bool(scored) and set(there) == set(scored) and not changed_since(scored, place)


def _there(scored: Mapping[str, str], place: Path) -> dict[str, Path]:
    """The files of the scored cases in a folder, or the one file."""
    if not place.is_dir():
        return dict.fromkeys(scored, place) if place.is_file() else {}
    return {case: path for case, path in formats.files_in(place) if case in scored} if scored else {}


def told_since(evaluation: Evaluation, masks: Path | None, references: Path | None) -> list[str]:
    """Sentences that name the masks, references and scans whose scores are of earlier files.

    Args:
        masks, references: where they lie; None where nobody knows.
    """
    kinds = {
        "Masks written since they were scored": changed_since(evaluation.masks_sha256, masks),
        "References written since masks were scored against them": changed_since(
            evaluation.references_sha256, references
        ),
    }
    told = [f"{what} ({len(cases)}): {listed(cases)}. Evaluate again." for what, cases in kinds.items() if cases]
    there = {} if masks is None else _there(dict.fromkeys(evaluation.case_means(), ""), masks)
    if scans := rewritten_scans(there):
        told.append(f"{SCANS_WRITTEN} ({len(scans)}): {listed(scans)}. Predict and evaluate again.")
    return told
