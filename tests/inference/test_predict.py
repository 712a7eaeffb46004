"""Prediction of whole slices: stacking, what the network sees, resizing back, mirror images.

Windows over patches: test_predictor_3d; files: test_predict_files.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from crossmatch import formats
from crossmatch.batches.store import load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import open_dataset
from crossmatch.formats import Volume, new_volume
from crossmatch.inference.predict import predict
from crossmatch.inference.predictor import Predictor
from crossmatch.networks import Segmenter
from crossmatch.networks.unet import UNet, UNetSettings
from crossmatch.perturb.geometry import WeakSettings
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.scoring.evaluate import evaluate
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import Quiet
from untrained import Levels, Stamped, small_recipe

HERE = Path("scan.nii.gz")
CPU = torch.device("cpu")


def predictor(network: Segmenter, recipe: Recipe, axis: int = 2, flips: bool = False) -> Predictor:
    return Predictor(network.eval(), recipe, axis, CPU, flips, probabilities=True)


def noise(*shape: int, seed: int = 0) -> Volume:
    return new_volume(np.random.default_rng(seed).integers(0, 200, shape, dtype=np.int16))


def mirrored(volume: Volume, axes: tuple[int, ...]) -> Volume:
    return new_volume(np.flip(volume.voxels, axes))


@pytest.fixture
def unet() -> UNet:
    torch.manual_seed(0)
    network = UNet(2, 1, 3, UNetSettings(width=4, dropout=(0.0, 0.0)))
    nn.init.normal_(network.head.weight)
    return network


@pytest.mark.parametrize("resize", ["labels", "probabilities"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_come_back_where_they_were(axis: int, resize: str) -> None:
    size = [n for i, n in enumerate((16, 12, 5)) if i != axis]
    recipe = small_recipe(f"predict.resize={resize}", "predict.batch=3")
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"size": tuple(size)})})
    volume = noise(16, 12, 5)
    labels, probabilities = predictor(Levels(5), recipe, axis)([volume], HERE)
    voxels = volume.voxels
    grey = (voxels - voxels.min()) / (voxels.max() - voxels.min())
    assert np.array_equal(labels, np.floor(4 * grey + 0.5))
    assert labels.dtype == np.uint8
    assert probabilities.shape == (5, 16, 12, 5)
    assert probabilities.dtype == np.float32
    assert np.array_equal(probabilities.argmax(0), labels)


def test_an_image_of_two_axes_is_one_slice() -> None:
    recipe = small_recipe()
    labels, probabilities = predictor(Levels(3), recipe)([noise(16, 16)], HERE)
    assert (labels.shape, probabilities.shape) == ((16, 16), (3, 16, 16))
    stacked, _ = predictor(Levels(3), recipe)([new_volume(noise(16, 16).voxels[:, :, None])], HERE)
    assert np.array_equal(stacked[:, :, 0], labels)


def test_channels_keep_their_order() -> None:
    low, high = noise(16, 16, 2, seed=1), noise(16, 16, 2, seed=2)
    labels, _ = predictor(Levels(3, channels=2), small_recipe())([low, high], HERE)
    scaled = [(c - c.min()) / (c.max() - c.min()) for c in (low.voxels, high.voxels)]
    expected = np.clip(np.floor(2 * (scaled[1] - scaled[0]) + 0.5), 0, 2)
    assert np.array_equal(labels, expected)


@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize(
    ("normalise", "kind"), [("minmax", "int16"), ("percentile", "int16"), ("percentile", "float32")]
)
def test_the_network_sees_what_training_saw_unaugmented(tmp_path: Path, axis: int, normalise: str, kind: str) -> None:
    """The store keeps integers and cuts views by look-up; prediction scales floats and resizes. One and the same."""
    data = write_dataset(tmp_path / "data", n_train=2, shape=(21, 18, 19), channels=2)
    if kind == "float32":
        for path in (data / "imagesTr").iterdir():
            image = nib.load(path)
            nib.save(nib.Nifti1Image(np.asarray(image.dataobj, np.float32) / 7, image.affine), path)
    dataset, recipe = open_dataset(data), small_recipe(f"data.normalise={normalise}")
    cases = dataset.split("train")
    store = load_store(cases, (), dims=2, slice_axis=axis, normalise=recipe.data.normalise, device=CPU)
    still = ViewSettings(weak=WeakSettings(turn_probability=0, rotation_probability=0))
    batches = Batches(store, recipe.data.size, still, BatchSizes(labelled=len(store.labelled)), 0, CPU, False)
    network = Levels(3, channels=2)
    for case in cases:
        predictor(network, recipe, axis)([formats.read(path) for path in case.images], case.images[0])
    seen = torch.cat(network.seen)
    trained = batches(0).x[batches.labelled(0).argsort()]
    assert trained.shape == seen.shape == (2 * (21, 18, 19)[axis], 2, 16, 16)
    assert (trained - seen).abs().max() <= (1e-6 if kind == "int16" else 1 / 65535)


@pytest.mark.parametrize("native", [(37, 53), (16, 16), (31, 31), (9, 40), (256, 216), (100, 1)])
def test_labels_are_enlarged_as_scipy_does(native: tuple[int, int]) -> None:
    """Order 0 of `scipy.ndimage.zoom`, the published protocol, half-way positions (31 from 16) included.

    SciPy gives 0 where rounding puts the last position beyond the last voxel; that is no label here, all being >= 1.
    """
    small = torch.from_numpy(np.random.default_rng(0).integers(1, 5, (16, 16)))
    labels, _ = predictor(Stamped(small, 5), small_recipe("predict.resize=labels"))([noise(*native, 2)], HERE)
    expected = ndimage.zoom(small.numpy(), (native[0] / 16, native[1] / 16), order=0)
    outside = expected == 0
    assert not outside[:-1, :-1].any()
    for k in range(2):
        assert np.array_equal(labels[:, :, k][~outside], expected[~outside])


@pytest.mark.parametrize("native", [(37, 53), (9, 40), (16, 16)])
def test_probabilities_are_enlarged_linearly(unet: UNet, native: tuple[int, int]) -> None:
    recipe = small_recipe()
    labels, probabilities = predictor(unet, recipe)([noise(*native, 2)], HERE)
    assert probabilities.sum(0) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(probabilities.argmax(0), labels)
    small = torch.zeros(16, 16, dtype=torch.int64)
    small[:, 8:] = 1
    labels, probabilities = predictor(Stamped(small, 2), recipe)([noise(16, 31, 1)], HERE)
    certain = 1 / (1 + np.exp(-10))
    assert probabilities[1, 5, [0, 14, 15, 16, 30], 0] == pytest.approx(
        [1 - certain, 1 - certain, 0.5, certain, certain]
    )
    assert labels[5, [14, 16], 0].tolist() == [0, 1]


@pytest.mark.parametrize("resize", ["labels", "probabilities"])
def test_of_two_equal_classes_the_first_wins(resize: str) -> None:
    """A grey value of 1 in 0 to 4 lies half-way between the levels 0 and 0.5 of three classes."""
    voxels = np.ones((16, 16, 2), np.int16)
    voxels[:2], voxels[14:] = 0, 4
    labels, probabilities = predictor(Levels(3), small_recipe(f"predict.resize={resize}"))([new_volume(voxels)], HERE)
    assert probabilities[:, 8, 8, 1] == pytest.approx([0.5, 0.5, 0])
    assert probabilities[0, 8, 8, 1] == probabilities[1, 8, 8, 1]
    assert (labels[:14] == 0).all()
    assert (labels[14:] == 2).all()


def test_mirror_images_change_nothing_for_an_equivariant_network() -> None:
    volume = [noise(23, 40, 3)]
    plain = predictor(Levels(4), small_recipe())(volume, HERE)
    averaged = predictor(Levels(4), small_recipe(), flips=True)(volume, HERE)
    assert np.array_equal(plain[0], averaged[0])
    assert plain[1] == pytest.approx(averaged[1], abs=1e-6)


@pytest.mark.parametrize("mirror", [(0,), (1,), (0, 1)])
def test_with_mirror_images_a_mirrored_scan_gives_the_mirrored_mask(unet: UNet, mirror: tuple[int, ...]) -> None:
    volume = noise(16, 16, 2)
    for flips in (False, True):
        predict = predictor(unet, small_recipe(), flips=flips)
        labels, probabilities = predict([volume], HERE)
        mirrored_labels, found = predict([mirrored(volume, mirror)], HERE)
        difference = np.abs(np.flip(found, [axis + 1 for axis in mirror]) - probabilities).max()
        assert (difference < 1e-5) == flips
        if flips:
            assert np.mean(np.flip(mirrored_labels, mirror) == labels) > 0.99  # but for ties in the last digit


def test_flips_are_the_mean_over_four(unet: UNet) -> None:
    volume = noise(16, 16, 1)
    by_hand = np.zeros((3, 16, 16, 1))
    for axes in ((), (0,), (1,), (0, 1)):
        _, one = predictor(unet, small_recipe())([mirrored(volume, axes)], HERE)
        by_hand += np.flip(one, [axis + 1 for axis in axes]) / 4
    assert predictor(unet, small_recipe(), flips=True)([volume], HERE)[1] == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("resize", ["labels", "probabilities"])
def test_probabilities_are_kept_only_when_asked_for(unet: UNet, resize: str) -> None:
    volume, recipe = [noise(37, 20, 3)], small_recipe(f"predict.resize={resize}", "predict.batch=2")
    labels, none = Predictor(unet.eval(), recipe, 2, CPU)(volume, HERE)
    assert none is None
    assert np.array_equal(labels, predictor(unet, recipe)(volume, HERE)[0])


@pytest.mark.parametrize("resize", ["labels", "probabilities"])
def test_a_run_repeats_its_own_validation(tmp_path: Path, resize: str) -> None:
    data = write_dataset(tmp_path / "data", n_train=2, n_val=2)
    recipe = small_recipe("train.steps=4", "train.log_every=2", "method.name=supervised", f"predict.resize={resize}")
    fit(recipe, data, tmp_path / "run", Quiet())
    told = [line["validation"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "validation" in line][-1]
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        for path in (data / f"{folder}Tr").iterdir():
            if path.name.startswith(("case_003", "case_004")):
                (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    predict(tmp_path / "run", tmp_path / "images", tmp_path / "masks")
    found = evaluate(tmp_path / "masks", tmp_path / "labels", labels={"RV": 1, "MYO": 2})
    assert len(found.rows) == 4
    assert 0 < told["mean"] < 1
    assert {name: found.statistics(name)["dice"].mean for name in ("RV", "MYO")} == pytest.approx(
        {name: told[name] for name in ("RV", "MYO")}, abs=1e-9
    )
    assert found.statistics()["dice"].mean == pytest.approx(told["mean"], abs=1e-9)
