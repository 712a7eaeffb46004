"""The report of a run: one HTML page that needs no other file, for reading, printing and sending."""

from pathlib import Path

from crossmatch.atomic import write_text
from crossmatch.errors import UserError
from crossmatch.formats import files_in
from crossmatch.reports.page import GENERATOR, render
from crossmatch.runs.run import open_run
from crossmatch.scoring.scores import Evaluation, load_evaluation

__all__ = ["write_report"]


def write_report(
    run_folder: Path, evaluation: Path | None = None, predictions: Path | None = None, out: Path | None = None
) -> Path:
    """Write the page of a run, finished or not: settings and curves, and after an evaluation scores and pictures.

    Args:
        run_folder: a run.
        evaluation: a summary.json or the folder that holds one. Default: the newest RUN/*/summary.json, if any.
        predictions: the folder of the evaluated masks, for the pictures. Default: the evaluation's folder, or the one
            beside it that has the name the evaluation recorded.
        out: the page, RUN/report.html by default; an earlier report there is replaced, any other file is not.

    Returns:
        The page's path.

    Raises:
        UserError: not a run, not an evaluation, an evaluation without a case, or `out` is a file of another kind.
    """
    run = open_run(run_folder)
    if run.is_packed:
        raise UserError(f"{run_folder} is a packed model, without log and scores: report the run it was packed from.")
    out = run_folder / "report.html" if out is None else out
    _refuse_other_files(out)
    found = _newest(run_folder) if evaluation is None else evaluation
    scores: Evaluation | None = None
    if found is not None:
        scores = load_evaluation(found)
        if predictions is None:
            predictions = _predictions(found if found.is_dir() else found.parent, scores)
    write_text(out, render(run, scores, predictions))
    return out


def _newest(run_folder: Path) -> Path | None:
    """The summary.json written last in a folder of the run."""
    return max(run_folder.glob("*/summary.json"), key=lambda path: path.stat().st_mtime, default=None)


def _predictions(folder: Path, scores: Evaluation) -> Path:
    """Where the evaluated masks probably lie. `read_scan` checks by their Dice whether they are the right ones."""
    recorded = folder.resolve().parent / scores.predictions
    return folder if files_in(folder) or not recorded.is_dir() else recorded


def _refuse_other_files(out: Path) -> None:
    if out.is_dir():
        raise UserError(f"{out} is a folder: name the page itself, for example {out / 'report.html'}.")
    if out.exists() and GENERATOR not in out.read_bytes()[:1000].decode("utf-8", "replace"):
        raise UserError(f"{out} exists and is no report of a run: choose another --out; nothing was overwritten.")
