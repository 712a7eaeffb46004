"""Mistakes with patches and volumes: strides, data of other axes than the recipe, voxel sizes; exit code 2 each."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from command import call
from refusal import refuse
from tiny import write_dataset, write_nifti
from untrained import SMALL, untrained_run

VOLUMES = ("data.sampling=patch", "data.size=[16, 16, 16]")
SETTINGS = [part for change in [*SMALL, *VOLUMES] for part in ("--set", change)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", shape=(20, 18, 17), affine=np.diag([1.0, 1.0, 2.0, 1.0]))


def test_strides_that_fit(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = untrained_run(tmp_path / "run", data, *VOLUMES).folder
    for name, options in (("none", []), ("even", ["--stride", "even"]), ("own", ["--stride", "4, 1,16"])):
        code, out, _ = call(capsys, "predict", run, data / "imagesTs", tmp_path / name, "--probabilities", *options)
        assert code == 0
        assert "1 mask in" in out
    files = {
        name: [(tmp_path / name / part / "case_005.nii.gz") for part in ("", "probabilities")]
        for name in ("none", "even", "own")
    }
    assert files["none"][1].read_bytes() == files["even"][1].read_bytes()  # the recipe's own is even as well
    assert files["none"][1].read_bytes() != files["own"][1].read_bytes()


@pytest.mark.parametrize(
    ("stride", "told"),
    [
        ("0,8,8", "the stride (0, 8, 8) must have 3 numbers, each from 1 to the patch's (16, 16, 16)"),
        ("8,-1,8", "the stride (8, -1, 8) must have 3 numbers"),
        ("8,17,8", "the stride (8, 17, 8) must have 3 numbers"),
        ("8,8", "the stride (8, 8) must have 3 numbers"),
        ("8,8,8,8", "the stride (8, 8, 8, 8) must have 3 numbers"),
        ("8,8,a", "--stride takes one whole number an axis, such as 18,18,4, or even; got '8,8,a'"),
        ("8,8,1.5", "--stride takes one whole number an axis"),
        ("8,8,", "--stride takes one whole number an axis"),
        ("", "--stride takes one whole number an axis"),
        ("Even", "--stride takes one whole number an axis"),
    ],
)
def test_strides_that_do_not(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], stride: str, told: str
) -> None:
    run = untrained_run(tmp_path / "run", data, *VOLUMES).folder
    assert told in refuse(capsys, tmp_path, "predict", run, data / "imagesTs", tmp_path / "out", "--stride", stride)


def test_a_stride_where_whole_slices_are_resized(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = untrained_run(tmp_path / "run", data).folder
    predict = ["predict", run, data / "imagesTs", tmp_path / "out", "--stride"]
    told = "--stride does not fit the run: a stride has no effect where whole images are resized"
    for stride in ("8,8", "even"):
        assert told in refuse(capsys, tmp_path, *predict, stride)


def test_a_folder_holds_the_masks_of_one_stride(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = untrained_run(tmp_path / "run", data, *VOLUMES).folder
    predict = ["predict", run, data / "imagesTs", tmp_path / "out"]
    assert call(capsys, *predict, "--stride", "8,8,4")[0] == 0
    for other in (["--stride", "8,8,8"], ["--stride", "even"], []):
        assert "predictions of another run, checkpoint or setting" in refuse(capsys, tmp_path, *predict, *other)
    assert call(capsys, *predict, "--stride", "8,8,4")[0] == 0


def test_slices_for_a_recipe_of_volumes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = write_dataset(tmp_path / "flat", shape=(20, 18))
    told = "has 2 axes, but the recipe's data.size has 3: choose a recipe for it"
    code, _, err = call(capsys, "train", "phantom", "--data", flat, "--out", tmp_path / "new", *SETTINGS)
    assert code == 2
    assert f"{flat / 'imagesTr' / 'case_001_0000.nii.gz'} {told}" in " ".join(err.split())
    run, scan = untrained_run(tmp_path / "run", data, *VOLUMES).folder, flat / "imagesTs" / "case_005_0000.nii.gz"
    assert f"{scan} {told}" in refuse(capsys, tmp_path, "predict", run, scan, tmp_path / "out")


def test_a_voxel_size_that_no_file_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = write_dataset(tmp_path / "unknown", shape=(20, 18, 17), affine=np.eye(4), unit="unknown")
    wanted = ["--set", "data.spacing_mm=[1, 1, 1]"]
    told = "does not state its voxel size, or contradicts itself about it, so it cannot be resampled to data.spacing_mm"
    train = ["train", "phantom", "--data", unknown, "--out", tmp_path / "new", *SETTINGS, "--set", "train.steps=1"]
    code, _, err = call(capsys, *train, *wanted)
    assert code == 2
    assert f"{unknown / 'imagesTr' / 'case_001_0000.nii.gz'} {told}" in " ".join(err.split())
    assert call(capsys, *train, "--set", "data.spacing_mm=[]")[0] == 0  # as the message says, into the same folder
    known = write_dataset(tmp_path / "data", shape=(20, 18, 17))
    run = untrained_run(tmp_path / "run", known, *VOLUMES, "data.spacing_mm=[1, 1, 1]").folder
    scan = write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).random((9, 9, 9)), np.eye(4), "unknown")
    assert f"{scan} {told}" in refuse(capsys, tmp_path, "predict", run, scan, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "data.size=[16, 16, 17]",
            "data.size (16, 16, 17) must be multiples of 2 for this network; next: (16, 16, 18)",
        ),
        ("predict.stride=[8, 8]", "the stride (8, 8) must have 3 numbers"),
        ("network.name=unet3d", "no network 'unet3d'; did you mean unet? There are unet, vnet"),
        ("views.weak.plane=[0, 0]", "views.weak.plane: name two different axes, counted from 0"),
    ],
)
def test_recipes_of_volumes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, told: str
) -> None:
    train = ["train", "phantom", "--data", data, "--out", tmp_path / "run", *SETTINGS]
    assert told in refuse(capsys, tmp_path, *train, "--set", change)


def test_mirror_images_for_a_network_that_never_saw_one(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = untrained_run(tmp_path / "run", data, *VOLUMES, "views.weak.turn_probability=0").folder
    told = refuse(capsys, tmp_path, "predict", run, data / "imagesTs", tmp_path / "out", "--flips")
    assert "trained without turns and flips" in told
    assert "Leave out --flips" in told


def test_a_validation_scan_that_does_not_fit_is_told_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data", shape=(20, 18, 17), affine=np.diag([1.0, 1.0, 2.0, 1.0]))
    path = data / "imagesTr" / "case_004_0000.nii.gz"  # the validation case, its voxel size lost
    for place in (path, data / "labelsTr" / "case_004.nii.gz"):
        voxels = nib.load(place).get_fdata().astype(np.int16)
        write_nifti(place, voxels, np.eye(4), unit="unknown")
    options = [*SETTINGS, "--set", "data.spacing_mm=[1, 1, 2]"]
    told = refuse(capsys, tmp_path, "train", "phantom", "--data", data, "--out", tmp_path / "run", *options)
    assert "case_004_0000.nii.gz does not state its voxel size" in told
    assert not (tmp_path / "run").exists()


def test_a_batch_of_windows_changes_no_mask(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So the advice for a full memory can be followed half-way: the folder takes the masks of another batch."""
    run = untrained_run(tmp_path / "run", data, *VOLUMES).folder
    masks = []
    for name, options in (("many", []), ("one", ["--batch", "1"])):
        assert call(capsys, "predict", run, data / "imagesTs", tmp_path / name, *options)[0] == 0
        masks.append((tmp_path / name / "case_005.nii.gz").read_bytes())
        assert call(capsys, "predict", run, data / "imagesTs", tmp_path / name, "--batch", "2")[0] == 0
    assert masks[0] == masks[1]
