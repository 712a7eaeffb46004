"""The public functions, under the names that `import crossmatch` offers, for scripts and notebooks.

Each does what the command of the same name does. An error that a user can correct raises `UserError`, whose text names
settings as the command line does: "--set train.steps=100" is ``train__steps=100`` here.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from crossmatch.dataset import check as checking
from crossmatch.dataset.fingerprint import Fingerprint
from crossmatch.errors import UserError
from crossmatch.inference.ensemble import load_networks, open_runs
from crossmatch.inference.model import Model
from crossmatch.inference.rank import rank
from crossmatch.plan.make import make_plan
from crossmatch.recipes import Recipe
from crossmatch.reports import write_report
from crossmatch.runs.devices import choose_device
from crossmatch.runs.display import Counted, Display, Silent, Terminal, TrainingDisplay, counting
from crossmatch.runs.tracking import is_tracked
from crossmatch.scoring import evaluate as scoring
from crossmatch.scoring.scores import Evaluation
from crossmatch.training.fit import fit
from crossmatch.training.wanted import AUTO, going_on, new_run

__all__ = ["Display", "Model", "check", "evaluate", "load", "rank", "report", "train"]

AnyPath = str | os.PathLike[str]  # of a file or a folder


def check(folder: AnyPath, *, progress: Counted = True) -> Fingerprint:
    """Look at every voxel of a dataset once, and keep what was found for the training.

    Args:
        folder: a dataset, see docs/datasets.md.
        progress: True shows a bar, False nothing; or a function called with (cases done, cases in all).

    Returns:
        What was found: `cases`, `labels`, and `warnings`, texts about what may be wrong.

    Raises:
        UserError: the folder is no dataset, or files in it cannot be used; all problems in one message.
    """
    with counting(progress, "Checking") as count:
        return checking.check(folder, count)


def train(
    recipe: str | os.PathLike[str] | Recipe | None = None,
    data: AnyPath | None = None,
    out: AnyPath | None = None,
    *,
    minutes: float | None = None,
    seed: int | None = None,
    device: str = "auto",
    resume: bool = False,
    steps: int | None = None,
    begin_from: AnyPath | None = None,
    track: Literal["mlflow"] | None = None,
    progress: bool | Display | None = True,
    **changes: object,
) -> Model:
    """Train a network, on one device. Ctrl-C keeps what was learned; continue with ``resume=True``.

    PyTorch's random generator is seeded. Training on several devices is for the command line (docs/parallel.md).

    Args:
        recipe: ``auto`` chooses one from the data; or the name of a recipe (`recipes.recipe_names()`), the path of a
            TOML file, or a `Recipe`. With `resume` or `begin_from` it may be left out, and so may `data`.
        data: a dataset's folder.
        minutes: with ``auto``, how long the training may take.
        out: the run's folder, which does not exist yet; with `resume` an existing run.
        seed: of the run; by default the recipe's.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        resume: continue the run in `out`. If you give a recipe or changes, they must be those it was started with.
        steps: in all; with `resume` a finished run continues up to this number, by a schedule that is reported.
        begin_from: a run or packed model whose weights a new run begins with; labels and channels may differ.
        track: ``mlflow`` sends settings, scalars and the report to MLflow too, into a folder mlruns beside `out`.
        progress: True shows a bar in a terminal or a notebook (which needs ipywidgets), elsewhere a line every half
            minute; False shows nothing; or a `Display` of your own.
        changes: settings that differ from the recipe's, groups and keys joined by two underscores:
            ``train__steps=1000, method__name="supervised", data__size=(128, 128)``.

    Returns:
        The trained model, of the last checkpoint.

    Raises:
        UserError: a recipe, setting, dataset or folder that cannot be used; a run in `out` keeps its last checkpoint.
        KeyboardInterrupt: Ctrl-C; what was learned is kept.

    >>> train("phantom", "my_scans")
    Traceback (most recent call last):
    crossmatch.errors.UserError: Name the run's folder with out.
    """
    if out is None:
        raise UserError("Name the run's folder with out.")
    settings, out = _settings(changes if seed is None else {**changes, "seed": seed}), Path(out)
    folder, other = (None if path is None else Path(path) for path in (data, begin_from))
    if track not in (None, "mlflow"):
        raise UserError(f"track is 'mlflow' or left out, not {track!r}.")
    if minutes is not None and (recipe != AUTO or resume):
        raise UserError("minutes is for the recipe 'auto' of a new run, which chooses the size: leave it out.")
    if resume:
        wanted = going_on(out, recipe, folder, settings, steps, other)
    else:
        settings |= {} if steps is None else {"train.steps": steps}
        wanted = new_run(
            recipe,
            folder,
            settings,
            other,
            lambda place: make_plan(place, minutes=minutes, changes=settings, device=device).proposal.recipe,
        )
    with _showing(progress, wanted.recipe) as display:
        for note in wanted.notes:
            display.warn(note)
        done = fit(
            wanted.recipe,
            wanted.data,
            out,
            display,
            device=device,
            resume=resume,
            extend_to=wanted.extend_to,
            begin_from=other,
            compiled="--compile" in wanted.flags,
            graphs="--graphs" in wanted.flags,
            track=track is not None,
        )
    if is_tracked(out):
        write_report(out)
    last = wanted.extend_to or wanted.recipe.train.steps
    if done < last:
        raise KeyboardInterrupt(f"stopped at step {done} of {last}; go on with resume=True")
    return load(out, device=device)


def load(run: AnyPath | Sequence[AnyPath], checkpoint: str = "last", *, device: str = "auto") -> Model:
    """A trained model from a run's folder; from several runs, a model that averages their probabilities.

    Args:
        run: the folder that `train` or `crossmatch train` wrote; or a list of them, such as the folds of a
            cross-validation. Their labels, channels and preprocessing must be the same.
        checkpoint: ``last``, ``best`` (by validation), or for a single run the path of a checkpoint of its network.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        UserError: no run, no such checkpoint, a damaged one, no such device, or runs that cannot be averaged.
    """
    chosen = choose_device(device)
    first, *others = runs = open_runs([Path(run)] if isinstance(run, str | os.PathLike) else [Path(one) for one in run])
    network, _ = load_networks(runs, checkpoint)
    return Model(first, network.to(chosen), checkpoint, chosen, tuple(others))


def evaluate(
    pred: AnyPath,
    ref: AnyPath,
    out: AnyPath | None = None,
    *,
    labels: Mapping[str, int] | None = None,
    partial: bool = False,
    largest_component: bool = False,
    progress: Counted = True,
) -> Evaluation:
    """Compare predicted label files with references: Dice, Jaccard, HD95, ASD and ASSD of each case and class.

    Args:
        pred, ref: two folders with files of the same names, or two files.
        out: folder for cases.csv and summary.json, which `report` reads; nothing is written without it.
        labels: class -> value; by default those of the dataset.json beside the reference folder, otherwise the
            values in the references.
        partial: evaluate the cases that have a prediction, even if others have none.
        largest_component: score only the largest component of each predicted class, as many published figures do.
        progress: True shows a bar, False nothing; or a function called with (cases done, cases in all).

    Returns:
        A row for each case and class, `statistics()` over cases, and a `table()` to print.

    Raises:
        UserError: nothing to compare, missing predictions without `partial`, grids or label values that differ, files
            that cannot be read, or an `out` that holds another evaluation.
    """
    with counting(progress, "Evaluating") as count:
        return scoring.evaluate(
            pred,
            ref,
            out,
            labels=labels,
            partial=partial,
            largest_component=largest_component,
            progress=count,
            warn=lambda text: warnings.warn(text, stacklevel=2),
        )


def report(
    run: AnyPath, out: AnyPath | None = None, *, evaluation: AnyPath | None = None, predictions: AnyPath | None = None
) -> Path:
    """Write one self-contained HTML page of a run: scores and pictures of its predictions, curves, settings.

    Args:
        run: a run's folder, finished or not.
        out: the page; RUN/report.html by default.
        evaluation: a summary.json or its folder; by default that of `predictions`, or the newest RUN/*/summary.json.
        predictions: a folder of masks that the run made, with or without references; by default those in RUN/*.

    Returns:
        The page's path.

    Raises:
        UserError: not a run, not an evaluation, a folder without masks, or `out` is a file of another kind.
    """
    given = [None if path is None else Path(path) for path in (evaluation, predictions, out)]
    return write_report(Path(run), *given)


def _settings(changes: Mapping[str, object]) -> dict[str, object]:
    """``{"train__steps": 1000}`` -> ``{"train.steps": 1000}``; paths become text."""
    return {
        key.replace("__", "."): os.fspath(value) if isinstance(value, os.PathLike) else value
        for key, value in changes.items()
    }


@contextmanager
def _showing(progress: bool | Display | None, recipe: Recipe) -> Iterator[Display]:
    """The display of a training."""
    if progress is True:
        with TrainingDisplay(Terminal(), recipe.method.name, recipe.work) as display:
            yield display
    else:
        yield progress or Silent()
