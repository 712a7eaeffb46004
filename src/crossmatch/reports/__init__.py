"""The report of a run, or of several: one HTML page that needs no other file, for reading, printing and sending."""

import os
from collections.abc import Sequence
from pathlib import Path

from crossmatch.atomic import write_text
from crossmatch.errors import UserError
from crossmatch.formats import files_in
from crossmatch.reports.comparison import check_comparable, render_comparison, run_names
from crossmatch.reports.document import GENERATOR
from crossmatch.reports.evaluated import references_of
from crossmatch.reports.page import render
from crossmatch.reports.pairs import Compared
from crossmatch.reports.scans import ORIGIN
from crossmatch.reports.unscored import Unscored
from crossmatch.reports.viewer import Viewer
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import Run, open_run
from crossmatch.runs.tracking import is_tracked, log_report
from crossmatch.scoring.scores import Evaluation, load_evaluation

__all__ = ["write_comparison", "write_report"]


def write_comparison(run_folders: Sequence[Path], out: Path) -> Path:
    """Write one page that compares runs: scores, the same slices, case by case, curves, settings that differ.

    Args:
        run_folders: at least two runs; each with its newest RUN/*/summary.json. The others are compared with the first.
        out: the page; an earlier report there is replaced, any other file is not.

    Returns:
        The page's path.

    Raises:
        UserError: fewer than two runs, not a run, one run twice, runs of different classes, or `out` is a file of
            another kind.
    """
    if len(run_folders) < 2:
        raise UserError("A comparison takes at least two runs.")
    runs = [open_run(folder) for folder in run_folders]
    for run in runs:
        _refuse_packed(run)
    check_comparable(runs)
    _refuse_other_files(out)
    compared = []
    for name, run in zip(run_names(run_folders), runs, strict=True):
        found = _newest(run.folder)
        scores = None if found is None else load_evaluation(found)
        masks = references = None
        if found is not None and scores is not None:
            masks, references = _predictions(found.parent, scores), references_of(run, scores, found.parent)
        compared.append(Compared(name, run, read_metrics(run.metrics), scores, masks, references))
    write_text(out, render_comparison(compared))
    return out


def write_report(
    run_folder: Path,
    evaluation: Path | None = None,
    predictions: Path | None = None,
    out: Path | None = None,
    *,
    viewer: bool = False,
) -> Path:
    """Write the page of a run, finished or not: scores and pictures of its predictions, curves, settings.

    Args:
        run_folder: a run.
        evaluation: a summary.json or the folder that holds one. Default: that of `predictions`, or the newest
            RUN/*/summary.json, if any.
        predictions: a folder of masks that the run made, with or without references. With `evaluation`: the masks that
            were evaluated. Default: the evaluation's folder, or the one beside it that has the name the evaluation
            recorded. Masks without a score are shown too, from here and from the RUN/* that `predict` wrote.
        out: the page, RUN/report.html by default; an earlier report there is replaced, any other file is not.
        viewer: put a viewer of volumes into the page, with the cases that have pictures, where they are small.

    Returns:
        The page's path.

    Raises:
        UserError: not a run, not an evaluation, an evaluation without a case, no masks in `predictions`, or `out` is a
            file of another kind.
    """
    run = open_run(run_folder)
    _refuse_packed(run)
    out = run_folder / "report.html" if out is None else out
    _refuse_other_files(out)
    if predictions is not None and evaluation is None:
        _refuse_without_masks(predictions)
    found = evaluation or _of_folder(predictions) or _newest(run_folder)
    scores = None if found is None else load_evaluation(found)
    masks: Path | None = None  # that were evaluated
    references: Path | None = None  # of these
    if found is not None and scores is not None:
        own = found if found.is_dir() else found.parent
        masks = predictions if predictions is not None and evaluation is not None else _predictions(own, scores)
        references = references_of(run, scores, own)
    shown = Viewer({name: value for name, value in run.data["labels"].items() if value}) if viewer else None
    write_text(out, render(run, scores, masks, references, _unscored(run, scores, masks, predictions), shown))
    if is_tracked(run_folder):
        log_report(run_folder, out)
    return out


def _unscored(run: Run, scores: Evaluation | None, evaluated: Path | None, predictions: Path | None) -> list[Unscored]:
    """Masks without a score: those given, those beside evaluated ones, and in RUN/* those that nobody evaluated."""
    folders = [folder for folder in (predictions, evaluated) if folder is not None]
    made = [path.parent for path in sorted(run.folder.glob(f"*/{ORIGIN}"))]
    folders += [folder for folder in made if not (folder / "summary.json").is_file()]
    distinct = {folder.resolve(): folder for folder in reversed(folders)}
    scored = {} if scores is None else scores.case_means()
    found = []
    for folder in reversed(distinct.values()):
        of_these = evaluated is not None and folder.resolve() == evaluated.resolve()
        found.append(Unscored(run, folder, tuple(scored) if of_these else ()))
    return [each for each in found if each.masks or each.notes]


def _of_folder(predictions: Path | None) -> Path | None:
    """The evaluation that lies beside masks."""
    return predictions if predictions is not None and (predictions / "summary.json").is_file() else None


def _newest(run_folder: Path) -> Path | None:
    """The summary.json written last in a folder of the run.

    Raises:
        UserError: a folder there may not be read, so nobody knows what it holds.
    """
    for path in sorted(run_folder.iterdir()):
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise UserError(f"{path} may not be read: change its permissions, or name another with --predictions.")
    return max(run_folder.glob("*/summary.json"), key=lambda path: path.stat().st_mtime, default=None)


def _predictions(folder: Path, scores: Evaluation) -> Path:
    """Where the evaluated masks probably lie. `read_scan` checks by their Dice whether they are the right ones."""
    recorded = folder.resolve().parent / scores.predictions
    return folder if files_in(folder) or not recorded.is_dir() else recorded


def _refuse_packed(run: Run) -> None:
    if run.is_packed:
        raise UserError(f"{run.folder} is a packed model, without log and scores: report the run it was packed from.")


def _refuse_without_masks(folder: Path) -> None:
    if not folder.is_dir() or not files_in(folder):
        what = "has no masks" if folder.is_dir() else "is no folder"
        raise UserError(f"{folder} {what}: name the folder that `crossmatch predict` wrote.")


def _refuse_other_files(out: Path) -> None:
    if out.is_dir():
        raise UserError(f"{out} is a folder: name the page itself, for example {out / 'report.html'}.")
    if out.exists() and GENERATOR not in out.read_bytes()[:1000].decode("utf-8", "replace"):
        raise UserError(f"{out} exists and is no report of a run: choose another --out; nothing was overwritten.")
