"""The folder of an evaluation's results: only those of the same two folders, scored in the same way, are replaced."""

import os
from pathlib import Path

from crossmatch.errors import UserError
from crossmatch.scoring.scored_files import is_unchanged, places_of
from crossmatch.scoring.scores import Evaluation, load_evaluation
from crossmatch.scoring.stored import Prediction


def refuse_others(out: Path, pred: Path, ref: Path, prediction: Prediction | None, largest_component: bool) -> None:
    """A UserError unless `out` is free, or holds what an earlier evaluation of the same folders and kind wrote."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: name a folder for cases.csv and summary.json.")
    found = [name for name in ("cases.csv", "summary.json") if (out / name).exists()]
    if not found:
        return
    try:
        before = load_evaluation(out)
        what = f"the evaluation of {before.predictions} against {before.references}{before.of_what}"
        same = (before.predictions, before.references) == (name_of(pred), name_of(ref))
        same &= out.resolve() == pred.resolve() or before.prediction == prediction
        same &= before.largest_component == largest_component
        if same and (others := _other_folders(out, before, pred, ref)):
            what, same = f"the evaluation of {others}", False
    except UserError:
        what, same = " and ".join(found), False
    if not same:
        raise UserError(f"{out} already holds {what}: name another folder with --out, nothing is overwritten.")


def name_of(path: Path) -> str:
    """The last part of where it really lies, which is all that results say of it when they are shared."""
    return path.resolve().name


def _other_folders(out: Path, before: Evaluation, pred: Path, ref: Path) -> str | None:
    """Which folders of the same names were evaluated before; None where they are these, as far as anybody knows.

    All folders may have been moved together. A single one may have been, if it holds the files that were scored.
    """
    known, now = before.places, places_of(out, pred, ref)
    if known is None or now is None:  # results of an earlier version know names alone
        return None
    same = known["predictions"] == now["predictions"] or is_unchanged(before.masks_sha256, pred)
    same &= known["references"] == now["references"] or is_unchanged(before.references_sha256, ref)
    if same:
        return None
    masks, references = (
        os.path.normpath(out.resolve() / place) for place in (known["predictions"], known["references"])
    )
    return f"{masks} against {references}"
