"""However its files are stored, a dataset gives the same batches, and a scan the same mask in its own order of axes."""

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from axis_turns import IDS, ORDERS, reordered
from command import call
from crossmatch import formats
from crossmatch.batches.store import Store
from crossmatch.batches.views import Batches
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.inference.predict import Options, predict
from crossmatch.inference.predictor import Predictor
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.scoring.evaluate import evaluate
from crossmatch.training.material import TrainingCases, training_cases
from crossmatch.training.validation import validation
from tiny import AFFINE, write_dataset, write_nifti
from train_tiny import TINY
from untrained import untrained_run

CPU = torch.device("cpu")
OBLIQUE = np.eye(4)
OBLIQUE[:3] = np.column_stack(
    [Rotation.from_euler("zx", [12, 20], degrees=True).as_matrix() * (-1.4, -1.5, 8), (5, -7, 60)]
)
VOLUMES = ["data.sampling=patch", "data.size=[8, 8, 8]"]
RANGE = ["views.strong.brightness=0", "views.strong.contrast=0"]  # these are for values in [0, 1]
RECIPES = {
    "slices": ["data.labelled=2"],
    "resampled slices": ["data.labelled=2", "data.sampling=patch", "data.spacing_mm=[1.2, 1]"],
    "volumes": [*VOLUMES, "data.labelled=2", "data.normalise=zscore", *RANGE],
    "resampled volumes": [*VOLUMES, "data.labelled=2", "data.spacing_mm=[2, 2, 5]", "data.normalise=zscore", *RANGE],
}
EVERY, SOME = range(len(ORDERS)), range(0, len(ORDERS), 7)  # 0 among them: the straight one
# that all turns are undone is shown on one kind of voxels, that each kind is turned at all on the others
TURNS = {name: EVERY if name == "slices" else SOME for name in RECIPES}


def store_again(path: Path, order: np.ndarray, source: Path | None = None) -> Path:
    """Write a file, or another one, with other axes: each voxel stays where it was in the world."""
    image = nib.load(source or path)
    return write_nifti(path, *reordered(np.asarray(image.dataobj), image.affine, order))


def cases_of(data: Path, name: str) -> tuple[Recipe, TrainingCases]:
    whole = ["data.normalise=ct"] if name == "resampled volumes" else []  # numbers of all labelled scans
    recipe = load_recipe("phantom", [*TINY, *RECIPES[name], *whole])
    return recipe, training_cases(recipe, open_dataset(data), lambda done, total: None)


def store_of(data: Path, name: str) -> tuple[Recipe, Store]:
    recipe, cases = cases_of(data, name)
    return recipe, cases.load(recipe, data, CPU, lambda done, total: None)


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [one for part in value or () for one in tensors(part)]


def batch_of(recipe: Recipe, store: Store) -> list[torch.Tensor]:
    settings = (recipe.data.size, recipe.views, recipe.train.batch, recipe.seed, CPU)
    batches = Batches(store, *settings, unlabelled=True, patches=recipe.data.sampling == "patch")
    return tensors(batches(0))


def content(store: Store) -> list[torch.Tensor]:
    return [one for one in vars(store).values() if isinstance(one, torch.Tensor)]


def equal(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return len(ours) == len(theirs) > 3 and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", RECIPES)
def test_turned_files_give_the_same_batches(tmp_path: Path, name: str) -> None:
    """Of the first scan the label is turned, of the second image and label, of an unlabelled one the image."""
    data = write_dataset(
        tmp_path / "data", n_train=4, n_val=1, n_test=0, unlabelled=1, shape=(16, 14, 5), affine=OBLIQUE
    )
    recipe, before = store_of(data, name)
    first_batch = batch_of(recipe, before)
    straight = shutil.copytree(data, tmp_path / "straight")
    for number in TURNS[name]:
        order = ORDERS[number]
        for file in ("labelsTr/case_001", "imagesTr/case_002_0000", "labelsTr/case_002", "imagesTr/case_004_0000"):
            turn = ORDERS[7 * number % 48] if file == "labelsTr/case_002" else order
            store_again(data / f"{file}.nii.gz", turn, straight / f"{file}.nii.gz")
        _, after = store_of(data, name)
        assert equal(content(before), content(after)), IDS[number]
        assert equal(first_batch, batch_of(recipe, after)), IDS[number]


def untrained(tmp_path: Path, *changes: str) -> tuple[Path, Path]:
    data = write_dataset(tmp_path / "data", affine=OBLIQUE, shape=(16, 14, 5))
    return data, untrained_run(tmp_path / "run", data, *changes, seed=2).folder


@pytest.mark.parametrize("name", RECIPES)
def test_a_turned_scan_gets_the_same_mask_in_its_own_order(tmp_path: Path, name: str) -> None:
    """Voxel for voxel, probabilities to the bit."""
    data, run = untrained(tmp_path, *RECIPES[name])
    (straight,) = (data / "imagesTs").iterdir()
    turns = [(ORDERS[number], IDS[number]) for number in TURNS[name]]
    for order, text in turns:
        store_again(tmp_path / "scans" / f"{text}.nii.gz", order, straight)
    predict(run, tmp_path / "scans", tmp_path / "masks", Options(probabilities=True, device="cpu"))
    expected = formats.read(tmp_path / "masks" / f"{IDS[0]}.nii.gz")
    assert len(np.unique(expected.voxels)) > 1 or name == "resampled slices"
    maps = np.asarray(nib.load(tmp_path / "masks" / "probabilities" / f"{IDS[0]}.nii.gz").dataobj)
    assert np.ptp(maps[..., 1]) > 1e-3
    for order, text in turns:
        scan, mask = (formats.read(tmp_path / folder / f"{text}.nii.gz") for folder in ("scans", "masks"))
        assert np.array_equal(mask.affine, scan.affine)
        assert np.array_equal(mask.voxels, nib.orientations.apply_orientation(expected.voxels, order)), text
        found = np.asarray(nib.load(tmp_path / "masks" / "probabilities" / f"{text}.nii.gz").dataobj)
        assert np.array_equal(found, nib.orientations.apply_orientation(maps, order)), text


@pytest.mark.parametrize("name", ["slices", "volumes"])
def test_validation_is_the_same_for_turned_files(tmp_path: Path, name: str) -> None:
    data = write_dataset(tmp_path / "data", affine=OBLIQUE, shape=(16, 14, 5), channels=2)
    run = untrained_run(tmp_path / "run", data, *RECIPES[name])
    network, _ = run.load_network()
    predictor = Predictor(network, run.recipe, 2, CPU, frame=run.frame)
    before = validation(predictor, open_dataset(data))
    for order in ORDERS[1::9]:
        store_again(data / "imagesTr" / "case_004_0000.nii.gz", order)
        store_again(data / "labelsTr" / "case_004.nii.gz", ORDERS[22])
        assert validation(predictor, open_dataset(data)) == before
    assert 0 < before["mean"] < 1


def test_evaluate_compares_places_in_the_world(tmp_path: Path) -> None:
    """Of prediction and reference in any two orders of axes; millimetres follow the axes."""
    rng, (pred, ref) = np.random.default_rng(0), (tmp_path / "pred", tmp_path / "ref")
    for folder, seed in ((pred, 1), (ref, 2)):
        voxels = np.zeros((9, 8, 6), np.uint8)
        voxels[seed : 5 + seed, 2:6, 1:4] = 1
        voxels[3, 3:5, 2] = rng.integers(0, 2, 2)
        write_nifti(tmp_path / "straight" / f"{folder.name}.nii.gz", voxels, OBLIQUE)
    for text, ours in zip(IDS, ORDERS, strict=True):
        store_again(pred / f"{text}.nii.gz", ours, tmp_path / "straight" / "pred.nii.gz")
        store_again(ref / f"{text}.nii.gz", ORDERS[0], tmp_path / "straight" / "ref.nii.gz")
    scores = {row.case: row.scores for row in evaluate(pred, ref).rows}
    expected = scores[IDS[0]]
    assert len(scores) == 48
    assert 0.5 < expected["dice"] < 1
    assert expected["assd_mm"] > 0
    assert all(found == expected for found in scores.values())
    turned = store_again(tmp_path / "turned.nii.gz", ORDERS[30], tmp_path / "straight" / "ref.nii.gz")
    for row in evaluate(tmp_path / "straight" / "pred.nii.gz", turned).rows:
        assert row.scores == pytest.approx(expected, rel=1e-9)


def test_a_report_shows_a_scan_whose_files_are_turned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = untrained(tmp_path)
    (image,) = (data / "imagesTs").iterdir()
    (label,) = (data / "labelsTs").iterdir()
    masks = run / "test"
    pages = []
    for order in (ORDERS[0], ORDERS[13]):
        store_again(image, order)
        store_again(label, ORDERS[5])
        assert call(capsys, "predict", run, data / "imagesTs", masks)[0] == 0
        assert call(capsys, "evaluate", masks, data / "labelsTs")[0] == 0
        assert call(capsys, "report", run)[0] == 0
        pages.append((run / "report.html").read_text().partition('class="slices"')[2].partition("</section>")[0])
    assert "<image" in pages[0]
    assert pages[0] == pages[1]


def test_unknown_axes_are_used_as_stored_and_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, run = untrained(tmp_path)
    voxels = np.random.default_rng(0).integers(0, 99, (16, 14, 3), dtype=np.int16)
    for name in "ab":
        write_nifti(tmp_path / "scans" / f"{name}.nii.gz", voxels, np.eye(4), "unknown")
    write_nifti(tmp_path / "scans" / "c.nii.gz", voxels, OBLIQUE @ np.diag([-1.0, 1, 1, 1]))
    code, out, _ = call(capsys, "predict", run, tmp_path / "scans", tmp_path / "masks")
    assert code == 0
    assert " ".join(out.split()).count("of unknown orientation, so used as stored: a, b; look at a mask") == 1
    unknown = write_dataset(tmp_path / "unknown", affine=np.eye(4), unit="unknown")
    other = untrained_run(tmp_path / "other", unknown)
    assert other.frame is None
    code, out, _ = call(capsys, "predict", other.folder, tmp_path / "scans", tmp_path / "as_stored")
    assert code == 0
    assert "the training scans do not state their orientation" in " ".join(out.split())


def test_images_in_two_axes_are_used_as_stored(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", shape=(16, 14))
    run = untrained_run(tmp_path / "run", data)
    assert run.frame is None
    (image,) = (data / "imagesTs").iterdir()
    mask = predict(run.folder, image, tmp_path / "straight", Options(device="cpu"))[0]
    stored = nib.load(image)
    write_nifti(tmp_path / "flipped.nii.gz", np.asarray(stored.dataobj)[::-1], stored.affine @ np.diag([-1.0, 1, 1, 1]))
    flipped = predict(run.folder, tmp_path / "flipped.nii.gz", tmp_path / "masks", Options(device="cpu"))[0]
    assert not np.array_equal(formats.read(flipped).voxels[::-1], formats.read(mask).voxels)


def test_a_channel_that_does_not_lie_on_the_first_is_refused(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", channels=2)
    run = untrained_run(tmp_path / "run", data)
    second = data / "imagesTs" / "case_005_0001.nii.gz"
    voxels = np.asarray(nib.load(second).dataobj)
    for affine, unit, told in (
        (np.eye(4), "unknown", r"case_005_0001.* against case_005_0000.*: it does not say how its axes run"),
        (AFFINE @ np.diag([1.0, 1.0, 1.1, 1.0]), "mm", r"case_005_0001.*which no whole turn makes equal"),
    ):
        write_nifti(second, voxels, affine, unit)
        with pytest.raises(UserError, match=told):
            predict(run.folder, data / "imagesTs", tmp_path / "masks", Options(device="cpu"))
