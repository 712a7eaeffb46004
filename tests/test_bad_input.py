"""Mistakes as users make them: one paragraph that names the file and the way out, exit code 2, nothing overwritten."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from command import call
from refusal import refuse
from tiny import AFFINE, write_dataset, write_nifti
from untrained import SMALL, untrained_run

SETTINGS = [part for change in SMALL for part in ("--set", change)]
IMAGE, LABEL = "imagesTr/case_002_0000.nii.gz", "labelsTr/case_002.nii.gz"
SHAPE = (16, 14, 4)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", shape=SHAPE)


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call a command that must be refused and leave every file as it is; gives the message in one line."""
    return lambda *arguments: refuse(capsys, tmp_path, *arguments)


def train(data: Path, *arguments: object) -> list[object]:
    return ["train", "phantom", "--data", data, "--out", data.parent / "run", *SETTINGS, *arguments]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(np.float32)


def truncate(data: Path) -> None:
    (data / IMAGE).write_bytes((data / IMAGE).read_bytes()[:-200])


def nan_voxels(data: Path) -> None:
    voxels = noise(*SHAPE)
    voxels[1, 2, 3] = np.nan
    write_nifti(data / IMAGE, voxels)


BAD_FILES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "label without image": (lambda d: (d / IMAGE).unlink(), LABEL, "without an image imagesTr/case_002_0000.nii.gz"),
    "another shape": (
        lambda d: write_nifti(d / LABEL, np.ones((16, 14, 3), np.uint8)),
        LABEL,
        "shape (16, 14, 3), not (16, 14, 4); resample it onto the grid of the other",
    ),
    "another affine": (
        lambda d: write_nifti(d / LABEL, np.ones(SHAPE, np.uint8), AFFINE @ np.diag([1, 1, 1.2, 1])),
        LABEL,
        "resample it onto the grid of the other",
    ),
    "undeclared label": (
        lambda d: write_nifti(d / LABEL, np.full(SHAPE, 7, np.uint8)),
        LABEL,
        "label value 7, but dataset.json declares 0 background, 1 RV, 2 MYO: correct the file",
    ),
    "NaN": (nan_voxels, IMAGE, "1 voxels that are NaN or infinite: replace them"),
    "constant": (
        lambda d: write_nifti(d / IMAGE, np.full(SHAPE, 5, np.int16)),
        IMAGE,
        "is constant, every voxel is 5: export it again",
    ),
    "truncated": (truncate, IMAGE, "truncated, damaged or no NIfTI file"),
    "4D": (lambda d: write_nifti(d / IMAGE, noise(*SHAPE, 3)), IMAGE, "has 4 axes (16, 14, 4, 3)"),
}


@pytest.mark.parametrize("mistake", BAD_FILES)
def test_files_of_a_dataset(data: Path, refused: Callable[..., str], mistake: str) -> None:
    spoil, name, told = BAD_FILES[mistake]
    spoil(data)
    for command in (["check", data], train(data)):
        text = refused(*command)
        assert str(data / name) in text
        assert told in text


def test_all_problems_are_told_together(data: Path, refused: Callable[..., str]) -> None:
    for mistake in ("NaN", "undeclared label"):
        BAD_FILES[mistake][0](data)
    text = refused("check", data)
    assert "has 2 problems" in text
    assert str(data / IMAGE) in text
    assert str(data / LABEL) in text


def test_a_dataset_that_is_not_there(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "empty").mkdir()
    for name, told in (("none", "does not exist"), ("empty", "is empty")):
        for command in (["check", tmp_path / name], train(tmp_path / name)):
            text = refused(*command)
            assert f"{tmp_path / name} {told}" in text
            assert "imagesTr/CASE_0000.nii.gz" in text


def test_recipes_and_keys(data: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    text = refused("train", "phanton", "--data", data, "--out", tmp_path / "run")
    assert "There is no recipe 'phanton': did you mean phantom? There are acdc_1" in text
    text = refused(*train(data), "--set", "train.stepps=3")
    assert (
        "recipe phantom: unknown key train.stepps; did you mean train.steps? Valid keys here are steps, batch" in text
    )
    (tmp_path / "own.toml").write_text("[train]\nsteps = 3\nspeed = 9\n")
    text = refused("train", tmp_path / "own.toml", "--data", data, "--out", tmp_path / "run")
    assert "own.toml: unknown key train.speed; valid keys here are" in text
    assert "--set takes section.key=value" in refused(*train(data), "--set", "train.steps")
    assert "train.steps: " in refused(*train(data), "--set", "train.steps=fast")


def test_a_folder_that_is_no_run(data: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    assert f"{tmp_path / 'run'} exists and is not a run: choose another --out" in refused(*train(data))
    for command in (["predict", tmp_path / "run", data / "imagesTs", tmp_path / "out"], ["report", tmp_path / "run"]):
        assert f"{tmp_path / 'run'} is no run: it has no run.json" in refused(*command)


def test_a_run_that_exists_and_resuming_it_otherwise(
    data: Path, tmp_path: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    untrained_run(tmp_path / "run", data)
    assert call(capsys, *train(data))[:2] == (2, "")  # nothing is announced first
    assert f"{tmp_path / 'run'} holds a run already: go on with it by adding --resume" in refused(*train(data))
    text = refused(*train(data), "--resume", "--set", "train.learning_rate=0.5")
    assert "recipe.train.learning_rate was 0.003, now 0.5. Repeat the settings it was started with" in text
    other = write_dataset(tmp_path / "other", seed=1)
    assert "data.fingerprint was" in refused(*train(other), "--resume")


def test_a_checkpoint_of_another_network(data: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    run = untrained_run(tmp_path / "run", data)
    wide = untrained_run(tmp_path / "wide", data, "network.width=8").checkpoint("last")
    predict = ["predict", run.folder, data / "imagesTs", tmp_path / "out"]
    text = refused(*predict, "--checkpoint", wide)
    assert f"{wide} belongs to another network than the recipe's" in text
    assert "Use the recipe the checkpoint was trained with" in text
    shutil.copy(wide, run.checkpoint("last"))
    assert "belongs to another network" in refused(*train(data), "--resume")
    run.checkpoint("last").write_bytes(b"half a file")
    assert f"{run.checkpoint('last')} cannot be read" in refused(*predict)
    run.checkpoint("last").unlink()
    assert f"There is no checkpoint {run.checkpoint('last')}: train first" in refused(*predict)


def test_no_labelled_case(tmp_path: Path, refused: Callable[..., str]) -> None:
    data = write_dataset(tmp_path / "data", n_train=2, unlabelled=2, subsets=())
    text = refused(*train(data), "--set", "data.labelled=all")
    assert "No training case is labelled: put at least one label file into labelsTr" in text
    assert "no label list" in refused(*train(data))  # of the recipe's own number of cases


def test_no_unlabelled_case_for_crossmatch(data: Path, refused: Callable[..., str]) -> None:
    text = refused(*train(data), "--set", "data.labelled=all")
    assert "crossmatch needs unlabelled training cases" in text
    assert "--set method.name=supervised" in text


def test_scans_to_predict(data: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    run, out = untrained_run(tmp_path / "run", data).folder, tmp_path / "out"
    assert f"{tmp_path / 'none'} does not exist" in refused("predict", run, tmp_path / "none", out)
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'} holds no image" in refused("predict", run, tmp_path / "empty", out)
    assert "a folder of them" in refused("predict", run, tmp_path / "none.nii.gz", out)
    scan = write_nifti(tmp_path / "scan.nii.gz", noise(*SHAPE, 2))
    assert f"{scan} has 4 axes" in refused("predict", run, scan, out)
    out.mkdir()
    (out / "case_005.nii.gz").write_text("precious")
    assert f"{out} has masks already (case_005)" in refused("predict", run, data / "imagesTs", out)


def test_masks_to_evaluate(data: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    assert f"{masks} has no file that ends in .nii.gz" in refused("evaluate", masks, data / "labelsTs")
    shutil.copy(data / "labelsTs" / "case_005.nii.gz", masks / "other.nii.gz")
    assert "no prediction for 1 cases" in refused("evaluate", masks, data / "labelsTs")
    (masks / "other.nii.gz").rename(masks / "case_005.nii.gz")
    (masks / "summary.json").write_text(json.dumps({"by": "somebody else"}))
    assert f"{masks} already holds summary.json" in refused("evaluate", masks, data / "labelsTs")
