"""`predict --quality` and `rank`: estimates beside masks, kept as long as they hold, and scans to label next."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import crossmatch
from command import call
from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.inference import feature_views, known_cases
from crossmatch.inference.calibration import LEVEL
from crossmatch.inference.feature_views import FeatureViews
from crossmatch.inference.predict import Options, predict
from crossmatch.inference.quality_record import read_quality
from crossmatch.inference.rank import Looked, pool_of, rank
from crossmatch.inference.ranking import read_ranking
from crossmatch.networks.unet import UNet, UNetSettings
from crossmatch.runs.checkpoint import load_checkpoint, save_checkpoint
from crossmatch.runs.pack import pack
from crossmatch.runs.run import open_run
from crossmatch.scoring.metrics import dice_per_class
from tiny import write_dataset, write_nifti
from untrained import save_untrained, untrained_run

RATES = (0.1, 0.5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset and a run of it, which nobody changes."""
    root = tmp_path_factory.mktemp("made")
    data = write_dataset(root / "data")
    return data, untrained_run(root / "run", data).folder


@pytest.fixture
def data(made: tuple[Path, Path]) -> Path:
    return made[0]


@pytest.fixture
def run(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[1], tmp_path / "run"))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")}


def test_masks_are_the_same_and_estimates_lie_beside_them(run: Path, data: Path, tmp_path: Path) -> None:
    plain = predict(run, data / "imagesTs", tmp_path / "plain")
    predict(run, data / "imagesTs", tmp_path / "out", Options(quality=True))
    assert bytes_of(tmp_path / "plain") == bytes_of(tmp_path / "out")
    found = read_quality(tmp_path / "out")
    assert found is not None
    assert len(found.cases) == len(plain)
    assert found.calibration["method"] == "validation"
    assert found.calibration["level"] == LEVEL
    for case in found.cases.values():
        assert case["dice"] is not None
        assert case["low"] <= case["dice"] <= case["high"]
        for one in case["classes"].values():
            assert one["agreement"] is None or 0 <= one["agreement"] <= 1
    rows = list(csv.DictReader((tmp_path / "out" / "quality.csv").read_text().splitlines()))
    assert len(rows) == len(plain) * (1 + len(found.labels))


def test_estimates_are_the_same_in_every_call_and_batch(run: Path, data: Path, tmp_path: Path) -> None:
    predict(run, data / "imagesTs", tmp_path / "one", Options(quality=True))
    predict(run, data / "imagesTs", tmp_path / "two", Options(quality=True))
    one, two = ((tmp_path / name / "quality.csv").read_text() for name in ("one", "two"))
    assert one == two


def test_masks_that_are_kept_get_their_estimates(run: Path, data: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out", []
    masks = predict(run, data / "imagesTs", out)
    before = bytes_of(out)
    predict(run, data / "imagesTs", out, Options(quality=True), warn=told.append)
    assert bytes_of(out) == before
    assert not [text for text in told if "predicted again" in text]
    first = read_quality(out)
    assert first is not None
    assert len(first.cases) == len(masks)
    masks[0].write_bytes(masks[-1].read_bytes() if len(masks) > 1 else b"")
    assert list(read_quality(out).outdated.values()) == ["The mask was changed since."]


@pytest.mark.parametrize("estimated", [False, True])
def test_a_corrected_mask_is_kept_and_named(run: Path, data: Path, tmp_path: Path, estimated: bool) -> None:
    out, told = tmp_path / "out", []
    masks = predict(run, data / "imagesTs", out, Options(quality=estimated))
    mask = formats.read(masks[0])
    mask.voxels[0, 0, 0] = 1 - min(mask.voxels[0, 0, 0], 1)
    formats.write(masks[0], mask.voxels, mask)
    before = bytes_of(out)
    predict(run, data / "imagesTs", out, Options(quality=True), warn=told.append)
    assert bytes_of(out) == before
    (text,) = [text for text in told if text.startswith("kept, ")]
    assert formats.stem(masks[0]) in text
    assert formats.stem(masks[0]) not in read_quality(out).cases


def test_a_packed_model_never_takes_the_folder_it_is_used_in_for_its_data(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(run, tmp_path / "model.zip")
    monkeypatch.chdir(data)
    with pytest.raises(UserError, match="packed model, which has no data: name a dataset"):
        rank(tmp_path / "model.zip")
    with pytest.raises(UserError, match="takes no further files: name a folder with --out"):
        rank(tmp_path / "model.zip", data / "imagesTs")
    moved = json.loads((run / "run.json").read_text())
    moved["data"]["root"] = str(tmp_path / "gone")
    other = Path(shutil.copytree(run, tmp_path / "moved"))
    (other / "run.json").write_text(json.dumps(moved))
    with pytest.raises(UserError, match=r"gone, where the data of .*moved were, is no folder now: name a dataset"):
        rank(other)
    (tmp_path / "file").write_text("notes")
    with pytest.raises(UserError, match="file cannot be written to"):
        rank(run, data / "imagesTs", out=tmp_path / "file")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "dataset.json").write_text("damaged")
    monkeypatch.chdir(tmp_path / "here")
    assert rank(tmp_path / "model.zip", data / "imagesTs", out=tmp_path, progress=False)
    monkeypatch.chdir(data)
    predict(tmp_path / "model.zip", data / "imagesTs", tmp_path / "out", Options(quality=True))
    assert read_quality(tmp_path / "out").calibration["method"] == "none"


def test_a_network_with_other_weights_is_calibrated_anew(run: Path, data: Path, tmp_path: Path) -> None:
    predict(run, data / "imagesTs", tmp_path / "a", Options(quality=True))
    save_untrained(open_run(run), "last", seed=5)
    predict(run, data / "imagesTs", tmp_path / "b", Options(quality=True))
    digests = {read_quality(tmp_path / name).calibration["weights_sha256"] for name in "ab"}
    assert len(digests) == 2
    assert len(list((run / "calibration").iterdir())) == 2


def test_without_the_training_data_agreement_is_all_that_is_told(run: Path, data: Path, tmp_path: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["data"]["root"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(record))
    predict(run, data / "imagesTs", tmp_path / "out", Options(quality=True))
    found = read_quality(tmp_path / "out")
    assert found.calibration["method"] == "none"
    assert "any more" in found.calibration["told"]
    assert {case["dice"] for case in found.cases.values()} == {None}


def test_without_validation_cases_it_is_said_and_intervals_are_wider(run: Path, data: Path, tmp_path: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["data"]["validation"] = []
    (run / "run.json").write_text(json.dumps(record))
    predict(run, data / "imagesTs", tmp_path / "out", Options(quality=True))
    found = read_quality(tmp_path / "out")
    assert found.calibration["method"] == "labelled"
    assert found.calibration["cases"] == record["data"]["labelled"]
    assert "on which the network was trained" in found.calibration["told"]
    assert {(case["low"], case["high"]) for case in found.cases.values()} == {(0, 1)}  # one case says nothing


def test_strange_scans_are_flagged_before_anything_else(run: Path, data: Path, tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(3e6, 1e5, (12, 10, 3)).astype(np.float32)
    write_nifti(tmp_path / "in" / "odd_0000.nii.gz", voxels, np.diag([-9.0, -9.0, 60.0, 1.0]))
    predict(run, tmp_path / "in", tmp_path / "out", Options(quality=True))
    (case,) = read_quality(tmp_path / "out").cases.values()
    assert case["out_of_distribution"]
    assert "by its spacing" in case["flags"][0]
    assert "by its grey values" in case["flags"][1]
    assert case["spacing_distance"] > 2
    assert case["grey_distance"] > 1


def test_uncertainty_is_a_map_of_the_scan(run: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    masks = predict(run, data / "imagesTs", out, Options(uncertainty=True, probabilities=True))
    for mask in masks:
        labels, shown = formats.read(mask), formats.read(out / "uncertainty" / mask.name)
        assert shown.shape == labels.shape
        assert np.allclose(shown.affine, labels.affine)
        assert shown.voxels.dtype == np.float32
        assert shown.voxels.min() >= 0
        assert 0.01 < shown.voxels.max() <= 1 + 1e-6
    assert read_quality(out).made_by["views"].count("features dropped at 0.1 and 0.5") == 2


@pytest.fixture
def second(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """A run of the same data with other weights."""
    folder = Path(shutil.copytree(made[1], tmp_path / "second"))
    save_untrained(open_run(folder), "last", seed=7)
    return folder


@pytest.mark.parametrize("flips", [False, True])
def test_several_runs_are_compared_with_their_mean(
    run: Path, second: Path, data: Path, tmp_path: Path, flips: bool
) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    predict([run, second], data / "imagesTs", plain, Options(flips=flips))
    predict([run, second], data / "imagesTs", out, Options(flips=flips, uncertainty=True))
    assert bytes_of(plain) == bytes_of(out)
    found = read_quality(out)
    assert found.made_by["run"] == "run + second"
    assert found.made_by["views"] == ["run 1 of 2", "run 2 of 2"]
    assert found.calibration["method"] == "validation"
    assert all(case["dice"] is not None for case in found.cases.values())
    assert all((out / "uncertainty" / f"{name}.nii.gz").is_file() for name in found.cases)
    agreed = [case["agreement"] for case in found.cases.values() if case["agreement"] is not None]
    assert min(agreed) < 1


def test_runs_that_are_alike_agree(run: Path, made: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    file = run / "checkpoints" / "last.safetensors"
    with safe_open(file, "pt") as opened:
        weights, facts = {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118
    name = next(name for name in weights if name.endswith("bias"))
    save_file(weights | {name: weights[name] + 1e-7}, file, facts)  # equal weights are refused
    predict([run, made[1]], data / "imagesTs", tmp_path / "out", Options(quality=True))
    agreed = {case["agreement"] for case in read_quality(tmp_path / "out").cases.values()} - {None}
    assert agreed == {1.0}


def test_a_case_that_another_run_learned_from_fits_no_estimate(
    run: Path, second: Path, data: Path, tmp_path: Path
) -> None:
    record = json.loads((second / "run.json").read_text())
    record["data"]["labelled"], record["data"]["validation"] = record["data"]["validation"], []
    (second / "run.json").write_text(json.dumps(record))
    predict([run, second], data / "imagesTs", tmp_path / "out", Options(quality=True))
    assert read_quality(tmp_path / "out").calibration["method"] == "labelled"


def test_a_case_that_an_earlier_run_learned_from_fits_no_estimate(run: Path, data: Path, tmp_path: Path) -> None:
    """The run began with the weights of one that learned from its validation cases."""
    record = json.loads((run / "run.json").read_text())
    record["data"]["labelled_before"] = record["data"]["validation"]
    (run / "run.json").write_text(json.dumps(record))
    predict(run, data / "imagesTs", tmp_path / "out", Options(quality=True))
    found = read_quality(tmp_path / "out")
    assert found.calibration["method"] == "labelled"
    assert found.calibration["cases"] == record["data"]["labelled"]


def test_cases_that_were_written_since_are_predicted_anew(run: Path, made: tuple[Path, Path], tmp_path: Path) -> None:
    data = with_data(run, made[0], tmp_path / "data")
    record = json.loads((run / "run.json").read_text())
    kept = predict_and_read(run, data, tmp_path / "a")
    assert predict_and_read(run, data, tmp_path / "b") == kept
    label = data / "labelsTr" / f"{record['data']['validation'][0]}.nii.gz"
    image = formats.read(label)
    write_nifti(label, np.zeros_like(image.voxels), image.affine)
    changed = predict_and_read(run, data, tmp_path / "c")
    assert changed["files"] != kept["files"]
    assert changed["dice"] != kept["dice"]
    told = [read_quality(tmp_path / name).calibration["told"] for name in "bc"]
    assert ["written since an earlier fit" in text for text in told] == [False, True]
    label = data / "labelsTr" / f"{record['data']['labelled'][0]}.nii.gz"  # with whose shape masks are compared
    write_nifti(label, np.zeros_like(image.voxels), image.affine)
    compared = predict_and_read(run, data, tmp_path / "d")
    assert compared["references"] != changed["references"]
    assert "written since" in read_quality(tmp_path / "d").calibration["told"]
    shutil.rmtree(data / "labelsTr")
    assert predict_and_read(run, data, tmp_path / "e") == compared


def with_data(run: Path, data: Path, copy: Path) -> Path:
    """A copy of the data that the run takes for its own, to be changed."""
    record = json.loads((run / "run.json").read_text())
    record["data"]["root"] = str(shutil.copytree(data, copy))
    (run / "run.json").write_text(json.dumps(record))
    return copy


def test_voxels_to_be_ignored_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    """Dice and probabilities are those of the drawn half. Structures are so large that all of it lies around them."""
    data = write_dataset(tmp_path / "data", n_val=4)
    stated = json.loads((data / "dataset.json").read_text())
    stated["labels"]["ignore"] = 3
    (data / "dataset.json").write_text(json.dumps(stated))
    for path in data.glob("labelsTr/*.nii.gz"):
        label = formats.read(path)
        write_nifti(path, np.where(np.arange(16)[:, None, None] < 8, np.uint8(3), label.voxels), label.affine)
    run = untrained_run(tmp_path / "run", data)
    predict(run.folder, data / "imagesTs", tmp_path / "masks", Options(quality=True))
    (kept,) = (json.loads(path.read_text()) for path in (run.folder / "calibration").iterdir())
    right, model = [], crossmatch.load(run.folder, device="cpu")
    for name, dice in zip(kept["cases"], kept["dice"], strict=True):
        scan, label = (
            formats.read(data / each) for each in (f"imagesTr/{name}_0000.nii.gz", f"labelsTr/{name}.nii.gz")
        )
        mask = model.predict(scan.voxels, affine=scan.affine)[8:]
        right.append((mask == label.voxels[8:]).mean())
        assert dice == pytest.approx(dice_per_class(mask, label.voxels[8:], 3).tolist())
    bins = kept["reliability"]["bins_before"]
    assert sum(each["accuracy"] * each["share"] for each in bins) == pytest.approx(np.mean(right))


@pytest.mark.parametrize(
    ("folder", "value", "told"),
    [
        ("labelsTr", 7, "holds the label value 7, but dataset.json declares 0 background, 1 RV, 2 MYO"),
        ("labelsTr", 0.5, "holds 0.5, which is no whole number"),
        ("imagesTr", np.nan, "has voxels that are NaN or infinite"),
    ],
)
def test_a_validation_case_that_was_spoilt_since_is_named(
    run: Path, data: Path, tmp_path: Path, folder: str, value: float, told: str
) -> None:
    copy = with_data(run, data, tmp_path / "data")
    (path,) = (copy / folder).glob("case_004*")
    volume = formats.read(path)
    spoilt = volume.voxels.astype(np.float32)
    spoilt[0, 0, 0] = value
    write_nifti(path, spoilt, volume.affine)
    with pytest.raises(UserError, match=rf"^Quality is estimated from cases of .*, which were changed: .*{told}"):
        predict(run, data / "imagesTs", tmp_path / "out", Options(quality=True))
    assert not list((tmp_path / "out").glob("*.nii.gz"))
    assert not (run / "calibration").exists()
    predict(run, data / "imagesTs", tmp_path / "out")


def test_data_with_other_channels_now_fit_nothing(run: Path, data: Path, tmp_path: Path) -> None:
    copy = with_data(run, data, tmp_path / "data")
    described = json.loads((copy / "dataset.json").read_text())
    (copy / "dataset.json").write_text(json.dumps({**described, "channel_names": {"0": "C0", "1": "more"}}))
    for path in list(copy.glob("images*/*_0000.nii.gz")):
        shutil.copy(path, path.with_name(path.name.replace("_0000", "_0001")))
    predict(run, data / "imagesTs", tmp_path / "out", Options(quality=True))
    assert "other cases, labels or channels now" in read_quality(tmp_path / "out").calibration["told"]


def predict_and_read(run: Path, data: Path, out: Path) -> dict[str, object]:
    """Predict with estimates, and what the run keeps for them."""
    predict(run, data / "imagesTs", out, Options(quality=True))
    (path,) = (run / "calibration").iterdir()
    return json.loads(path.read_text())


def test_the_command_says_what_to_look_at(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "predict", run, data / "imagesTs", tmp_path / "out", "--quality")
    assert code == 0
    assert "look first at" in out
    assert "Fitted on" in out


def test_rank_names_unlabelled_scans_once(run: Path, data: Path, tmp_path: Path) -> None:
    found = rank(run, count=2, out=tmp_path / "next", progress=False)
    record = json.loads((run / "run.json").read_text())
    assert found
    trusted = "agreement " if found[0].dice is None else f"estimated Dice {100 * found[0].dice:.0f} %, number"
    assert found[0].reason.startswith(trusted)
    assert not {one.case for one in found} & {*record["data"]["labelled"], *record["data"]["validation"]}
    shutil.copy(tmp_path / "next" / "rank.json", run)
    assert read_ranking(open_run(run)) == (found, None)
    stored = json.loads((tmp_path / "next" / "rank.json").read_text())
    assert [one["case"] for one in stored["next"]] == [one.case for one in found]
    assert (tmp_path / "next" / "rank.csv").read_text().count("\n") == len(found) + 1


def test_a_poor_network_narrows_no_choice_and_a_good_one_does() -> None:
    def pool(dice: float | None, scans: int = 100, count: int = 5) -> int:
        return pool_of(Looked(np.zeros(scans), np.zeros((scans, 2)), [{"dice": dice}] * scans), count)

    assert [pool(dice) for dice in (None, 0.2, 0.5, 0.7, 0.9, 1.0)] == [100, 100, 100, 50, 15, 15]
    assert pool(0.9, scans=4) == 4


def test_rank_of_a_folder_of_new_scans_by_the_command(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voxels = np.random.default_rng(0).integers(0, 200, (16, 14, 4)).astype(np.int16)
    code, out, _ = call(capsys, "rank", run, write_nifti(tmp_path / "scans" / "anna.nii.gz", voxels).parent)
    assert code == 0
    assert "label next" in out
    assert (run / "rank.csv").is_file()
    code, out, error = call(capsys, "rank", run, data / "imagesTs")
    assert code == 2
    assert "all are in use by the run" in error
    assert "or they are test cases" in " ".join((out + error).split())


def test_scans_without_usable_voxels_are_not_ranked_but_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is that of `predict`; the other scans are ranked."""
    scans = tmp_path / "scans"
    good = np.random.default_rng(0).integers(0, 200, (16, 14, 4)).astype(np.float32)
    holed = good.copy()
    holed[0, 0, 0] = np.nan
    for name, voxels in (("fine", good), ("holed", holed), ("flat", np.full_like(good, 5))):
        write_nifti(scans / f"{name}.nii.gz", voxels)
    codes = [call(capsys, *words)[0] for words in (("predict", run, scans, tmp_path / "masks"), ("rank", run, scans))]
    assert codes == [2, 2]
    (found,), _ = read_ranking(open_run(run))
    assert found.case == "fine"
    assert np.isfinite(found.distance)
    (run / "rank.csv").unlink()
    with pytest.raises(UserError, match=r"^2 of 4 scans .*The others are ranked in .*rank.csv\. .*flat.*holed.*NaN"):
        rank(run, scans, progress=False)
    (scans / "fine.nii.gz").unlink()
    with pytest.raises(UserError, match=r"^2 of 3 scans cannot be used\. Nothing was ranked\. "):
        rank(run, scans, progress=False, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_rank_refuses_what_the_network_cannot_take(run: Path, data: Path, tmp_path: Path) -> None:
    """Of a folder and of a dataset; warnings are those of `predict`."""
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "anna.nii.gz").write_bytes(b"no scan")
    with pytest.raises(UserError, match=r"anna\.nii\.gz cannot be read"):
        rank(run, tmp_path / "damaged", progress=False, out=tmp_path / "out")
    with pytest.raises(UserError, match=r"^2 of 2 scans .* holds 2 channels, but the network takes 1"):
        rank(run, write_dataset(tmp_path / "two", channels=2, unlabelled=2), progress=False, out=tmp_path / "out")
    wide = np.diag([-9.0, -9.0, 60.0, 1.0])
    other = write_dataset(tmp_path / "wide", affine=wide, unlabelled=1, n_train=2, n_val=0, n_test=0)
    told: list[str] = []
    assert rank(run, other, progress=False, out=tmp_path / "out", warn=told.append)
    assert "of another voxel size than the training knows: case_002" in told[0]


def test_a_damaged_calibration_is_refused(run: Path, data: Path, tmp_path: Path) -> None:
    predict(run, data / "imagesTs", tmp_path / "a", Options(quality=True))
    (path,) = (run / "calibration").iterdir()
    path.write_text("{}")
    with pytest.raises(UserError, match="is damaged"):
        predict(run, data / "imagesTs", tmp_path / "b", Options(quality=True))


def test_what_an_earlier_version_kept_is_made_again(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(known_cases, "FORM", known_cases.FORM - 1)
        predict(run, data / "imagesTs", tmp_path / "a", Options(quality=True))
    (before,) = (run / "calibration").iterdir()
    before.write_text("{}")  # never read again
    predict(run, data / "imagesTs", tmp_path / "b", Options(quality=True))
    assert len(list((run / "calibration").iterdir())) == 2
    assert read_quality(tmp_path / "b").calibration["method"] == "validation"


def unet(dims: int) -> UNet:
    torch.manual_seed(0)
    return UNet(dims, 1, 3, UNetSettings(width=4, dropout=(0.0, 0.0, 0.0))).eval()


@pytest.mark.parametrize("dims", [2, 3])
def test_nothing_dropped_is_full_agreement_also_of_parts(dims: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, size = unet(dims), (32,) * dims
    with torch.inference_mode():
        features = network.encode(torch.randn(3, 1, *size))
        probabilities = network.decode(features).softmax(1)
        probabilities[:, 1:, :8] = probabilities[:, 1:, :8].flip(1)  # some of each class
        probabilities[0] = torch.tensor([1.0, 0, 0]).view(3, *[1] * dims)  # an image without a mask
        whole = network.decode(features).softmax(1)
        views = FeatureViews(network, (0.0, 0.0))
        views.see(features, whole)
        assert np.nanmin(views.sums().agreement) == 1
        monkeypatch.setattr(feature_views, "BUDGET", 0.2)
        views.start()
        views.see(features, whole)
        assert np.nanmin(views.sums().agreement) > 0.99
        views.start()
        assert np.isnan(views.sums().agreement).all()


def test_more_is_dropped_and_less_is_agreed() -> None:
    network = unet(2)
    with torch.inference_mode():
        features = network.encode(torch.randn(4, 1, 32, 32))
        probabilities = network.decode(features).softmax(1)
        agreed = []
        for rates in ((0.05, 0.05), (0.7, 0.7)):
            views = FeatureViews(network, rates, whole=True)
            shown = views.see(features, probabilities)
            assert shown.shape == (4, 1, 32, 32)
            agreed.append(np.nanmean(views.sums().agreement))
    assert agreed[0] > agreed[1] + 0.05


def test_the_budget_bounds_what_is_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    network, decoded = unet(2), []
    plain = network.decode
    with torch.inference_mode():
        features = network.encode(torch.randn(8, 1, 32, 32))
        probabilities = plain(features).softmax(1)
        monkeypatch.setattr(network, "decode", lambda levels: decoded.append(levels[0][:, 0].numel()) or plain(levels))
        FeatureViews(network, RATES).see(features, probabilities)
    assert 0 < sum(decoded) <= feature_views.BUDGET * 8 * 32 * 32


def test_a_checkpoint_is_told_by_its_weights(run: Path, data: Path, tmp_path: Path) -> None:
    predict(run, data / "imagesTs", tmp_path / "out", Options(quality=True))
    path = run / "checkpoints" / "last.safetensors"
    checkpoint = load_checkpoint(path)
    weights = {name: value * 1.01 for name, value in checkpoint.network.items()}
    save_checkpoint(path, type(checkpoint)(checkpoint.facts, weights, {}))
    with pytest.raises(UserError, match="another run, checkpoint or setting"):
        predict(run, data / "imagesTs", tmp_path / "out", Options(quality=True))
