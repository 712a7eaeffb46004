"""The finished run that teaches, for methods that need one (`MethodSettings.taught_by`)."""

from pathlib import Path

import numpy as np

from crossmatch.batches.intensity import Window
from crossmatch.errors import UserError, listed
from crossmatch.inference.alike import differences
from crossmatch.networks.segmenter import Segmenter
from crossmatch.runs.run import Run, open_run

# what teacher and student must have in common, in words
SHARED = {"dims": "spatial axes", "in_channels": "image channels", "classes": "classes, background included"}
ROUNDING = 1e-6  # share by which equal numbers may differ, as of labelled cases in another order


def refuse_other_task(run: Run) -> None:
    """Raise UserError if the run's teacher has other labels or channels than the run, or prepares scans otherwise.

    The teacher sees the images that the student sees, so it must scale grey values by the same numbers too.
    """
    folder = run.recipe.method.settings.taught_by
    if folder is None:
        return
    teacher = _open(folder)
    if differing := differences(teacher, run):
        raise UserError(
            f"method.teacher: {folder} and the run {run.folder} differ: {listed(differing, '; ')}. Give a run with the "
            "same labels, channels and preparation of scans."
        )
    for name, theirs, ours in zip(run.data["channels"], teacher.fixed_windows, run.fixed_windows, strict=False):
        if not np.allclose(theirs, ours, rtol=ROUNDING):
            raise UserError(
                f"method.teacher: {folder} and the run {run.folder} scale the grey values of {name} differently "
                f"({_words(theirs)}, and {_words(ours)}). data.normalise=ct takes these numbers from the labelled "
                "cases. Give a run with the same labelled cases, or train both runs with another data.normalise, such "
                "as percentile."
            )


def load_teacher(folder: Path, student: Segmenter) -> Segmenter:
    """The network of a run's last checkpoint.

    Args:
        folder: the run's folder.
        student: the network that will learn from it.

    Raises:
        UserError: the folder holds no run, the run has no checkpoint, or its network has other spatial axes, image
            channels or classes than the student.
    """
    run = _open(folder)
    if not run.checkpoint("last").is_file():
        raise UserError(
            f"method.teacher: the run {folder} has no checkpoint yet. Train it to its end first (go on with --resume), "
            "or give another run."
        )
    teacher, _ = run.load_network("last")
    for what, words in SHARED.items():
        theirs, ours = getattr(teacher, what), getattr(student, what)
        if theirs != ours:
            raise UserError(
                f"method.teacher: the network of {folder} has {theirs} {words}, this one {ours}. Give a run that was "
                "trained on the same kind of images and labels."
            )
    return teacher


def _words(window: Window) -> str:
    """In words, how grey values are scaled."""
    return f"cut to {window.low:.4g} ... {window.high:.4g}, mean {window.zero:.4g}, deviation {window.unit:.4g}"


def _open(folder: Path) -> Run:
    try:
        return open_run(folder)
    except UserError as error:
        raise UserError(f"method.teacher cannot be used: {error}") from None
