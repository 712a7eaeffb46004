"""Scans unlike those of the training: voxel size, grey values; and runs whose last weights are not their best."""

import re
from pathlib import Path

import numpy as np
import pytest

import crossmatch
from crossmatch.inference.familiar import doubtful, grey_distance, strange_grey_values, strange_size, strange_spacing
from crossmatch.inference.predict import predict
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.run import Run, open_run
from crossmatch.training import fit as train_module
from tiny import AFFINE, write_dataset, write_nifti
from train_tiny import TINY, Quiet
from untrained import small_recipe, untrained_run

MR = [0, 5, 400, 1200, 700]  # lowest, highest of the 0.5th percentiles; of the 99.5th; median range
CT = [-1024, -1000, 900, 1500, 2200]


def seen(spacing: object = None, grey_values: object = ()) -> Run:
    data = {"channels": ["scan"], "seen": {"spacing_mm": spacing, "grey_values": grey_values}}
    return Run(Path("run"), small_recipe(), {"data": data})


@pytest.mark.parametrize(
    ("spacing", "strange"),
    [
        ((1, 1, 4), False),
        ((2, 2, 8), False),
        ((4, 1, 4), True),
        ((0.5, 1, 4), False),
        ((0.3, 1, 4), True),
        ((1, 1, 16), True),
        (None, False),
        ((9, 9), False),
    ],
)
def test_spacings_beyond_twice_those_of_the_training(spacing, strange):
    """The training had 1 x 1 x 4 to 1.2 x 1.2 x 5 mm."""
    told = strange_spacing(seen([[1, 1, 4], [1.2, 1.2, 5]]), spacing)
    assert bool(told) == strange
    if told:
        assert "1 x 1 x 4 to 1.2 x 1.2 x 5 mm" in told


@pytest.mark.parametrize(
    ("recipe", "shape", "told"),
    [
        ("phantom", (100, 120, 8), None),
        ("phantom", (51, 480, 200), None),  # the number of slices does not matter
        ("phantom", (100, 120), None),
        ("phantom", (20, 120, 70), "20 x 120 pixels in a slice, where slices of the training have 100 x 120 to 128 x"),
        ("phantom", (3, 120), "3 x 120 voxels, where scans of the training have 100 x 120 to 128 x 120"),
        ("phantom", (100, 481, 8), "100 x 481 pixels in a slice"),
        ("phantom", (3, 120, 100), "3 x 120 pixels in a slice, .*; in reverse order the axes would fit: nibabel has"),
        ("phantom3d", (100, 120, 33), "100 x 120 x 33 voxels, where scans of the training have 100 x 120 x 8 to 128 x"),
        ("phantom3d", (8, 120, 110), "8 x 120 x 110 voxels, .*in reverse order"),
        ("phantom3d", (100, 120), None),  # refused elsewhere
    ],
)
def test_sizes_far_outside(recipe, shape, told):
    """The training had 100 x 120 x 8 to 128 x 120 x 8 voxels, slices along the last axis."""
    data = {"channels": ["scan"], "slice_axis": 2, "seen": {"size": [[100, 120, 8], [128, 120, 8]]}}
    found = strange_size(Run(Path("run"), load_recipe(recipe), {"data": data}), shape)
    if told is None:
        assert found is None
    else:
        assert found
        assert re.match(told, found)
        assert ("reverse" in found) == ("reverse" in told)


def test_sizes_of_pictures():
    data = {"channels": ["scan"], "slice_axis": 2, "seen": {"size": [[100, 120], [128, 130]]}}
    run = Run(Path("run"), load_recipe("phantom"), {"data": data})
    assert strange_size(run, (100, 519)) is None
    colours = "3 x 110 pixels in a slice, where slices of the training have 100 x 120 to 128 x 130"
    assert strange_size(run, (3, 110, 120)) == colours
    assert strange_size(run, (100, 521)) == "100 x 521 voxels, where scans of the training have 100 x 120 to 128 x 130"


def test_a_run_that_knows_no_size():
    """Of earlier commits, or of slices and volumes."""
    assert strange_size(seen(), (1, 1, 1)) is None
    data = {"channels": ["scan"], "slice_axis": 2, "seen": {"size": None}}
    assert strange_size(Run(Path("run"), small_recipe(), {"data": data}), (1, 1, 1)) is None


def test_runs_that_know_nothing_of_their_scans_warn_of_nothing():
    assert strange_spacing(seen(), (9, 9, 9)) is None
    assert strange_grey_values(Run(Path("run"), small_recipe(), {"data": {"channels": ["scan"]}}), [np.ones(3)]) is None


@pytest.mark.parametrize(
    ("known", "low", "high", "strange"),
    [
        (MR, 0, 700, False),
        (MR, 0, 2500, False),
        (MR, 30, 7000, False),
        (MR, -1000, 1500, True),
        (MR, 0, 60_000, True),
        (MR, 0, 1, True),
        (CT, -1024, 1800, False),
        (CT, 0, 800, True),
        (CT, -1024, 3000, True),
    ],
)
def test_grey_values_far_outside(known, low, high, strange):
    voxels = np.linspace(low, high, 5000).reshape(50, 100)
    assert bool(strange_grey_values(seen(grey_values=[known]), [voxels])) == strange


@pytest.mark.parametrize("order", ["C", "F"])
def test_all_slices_of_a_large_scan_are_judged(order):
    """Of 448 x 448 x 24 voxels every 24th lies in the first slice, here one by the edge of the field of view."""
    usual = np.zeros((448, 448, 24), np.int16, order=order)
    usual[..., 1:] = np.linspace(0, 800, 448, dtype=np.int16)[:, None, None]
    run = seen(grey_values=[MR])
    assert strange_grey_values(run, [usual]) is None
    assert grey_distance(run, [usual]) == 0
    strange = usual - np.int16(3000)
    strange[..., 0] = usual[..., 5]
    told = strange_grey_values(run, [strange])
    assert told
    ends = re.match(r"scan from (\S+) to (\S+), where", told).groups()
    assert [float(end) for end in ends] == pytest.approx(np.percentile(strange, [0.5, 99.5]), abs=20)
    assert grey_distance(run, [strange]) == pytest.approx(3000 / 700, rel=0.01)  # ranges of MR


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return untrained_run(folder / "run", write_dataset(folder / "data"), "train.steps=3")


class TestCommand:
    """Warnings of a prediction of files."""

    def told(self, run: Run, scans: Path, tmp_path: Path) -> list[str]:
        warnings: list[str] = []
        predict(run.folder, scans, tmp_path / "masks", warn=warnings.append)
        return warnings

    def test_scans_like_those_of_the_training_are_fine(self, run, tmp_path):
        data = write_dataset(tmp_path / "data", seed=3)
        assert self.told(run, data / "imagesTs", tmp_path) == []

    def test_voxels_of_four_times_the_size(self, run, tmp_path):
        data = write_dataset(tmp_path / "data", affine=AFFINE @ np.diag([4.0, 4.0, 4.0, 1.0]))
        (told,) = self.told(run, data / "imagesTs", tmp_path)
        assert "case_005 (voxels of 6 x 6 x 32 mm, where the training scans have 1.5 x 1.5 x 8" in told

    def test_another_size_in_a_file_and_an_array(self, run, tmp_path):
        """An array of SimpleITK has its axes in reverse order."""
        scan = 260 * np.random.default_rng(0).random((16, 14, 4)).astype(np.float32)
        write_nifti(tmp_path / "scans/wide.nii.gz", np.tile(scan, (5, 1, 1)))
        (told,) = self.told(run, tmp_path / "scans", tmp_path)
        assert told.startswith(
            "of another size than the training knows: wide (80 x 14 pixels in a slice, where slices of "
        )
        with pytest.warns(UserWarning, match="4 x 14 pixels in a slice, .*SimpleITK z, y, x; the mask may be wrong"):
            crossmatch.load(run.folder).predict(scan.transpose(2, 1, 0))

    def test_other_grey_values(self, run, tmp_path):
        scan = np.random.default_rng(0).integers(-1000, 3000, (16, 14, 4), dtype=np.int16)
        write_nifti(tmp_path / "scans/ct.nii.gz", scan)
        (told,) = self.told(run, tmp_path / "scans", tmp_path)
        assert told.startswith("with other grey values than the training knows: ct (C0 from -9")

    def test_arrays_are_doubted_as_their_files_are(self, run, tmp_path):
        scan = np.random.default_rng(0).integers(-1000, 3000, (16, 14, 4), dtype=np.int16)
        model = crossmatch.load(run.folder)
        with pytest.warns(UserWarning, match="where the training scans") as caught:
            model.predict(np.moveaxis(scan, 2, 0), affine=np.diag([4.0, 4.0, 4.0, 1.0])[:, [2, 0, 1, 3]])
        grey, spacing = sorted(str(each.message) for each in caught)
        assert grey.startswith("C0 from -9")
        assert grey.endswith("; the mask may be wrong")
        assert spacing.startswith("voxels of 4 x 4 x 4 mm, where the training scans have 1.5 x 1.5 x 8")

    def test_an_unfinished_run(self, tmp_path):
        data = write_dataset(tmp_path / "data")
        run = untrained_run(tmp_path / "run", data, "train.steps=600")
        (told,) = self.told(run, data / "imagesTs", tmp_path)
        assert "is unfinished, at step 3 of 600: finish it first with crossmatch train --resume --out" in told

    def test_a_last_checkpoint_that_is_worse_than_an_earlier_one(self, tmp_path, monkeypatch):
        """Told when the training ends, and by whatever uses `last`; `best` has nothing to be told."""
        data, dice = write_dataset(tmp_path / "data"), iter((0.5, 0.651, 0.152))
        monkeypatch.setattr(train_module, "validation", lambda predictor, dataset: {"mean": next(dice)})
        display, few = Quiet(), ["train.steps=3", "train.validate_every=1", "train.checkpoint_every=3"]
        train_module.fit(load_recipe("phantom", [*TINY, *few]), data, tmp_path / "run", display)
        run = open_run(tmp_path / "run")
        (told,) = [text for text in display.warnings if "validation Dice" in text]
        assert "was 65.1 % at step 2 and is 15.2 % now. `crossmatch predict --checkpoint best`" in told
        assert doubtful(run, "last") == run.fallen() == told
        assert doubtful(run, "best") is None
        with pytest.warns(UserWarning, match="was 65.1 % at step 2") as caught:
            crossmatch.load(run.folder).predict(260 * np.random.default_rng(0).random((16, 14, 4)))
        assert Path(caught[0].filename) == Path(__file__)
        (again,) = self.told(run, data / "imagesTs", tmp_path)
        assert again == told

    @pytest.mark.parametrize("scores", [(0.65, 0.61), (0.101, 0.005)])
    def test_a_little_worse_and_nothing_learnt_are_no_matter(self, tmp_path, monkeypatch, scores):
        data, dice = write_dataset(tmp_path / "data"), iter(scores)
        monkeypatch.setattr(train_module, "validation", lambda predictor, dataset: {"mean": next(dice)})
        few = ["train.steps=2", "train.validate_every=1", "train.checkpoint_every=2"]
        train_module.fit(load_recipe("phantom", [*TINY, *few]), data, tmp_path / "run", Quiet())
        assert open_run(tmp_path / "run").fallen() is None
