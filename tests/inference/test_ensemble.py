"""Several runs as one: the mean of their probabilities, what they must have in common, and what is recorded."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import crossmatch
from command import call
from crossmatch.atomic import read_json, write_json
from crossmatch.errors import UserError
from crossmatch.inference.ensemble import open_runs
from crossmatch.inference.predict import Options, predict
from crossmatch.runs.pack import pack
from crossmatch.runs.record import RunRecord
from tiny import write_dataset
from untrained import save_untrained, untrained_run

PATCHES = ("data.sampling=patch", "data.size=[16, 16]")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("ensemble") / "data", n_test=2)


def runs_of(folder: Path, data: Path, *changes: str, count: int = 2) -> list[Path]:
    return [untrained_run(folder / f"seed{n}", data, *changes, seed=n).folder for n in range(count)]


def maps_of(run: Path | list[Path], scan: nib.Nifti1Image, **options: bool) -> tuple[np.ndarray, np.ndarray]:
    model = crossmatch.load(run, device="cpu")
    return model.predict(np.asarray(scan.dataobj), affine=scan.affine, probabilities=True, **options)


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("changes", [(), PATCHES])
def test_probabilities_are_the_mean_of_those_of_the_runs(
    tmp_path: Path, data: Path, changes: tuple[str, ...], flips: bool
) -> None:
    runs, scan = runs_of(tmp_path, data, *changes, count=3), nib.load(data / "imagesTs" / "case_005_0000.nii.gz")
    alone = [maps_of(run, scan, flips=flips) for run in runs]
    labels, maps = maps_of(runs, scan, flips=flips)
    assert len({labels.tobytes() for labels, _ in alone}) == 3
    assert maps == pytest.approx(np.mean([each for _, each in alone], 0), abs=1e-6)
    assert np.array_equal(labels, maps.argmax(0))


def test_the_command_averages_all_runs_before_the_last_two_places(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = runs_of(tmp_path, data)
    scans, masks = data / "imagesTs", tmp_path / "masks"
    code, _, err = call(capsys, "predict", *runs, scans, masks, "--device", "cpu")
    assert code == 0, err
    for path in sorted(scans.iterdir()):
        labels, _ = maps_of(runs, nib.load(path))
        assert np.array_equal(np.asarray(nib.load(masks / path.name.replace("_0000", "")).dataobj), labels)
    record = json.loads((masks / "prediction.json").read_text())
    assert record["run"] == "seed0 + seed1"
    assert [member["run"] for member in record["members"]] == ["seed0", "seed1"]
    assert {member["checkpoint"] for member in record["members"]} == {"last"}
    assert len({record["weights_sha256"], *(member["weights_sha256"] for member in record["members"])}) == 3
    code, _, err = call(capsys, "predict", runs[0], scans, masks, "--device", "cpu")
    assert (code, "predictions of another run" in err) == (2, True)
    assert call(capsys, "evaluate", masks, data / "labelsTs")[0] == 0


def test_a_run_that_is_named_twice_or_checkpoints_by_file_are_refused(tmp_path: Path, data: Path) -> None:
    first, second = runs_of(tmp_path, data)
    with pytest.raises(UserError, match="seed0 is named twice"):
        open_runs([first, second, tmp_path / "seed1" / ".." / "seed0"])
    for same in (Path(shutil.copytree(first, tmp_path / "copy")), pack(first, tmp_path / "model.zip")):
        with pytest.raises(UserError, match=f"seed0 and .*{same.name} hold the same weights"):
            predict([first, second, same], data / "imagesTs", tmp_path / "masks", Options(device="cpu"))
    file = str(first / "checkpoints" / "last.safetensors")
    with pytest.raises(UserError, match="is of one run, and 2 are averaged"):
        predict([first, second], data / "imagesTs", tmp_path / "masks", Options(file))
    with pytest.raises(UserError, match="Name at least one run"):
        crossmatch.load([])
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (("data.normalise=percentile",), "data.normalise is 'minmax' and 'percentile'"),
        (("data.interpolation=linear",), "data.interpolation is 'nearest' and 'linear'"),
        ((*PATCHES,), "data.sampling is 'resize' and 'patch'"),
        (("data.size=[32, 32]",), r"data.size is \(16, 16\) and \(32, 32\)"),
    ],
)
def test_runs_of_other_settings_are_refused_by_what_differs(
    tmp_path: Path, data: Path, changes: tuple[str, ...], told: str
) -> None:
    first, other = untrained_run(tmp_path / "a", data), untrained_run(tmp_path / "b", data, *changes)
    with pytest.raises(UserError, match=f"cannot be averaged, they differ: {told}. Name runs"):
        open_runs([first.folder, other.folder])


def test_another_voxel_size_is_refused(tmp_path: Path, data: Path) -> None:
    first = untrained_run(tmp_path / "a", data, *PATCHES, "data.spacing_mm=[1.5, 1.5]")
    other = untrained_run(tmp_path / "b", data, *PATCHES, "data.spacing_mm=[2, 2]")
    with pytest.raises(UserError, match=r"data.spacing_mm is \(1.5, 1.5\) and \(2.0, 2.0\)"):
        open_runs([first.folder, other.folder])


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("labels", {"background": 0, "MYO": 1, "RV": 2}, "labels is .*'RV', 1.*'MYO', 1"),
        ("channels", ["T2"], r"channels is \['C0'\] and \['T2'\]"),
        ("slice_axis", 0, "slice_axis is 2 and 0"),
        ("affine", None, "orientation is 'that of the training scans' and 'none'"),
        ("affine", np.diag([1.5, -1.5, 8, 1]).tolist(), "orientation is .* and 'turned.*True, False, False"),
    ],
)
def test_data_of_another_kind_are_refused(tmp_path: Path, data: Path, key: str, value: object, told: str) -> None:
    first, second = runs_of(tmp_path, data)
    record = read_json(second / "run.json", RunRecord, "")
    write_json(second / "run.json", {**record, "data": {**record["data"], key: value}})
    with pytest.raises(UserError, match=told):
        open_runs([first, second])


def test_folds_have_frames_of_their_own(tmp_path: Path, data: Path) -> None:
    """The first training scan of a fold lies elsewhere, and a little oblique, with the same axes."""
    first, second = runs_of(tmp_path, data)
    record = read_json(second / "run.json", RunRecord, "")
    moved = np.array([[-1.5, 0.1, 0, 40], [-0.1, -1.5, 0, -7], [0, 0, 8, 3], [0, 0, 0, 1]])
    write_json(second / "run.json", {**record, "data": {**record["data"], "affine": moved.tolist()}})
    assert len(open_runs([first, second])) == 2


def test_each_fold_scales_by_its_own_window(tmp_path: Path) -> None:
    """The window of CT comes from the training scans, so that of another fold differs."""
    data = write_dataset(tmp_path / "data", channels=2)
    runs = []
    for n, window in enumerate(([0.0, 150.0, 60.0, 40.0], [20.0, 250.0, 90.0, 55.0])):
        run = untrained_run(tmp_path / f"fold{n}", data)
        record = run.record["recipe"]
        strong = {**record["views"]["strong"], "brightness": 0, "contrast": 0}
        recipe = {
            **record,
            "data": {**record["data"], "normalise": "ct"},
            "views": {**record["views"], "strong": strong},
        }
        facts = {**run.record["data"], "ct": [window, [10.0 + n, 200.0, 50.0, 30.0]]}
        write_json(run.folder / "run.json", {**run.record, "recipe": recipe, "data": facts})
        save_untrained(run, "last", n)
        runs.append(run.folder)
    scan = np.stack([np.asarray(nib.load(data / "imagesTs" / f"case_005_000{k}.nii.gz").dataobj) for k in (0, 1)])
    alone = [crossmatch.load(run).predict(scan, probabilities=True)[1] for run in runs]
    _, maps = crossmatch.load(runs).predict(scan, probabilities=True)
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    assert maps == pytest.approx(np.mean(alone, 0), abs=1e-6)
