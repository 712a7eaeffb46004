"""A training that is disturbed keeps its steps: files that change meanwhile, signals, a second writer."""

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossmatch.errors import UserError
from crossmatch.inference.predict import predict
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.checkpoint import load_facts
from crossmatch.runs.lock import NAME, only_writer
from crossmatch.training.fit import fit
from tiny import write_dataset, write_nifti
from train_tiny import TINY, Quiet
from untrained import untrained_run

SHAPE = (16, 14, 4)
IMAGE, LABEL = "imagesTr/case_004_0000.nii.gz", "labelsTr/case_004.nii.gz"


class Meanwhile(Quiet):
    """A display that does something after a step."""

    def __init__(self, at: int, work: Callable[[], object]) -> None:
        super().__init__()
        self.at, self.work = at, work

    def step(self, step: int, steps: int, values: dict[str, float]) -> None:
        if step == self.at:
            self.work()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", shape=SHAPE)


def _ones(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "label of another shape": (lambda d: write_nifti(d / LABEL, _ones(16, 14, 5)), "has the shape (16, 14, 5)"),
    "undeclared label": (lambda d: write_nifti(d / LABEL, 7 * _ones(*SHAPE)), "holds values that are no labels"),
    "image of another shape": (lambda d: write_nifti(d / IMAGE, _ones(9, 14, 4)), "its image (9, 14, 4)"),
    "NaN": (lambda d: write_nifti(d / IMAGE, np.full(SHAPE, np.nan, np.float32)), "voxels that are NaN or infinite"),
    "cut": (lambda d: (d / IMAGE).write_bytes((d / IMAGE).read_bytes()[:-200]), "cannot be read"),
    "gone": (lambda d: (d / LABEL).unlink(), "does not exist"),
    "flat": (lambda d: write_nifti(d / IMAGE, _ones(16, 14)), "its image (16, 14)"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_validation_file_that_changes_costs_no_step(change, data, tmp_path):
    spoil, told = CHANGES[change]
    recipe, run = load_recipe("phantom", [*TINY, "train.checkpoint_every=50"]), tmp_path / "run"
    with pytest.raises(UserError) as error:
        fit(recipe, data, run, Meanwhile(7, lambda: spoil(data)))
    assert told in str(error.value)
    assert load_facts(run / "checkpoints" / "last.safetensors")["step"] == 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_keeps_the_steps(number, data, tmp_path):
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        pytest.skip("the signal is ignored here, as under nohup")
    display = Meanwhile(3, lambda: signal.raise_signal(number))
    assert fit(load_recipe("phantom", TINY), data, tmp_path / "run", display) == 3
    assert load_facts(tmp_path / "run" / "checkpoints" / "last.safetensors")["step"] == 3
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_stays_ignored(data, tmp_path):
    """SIGHUP under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        display = Meanwhile(3, lambda: signal.raise_signal(signal.SIGHUP))
        assert fit(load_recipe("phantom", TINY), data, tmp_path / "run", display) == 10
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_training_in_one_folder_is_refused(data, tmp_path):
    recipe, other, run = load_recipe("phantom", TINY), load_recipe("phantom", [*TINY, "seed=2"]), tmp_path / "run"
    refused = []

    def again() -> None:
        before = (run / "run.json").read_bytes()
        for resume in (False, True):
            with pytest.raises(UserError, match="is being written to by another process"):
                fit(other, data, run, Quiet(), resume=resume)
            refused.append(resume)
        assert (run / "run.json").read_bytes() == before

    assert fit(recipe, data, run, Meanwhile(2, again)) == 10
    assert refused == [False, True]
    assert not (run / NAME).exists()


def test_a_lock_that_a_killed_process_left_is_no_obstacle(data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / NAME).write_text("{}")
    assert fit(load_recipe("phantom", TINY), data, tmp_path / "run", Quiet()) == 10


def test_what_is_refused_leaves_nothing(data, tmp_path):
    (tmp_path / "file").touch()
    for out, resume in ((tmp_path / "file", False), (tmp_path / "none", True)):
        with pytest.raises(UserError):
            fit(load_recipe("phantom", TINY), data, out, Quiet(), resume=resume)
    assert not (tmp_path / "none").exists()


def test_a_folder_of_masks_has_one_writer(data, tmp_path):

    run, out = untrained_run(tmp_path / "run", data).folder, tmp_path / "out"
    with only_writer(out), pytest.raises(UserError, match="is being written to by another process"):
        predict(run, data / "imagesTs", out)
    assert len(predict(run, data / "imagesTs", out)) == 1
    assert sorted(path.name for path in out.iterdir()) == ["case_005.nii.gz", "prediction.json"]
