"""What training warns of, by value and in a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossmatch import formats
from crossmatch.dataset.check import check
from crossmatch.dataset.fingerprint import CasePrint
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.training import fit as module
from crossmatch.training.fit import fit
from crossmatch.training.unsuited import (
    averaged_beginning,
    data_warnings,
    long_run,
    shown_classes,
    unseen_classes,
)
from tiny import AFFINE, write_dataset
from train_tiny import TINY, Quiet

PATCHES = ["data.sampling=patch", "data.labelled=all", "method.name=supervised", "train.steps=1"]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> tuple[CasePrint, ...]:
    """Three scans of 16 x 14 x 4 voxels of 1.5 x 1.5 x 8 mm."""
    return check(write_dataset(tmp_path_factory.mktemp("data") / "tiny")).split("train")


def recipe(*changes: str) -> Recipe:
    return load_recipe("phantom", [*TINY, *PATCHES, *changes])


def spaced(scans: tuple[CasePrint, ...], *spacings: tuple[float, ...]) -> list[CasePrint]:
    return [CasePrint(**{**vars(scan), "spacing_mm": mm}) for scan, mm in zip(scans, spacings, strict=True)]


SHAPES = [(4, 16, 14)] * 3


def test_spacings_that_differ_by_two_and_are_not_resampled(scans):
    different = spaced(scans, (1, 1, 8), (1.4, 1, 8), (2, 1, 8))
    (told,) = data_warnings(recipe(), different, SHAPES, 2)
    assert "measure 1 x 1 to 2 x 1 mm, and nothing resamples them" in told
    assert "data.spacing_mm, for instance to [1.4, 1]" in told
    assert data_warnings(recipe("data.spacing_mm=[1.5, 1.5]"), different, SHAPES, 2) == []
    assert data_warnings(recipe("data.sampling=resize"), different, SHAPES, 2) == []


def test_nearer_spacings_and_other_slice_distances_are_fine(scans):
    assert data_warnings(recipe(), spaced(scans, (1, 1, 4), (1.4, 1, 8), (1.9, 1, 16)), SHAPES, 2) == []
    assert data_warnings(recipe(), spaced(scans, None, None, None), SHAPES, 2) == []


def test_a_patch_larger_than_most_scans(scans):
    """16 x 14 voxels fill 44 % of 16 x 32, and 88 % of 16 x 16."""
    (told,) = data_warnings(recipe("data.size=[16, 32]"), scans, SHAPES, 2)
    assert "the patch of 16 x 32 voxels is larger than most scans, which have 16 x 14" in told
    assert data_warnings(recipe("data.size=[16, 16]"), scans, SHAPES, 2) == []
    one_large = [(4, 16, 14), (4, 40, 40), (4, 40, 40)]
    assert data_warnings(recipe("data.size=[16, 32]"), scans, one_large, 2) == []


def test_they_are_told_when_a_training_starts(tmp_path: Path):
    data = write_dataset(tmp_path / "data", n_train=2)
    other = write_dataset(tmp_path / "other", n_train=2, affine=AFFINE @ np.diag([3.0, 3.0, 1.0, 1.0]))
    for name in ("imagesTr/case_002_0000.nii.gz", "labelsTr/case_002.nii.gz"):
        (data / name).write_bytes((other / name).read_bytes())
    display = Quiet()
    fit(recipe("data.size=[16, 64]"), data, tmp_path / "run", display)
    told = " ".join(display.warnings)
    assert "1.5 x 1.5 to 4.5 x 4.5 mm" in told
    assert "larger than most scans" in told


@pytest.mark.parametrize(
    ("steps", "seconds", "days"), [(1000, 80_000.0, None), (1000, 90_000.0, "1.0"), (10_000, 864_000.0, "10.0")]
)
def test_a_run_over_a_day(steps, seconds, days):
    told = long_run(steps, seconds)
    assert told is None if days is None else told is not None and f"take {days} days" in told


def test_it_is_told_once_by_measured_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A clock that runs 400 hours a look."""
    data = write_dataset(tmp_path / "data", n_train=2, n_val=0)
    hours = iter(range(100_000))
    monkeypatch.setattr(module.time, "monotonic", lambda: 3600.0 * 400 * next(hours))
    display = Quiet()
    fit(recipe("train.steps=14", "train.checkpoint_every=100"), data, tmp_path / "run", display)
    told = [text for text in display.warnings if "days" in text]
    assert len(told) == 1
    assert "the 4 steps that are left" in told[0]


def test_a_quick_run_is_told_nothing(tmp_path: Path):
    data = write_dataset(tmp_path / "data", n_train=2, n_val=0)
    display = Quiet()
    fit(recipe("train.steps=12"), data, tmp_path / "run", display)
    assert display.warnings == []


def test_a_class_that_the_subset_does_not_show_is_named(scans: tuple[CasePrint, ...]) -> None:
    """`check` is silent, as another case shows it."""
    labels = {"background": 0, "RV": 1, "MYO": 2}
    cases = [replace(scans[0], label_voxels=(9, 1, voxels)) for voxels in (0, 0, 4)]
    shown = shown_classes(cases[:2], labels)
    assert (shown, shown_classes(cases, labels)) == ({"RV": 1}, {"RV": 1, "MYO": 2})
    (told,) = unseen_classes(shown, labels, "2")
    assert told.startswith("no labelled case of splits/train_2_label.txt shows MYO, so it cannot be learned")
    assert unseen_classes(shown_classes(cases, labels), labels, "3") == []
    assert unseen_classes(shown, labels, "all") == []  # `check` says so


def test_a_class_that_resampling_loses_is_named(tmp_path: Path) -> None:
    """One voxel of MYO in each case, of eight that become one: the label of another of them is taken."""
    data = write_dataset(tmp_path / "data", n_train=2, n_val=0, unlabelled=0, shape=(32, 32, 32), affine=np.eye(4))
    for path in (data / "labelsTr").iterdir():
        label = formats.read(path)
        voxels = np.zeros_like(label.voxels)
        voxels[8:20, 8:20, 8:20], voxels[4, 4, 4] = 1, 2
        formats.write(path, voxels, label)
    for mm, lost in ((1, False), (2, True)):
        display = Quiet()
        chosen = recipe("data.size=[16, 16, 16]", f"data.spacing_mm=[{mm}, {mm}, {mm}]")
        fit(chosen, data, tmp_path / str(mm), display, device="cpu")
        told = [each for each in display.warnings if "no labelled voxel of MYO is left" in each]
        assert bool(told) == lost


def test_averages_that_are_mostly_first_weights_are_named() -> None:
    """0.999 to the 600th power is 0.55: the network that is evaluated is more than half as it was drawn."""
    (told,) = averaged_beginning(recipe("train.ema=0.999", "train.steps=600").train)
    assert "55 % are still those of the beginning after 600 steps" in told
    assert "to 0.983 or less" in told
    assert 0.983**600 < 1e-4
    assert averaged_beginning(recipe("train.ema=0.99", "train.steps=600").train) == []
    assert averaged_beginning(recipe("train.steps=6").train) == []
