"""Training: one loop for every method, network and number of axes. The step itself is in `step.py`."""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path

from crossmatch.batches.prefetch import drawing
from crossmatch.batches.views import Drawn
from crossmatch.dataset.dataset import Dataset, open_dataset
from crossmatch.errors import UserError, quoted
from crossmatch.formats.seal import SealedError, sealed
from crossmatch.networks import Segmenter
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.devices import choose_device, memory_advice, uses_bf16
from crossmatch.runs.display import Display
from crossmatch.runs.lock import only_writer
from crossmatch.runs.logbook import Logbook, Recorder
from crossmatch.runs.machine import Machine
from crossmatch.runs.run import Run, create_run, open_run, resume_run
from crossmatch.runs.tracking import Tracker, begin_tracking, check_tracking, is_tracked
from crossmatch.system.process import interrupts
from crossmatch.training.extend import extend_run
from crossmatch.training.material import TrainingCases, training_cases
from crossmatch.training.past import with_past
from crossmatch.training.pseudo_share import Overgrowth, Plateau, foreground_share
from crossmatch.training.ranks import ALONE, Place
from crossmatch.training.session import Session, open_session
from crossmatch.training.team import Team, check_flags, check_place
from crossmatch.training.transfer import begin_with
from crossmatch.training.unsuited import PACE_STEPS, long_run, lost_classes
from crossmatch.training.validation import validation

LOWER_MEMORY = (
    "Lower train.batch.labelled and train.batch.unlabelled, then data.size (for instance "
    "--set train.batch.unlabelled=1); data.memory_gb=0 keeps the voxels on disk, and a larger data.spacing_mm, where "
    "it is set, makes them fewer."
)


def fit(
    recipe: Recipe,
    data: Path,
    out: Path,
    display: Display,
    *,
    device: str = "auto",
    place: Place = ALONE,
    resume: bool = False,
    extend_to: int | None = None,
    begin_from: Path | None = None,
    checked: bool = False,
    compiled: bool = False,
    graphs: bool = False,
    track: bool = False,
) -> int:
    """Train from a dataset's folder into a run's folder.

    Args:
        recipe: the whole run; data: a dataset on disk; out: a folder that does not exist yet, or with `resume` a run.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
        place: of this process among those that train one network (docs/parallel.md); each of them calls `fit`.
        resume: go on with the run in `out`, with the same settings and data.
        extend_to: with `resume`, steps that a finished run goes on to, see `extend_run`; `recipe` has those it did.
        begin_from: a run whose weights this one begins with: see `transfer`.
        checked: refuse data that `check` has not read, so that test cases are sealed from the start. Otherwise data
            that is new or has changed is checked before the seal.
        compiled, graphs: see `TrainingStep`.
        track: send settings and scalars to MLflow too, see `tracking`; a tracked run that goes on is tracked anyway.

    Returns:
        Steps done: fewer than the recipe's if Ctrl-C, SIGTERM or SIGHUP stopped the run, which can then be resumed.

    Raises:
        UserError: a mistake that the user can correct; a run in `out` keeps its last good checkpoint.
    """
    flags = tuple(flag for flag, wanted in (("--compile", compiled), ("--graphs", graphs)) if wanted)
    with place.one_message():
        chosen = choose_device(device)
        check_place(recipe, chosen, place)
        check_flags(flags, chosen, place)
        check_tracking(out, track)
        bf16 = uses_bf16(recipe.train.precision, chosen, recipe.coarse_size)
    team = Team(place, chosen, bf16)
    with team.together(), ExitStack() as until_the_end:
        dataset = open_dataset(data)
        test = dataset.only("test").files()
        find = _checked_cases if checked else training_cases
        with sealed(test if checked else []):
            cases = team.first(lambda: find(recipe, dataset, display.loading))
        for warning in cases.warnings:
            display.warn(warning)
        if compiled and chosen.type == "cpu":
            display.warn("--compile is for GPUs: on CPUs plain steps are faster. Compiling takes a minute or more.")
        machine = Machine(team.device, "bf16" if bf16 else "float32", place.count, flags)

        def begin() -> Run:
            if out.is_dir() or not (out.exists() or resume):  # of anything else there is nothing to be written
                until_the_end.enter_context(only_writer(out))
            if resume:
                return resume_run(out, recipe, cases.facts, machine)
            facts = with_past(cases.facts, cases.contents, dataset, recipe, begin_from, display.warn)
            return create_run(out, recipe, facts, machine, begin_from)

        run = team.first(begin)
        if resume and (remark := machine.remark(run.record["device"])):
            display.warn(remark)
        if extend_to is not None:
            run, told = team.first(lambda: extend_run(run, extend_to))
            display.warn(told)
        if track:
            team.first(lambda: begin_tracking(run))
        with sealed(test), memory_advice(LOWER_MEMORY):
            weights = _weights_of(run, display)
            session = open_session(
                run, cases, team, display.loading, begin_with=weights, compiled=compiled, graphs=graphs
            )
            for warning in lost_classes(session.batches.store, cases.shown):
                display.warn(warning)

            def validate() -> dict[str, float]:
                session.recalibrate()
                return validation(session.predictor, cases.dataset)

            team.wait()  # until the slowest rank has read its scans
            with drawing(session.batches, run.recipe.train.steps) as draw:
                _train(session, draw, validate if cases.dataset.split("val") else None, display)
            if fallen := team.first(run.fallen):
                display.warn(fallen)
    return session.state.step


def _train(
    session: Session,
    draw: Callable[[int], Drawn],
    validate: Callable[[], dict[str, float]] | None,
    display: Display,
) -> None:
    """Train from the state's step to the last one, or until interrupted."""
    take_step, state = session.take_step, session.state
    run, team = take_step.run, take_step.team
    settings = run.recipe.train
    tracker = Tracker(run.folder) if team.leads and is_tracked(run.folder) else None
    book = Logbook(run.metrics, run.folder / "tensorboard", state.step, tracker) if team.leads else None
    recorder = Recorder()
    shown: dict[str, float] = {}
    rate = take_step.learning_rate
    first, started = state.step, time.monotonic()
    labelled = foreground_share(session.batches.store)
    watches = (Plateau(settings.steps, labelled), Overgrowth(labelled))
    began = started

    def read_scalars() -> None:
        """Read the scalars, the only wait for the device. One that is not finite, on any rank, stops the run."""
        means = recorder.read(_advice(run), team.mean)
        if book:
            book.write(state.step, "train", {**means, "learning_rate": rate})
        shown.update(means)
        for watch in watches:
            if told := watch(state.step, means):
                display.warn(told)

    def keep() -> None:
        nonlocal started
        session.recalibrate()
        state.seconds, started = state.seconds + time.monotonic() - started, time.monotonic()
        state.save(run, "last")

    with interrupts() as interrupted, closing(book) if book else nullcontext():
        while state.step < settings.steps and not team.any(interrupted.is_set()):
            rate = take_step.learning_rate
            recorder.add(state.step + 1, take_step(draw(state.step)))

            last = state.step == settings.steps
            validates = validate is not None and (state.step % settings.validate_every == 0 or last)
            saves = state.step % settings.checkpoint_every == 0 or last
            # every n steps, and before each validation and checkpoint
            if state.step % settings.log_every == 0 or validates or saves:
                read_scalars()
            # now and then: validate with the metric that is reported
            if book and validate and validates:
                try:
                    dice = validate()
                except Exception:  # a file that has changed, above all: keep the steps so far
                    keep()
                    raise
                book.write(state.step, "validation", dice)
                state.validation = shown["validation"] = dice["mean"]
                if state.best is None or dice["mean"] > state.best:
                    state.best = dice["mean"]
                    state.save(run, "best")
            # now and then: a checkpoint to resume from
            if book and saves:
                keep()
            display.step(state.step, settings.steps, shown)
            # once: a run that takes days
            if state.step - first == PACE_STEPS:
                now, work = time.monotonic(), run.recipe.work
                pace = (now - began) / (work(state.step) - work(first))
                if told := long_run(settings.steps - state.step, pace * (work(settings.steps) - work(state.step))):
                    display.warn(told)
        # stopped by a signal
        if state.step < settings.steps:
            if recorder.steps:
                read_scalars()
            if book:
                keep()


def _checked_cases(recipe: Recipe, dataset: Dataset, loading: Callable[[int, int], None]) -> TrainingCases:
    """As `training_cases`, while test cases are sealed: refuses data that must be checked first."""
    try:
        return training_cases(recipe, dataset, loading)
    except SealedError:
        root = dataset.root
        raise UserError(
            f"{root} has changed since it was checked: run `crossmatch check {quoted(root)}` first."
        ) from None


def _weights_of(run: Run, display: Display) -> Callable[[Segmenter], None]:
    """What puts weights into a fresh network: those of the run that this one begins with, where it has done no step."""
    if "begun_from" not in run.record or run.checkpoint("last").is_file():
        return lambda network: None
    other = open_run(Path(run.record["begun_from"]))

    def begin(network: Segmenter) -> None:
        found = begin_with(network, run, other)
        if found.fresh:
            display.warn(
                f"begins with the weights of {other.folder} after step {found.step}; with random weights: "
                f"{'; '.join(found.fresh)}"
            )

    return begin


def _advice(run: Run) -> str:
    last = run.checkpoint("last")
    good = f"The last good checkpoint is {last}" if last.is_file() else "No checkpoint had been written yet"
    return f"{good}. Start a new run with a lower train.learning_rate, or with train.precision=float32."
