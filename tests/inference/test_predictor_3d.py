"""Prediction by windows: volumes, patches of slices, scans smaller than a patch, another voxel size, mirror images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from crossmatch import formats
from crossmatch.batches.store import load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.formats import Volume, new_volume
from crossmatch.inference.predictor import Predictor
from crossmatch.networks import Segmenter, UNet
from crossmatch.networks.unet import UNetSettings
from crossmatch.perturb.geometry import WeakSettings
from crossmatch.recipes.schema import Recipe
from tiny import write_dataset
from untrained import Levels, small_recipe

HERE = Path("scan.nii.gz")
CPU = torch.device("cpu")
VOLUMES = ("data.sampling=patch", "data.size=[8, 8, 8]", "predict.batch=3")
SLICES = ("data.sampling=patch", "data.size=[8, 8]", "predict.batch=3")


def predictor(network: Segmenter, recipe: Recipe, axis: int = 2, flips: bool = False) -> Predictor:
    return Predictor(network.eval(), recipe, axis, CPU, flips, probabilities=True)


def noise(*shape: int, seed: int = 0, spacing_mm: tuple[float, ...] = ()) -> Volume:
    voxels = np.random.default_rng(seed).integers(0, 200, shape, dtype=np.int16)
    return new_volume(voxels, np.diag([*spacing_mm, *[1.0] * (4 - len(spacing_mm))]) if spacing_mm else None)


def grey(volume: Volume) -> np.ndarray:
    voxels = volume.voxels.astype(np.float64)
    return (voxels - voxels.min()) / (voxels.max() - voxels.min())


def unet(dims: int, channels: int = 1) -> UNet:
    torch.manual_seed(0)
    network = UNet(dims, channels, 3, UNetSettings(width=4, dropout=(0.0, 0.0)))
    nn.init.normal_(network.head.weight)
    return network


@pytest.mark.parametrize("stride", ["even", "[8, 3, 1]"])
@pytest.mark.parametrize("shape", [(19, 11, 8), (8, 8, 8), (3, 17, 5), (1, 1, 2)])
def test_every_voxel_gets_its_own_label(shape: tuple[int, ...], stride: str) -> None:
    """The network answers voxel by voxel, so windows and padding must leave no trace."""
    volume = noise(*shape)
    labels, probabilities = predictor(Levels(5, dims=3), small_recipe(*VOLUMES, f"predict.stride={stride}"))(
        [volume], HERE
    )
    assert np.array_equal(labels, np.floor(4 * grey(volume) + 0.5))
    assert (labels.dtype, probabilities.dtype) == (np.uint8, np.float32)
    assert probabilities.shape == (5, *shape)
    assert np.array_equal(probabilities.argmax(0), labels)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_patches_of_slices_come_back_where_they_were(axis: int) -> None:
    volume = noise(9, 12, 5)
    labels, probabilities = predictor(Levels(5), small_recipe(*SLICES), axis)([volume], HERE)
    assert np.array_equal(labels, np.floor(4 * grey(volume) + 0.5))
    assert np.array_equal(probabilities.argmax(0), labels)
    image = new_volume(volume.voxels[0])
    assert np.array_equal(predictor(Levels(5), small_recipe(*SLICES))([image], HERE)[0], np.rint(4 * grey(image)))


def test_channels_keep_their_order() -> None:
    low, high = noise(9, 12, 10, seed=1), noise(9, 12, 10, seed=2)
    labels, _ = predictor(Levels(3, channels=2, dims=3), small_recipe(*VOLUMES))([low, high], HERE)
    assert np.array_equal(labels, np.clip(np.floor(2 * (grey(high) - grey(low)) + 0.5), 0, 2))


@pytest.mark.parametrize("dims", [2, 3])
def test_one_window_is_the_network_on_the_padded_scan(dims: int) -> None:
    """A scan smaller than the patch lies in its middle, the odd voxel behind, zeros around it."""
    network, volume = unet(dims).eval(), noise(*(5, 8, 7)[:dims])
    recipe = small_recipe(*(VOLUMES if dims == 3 else SLICES))
    labels, probabilities = predictor(network, recipe)([volume], HERE)
    padded = np.pad(grey(volume), [(1, 2), (0, 0), (0, 1)][:dims])
    with torch.inference_mode():
        whole = network(torch.from_numpy(padded).float()[None, None]).softmax(1)[0].numpy()
    expected = whole[(slice(None), *(slice(1, 6), slice(0, 8), slice(0, 7))[:dims])]
    assert probabilities == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(labels, probabilities.argmax(0))


def test_the_stride_decides_how_windows_are_averaged() -> None:
    """Two windows of a longer axis, uniform weights: each alone at the ends, their mean where both see a voxel."""
    network, volume = unet(3).eval(), noise(10, 8, 8)
    _, found = predictor(network, small_recipe(*VOLUMES, "predict.stride=[2, 8, 8]"))([volume], HERE)
    image = torch.from_numpy(grey(volume)).float()[None, None]
    with torch.inference_mode():
        first, second = (network(image[:, :, s : s + 8]).softmax(1)[0].numpy() for s in (0, 2))
    assert found[:, :2] == pytest.approx(first[:, :2], abs=1e-6)
    assert found[:, 2:8] == pytest.approx((first[:, 2:] + second[:, :6]) / 2, abs=1e-6)
    assert found[:, 8:] == pytest.approx(second[:, 6:], abs=1e-6)
    _, gaussian = predictor(network, small_recipe(*VOLUMES))([volume], HERE)
    assert gaussian[:, :2] == pytest.approx(found[:, :2], abs=1e-6)
    assert np.abs(gaussian[:, 2:8] - found[:, 2:8]).max() > 1e-3


def enlarged(values: np.ndarray, axis: int, count: int) -> np.ndarray:
    """Linear interpolation along one axis; voxels are twice as fine, and both grids have one border."""
    old, new = np.arange(values.shape[axis]) + 0.5, (np.arange(count) + 0.5) * values.shape[axis] / count
    return np.apply_along_axis(lambda line: np.interp(new, old, line), axis, values)


def test_another_voxel_size_and_back() -> None:
    """1 x 2 x 1 mm at a recipe of 2 mm: pairs are averaged, what is predicted there is enlarged to the scan."""
    volume = noise(12, 9, 20, spacing_mm=(1, 2, 1))
    recipe = small_recipe(*VOLUMES, "data.spacing_mm=[2, 2, 2]")
    network = Levels(3, dims=3)
    labels, probabilities = predictor(network, recipe)([volume], HERE)
    assert {tuple(seen.shape[1:]) for seen in network.seen} == {(1, 8, 8, 8)}
    coarse = grey(volume).reshape(6, 2, 9, 10, 2).mean((1, 4))
    logits = -1000 * (coarse - np.array([0, 0.5, 1]).reshape(3, 1, 1, 1)) ** 2
    maps = np.exp(logits - logits.max(0))
    expected = enlarged(enlarged(maps / maps.sum(0), 1, 12), 3, 20)
    assert probabilities.shape == (3, 12, 9, 20)
    assert probabilities == pytest.approx(expected, abs=1e-3)  # steep logits: 1e-6 of a grey value is 1e-3 here
    assert probabilities.sum(0) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(labels, probabilities.argmax(0))
    alone, none = Predictor(network.eval(), recipe, 2, CPU)([volume], HERE)
    assert none is None
    assert np.array_equal(alone, labels)


def test_of_two_equal_classes_the_first_wins_at_another_voxel_size_too() -> None:
    """A grey value of 1 in 0 to 4 lies half-way between the levels 0 and 0.5 of three classes."""
    voxels = np.ones((16, 16, 16), np.int16)
    voxels[:2], voxels[14:] = 0, 4
    volume = new_volume(voxels, np.eye(4))
    for spacing in ("[]", "[2, 2, 2]"):
        labels, probabilities = predictor(Levels(3, dims=3), small_recipe(*VOLUMES, f"data.spacing_mm={spacing}"))(
            [volume], HERE
        )
        first, second, third = probabilities[:, 8, 8, 8].tolist()
        assert first == second == pytest.approx(0.5)
        assert third == 0
        assert (labels[:12] == 0).all()
        assert (labels[15] == 2).all()


@pytest.mark.parametrize(("axis", "spacing_mm"), [(0, (5, 1, 3)), (1, (1, 5, 3)), (2, (1, 3, 5))])
def test_slices_are_resampled_within_their_plane(axis: int, spacing_mm: tuple[float, ...]) -> None:
    volume = noise(*np.insert([12, 6], axis, 4), spacing_mm=spacing_mm)
    network = unet(2)
    shapes: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    recipe = small_recipe(*SLICES, "data.size=[4, 18]", "network.width=4", "data.spacing_mm=[3, 1]")
    labels, probabilities = predictor(network, recipe, axis)([volume], HERE)
    assert shapes == [(1, 1, 4, 18)] * 4  # each slice is one window
    assert labels.shape == volume.shape
    assert probabilities.shape == (3, *volume.shape)
    assert np.array_equal(labels, probabilities.argmax(0))


def test_an_unknown_voxel_size_cannot_be_resampled() -> None:
    with pytest.raises(UserError, match=r"scan\.nii\.gz does not state its voxel size.*data\.spacing_mm=\[\]"):
        predictor(Levels(3, dims=3), small_recipe(*VOLUMES, "data.spacing_mm=[2, 2, 2]"))([noise(9, 9, 9)], HERE)
    predictor(Levels(3, dims=3), small_recipe(*VOLUMES))([noise(9, 9, 9)], HERE)


def test_flips_are_the_mean_over_four_of_the_first_two_axes() -> None:
    volume, network = noise(8, 12, 8), unet(3)
    by_hand = np.zeros((3, 8, 12, 8))
    for axes in ((), (0,), (1,), (0, 1)):
        _, one = predictor(network, small_recipe(*VOLUMES))([new_volume(np.flip(volume.voxels, axes))], HERE)
        by_hand += np.flip(one, [axis + 1 for axis in axes]) / 4
    labels, found = predictor(network, small_recipe(*VOLUMES), flips=True)([volume], HERE)
    assert found == pytest.approx(by_hand, abs=1e-6)
    assert np.array_equal(labels, found.argmax(0))


@pytest.mark.parametrize(("spacing", "tolerance"), [("[]", 1e-6), ("[1, 1, 2]", 2 / 65535)])
@pytest.mark.parametrize("normalise", ["minmax", "none"])
def test_the_network_sees_what_training_saw_unaugmented(
    tmp_path: Path, spacing: str, tolerance: float, normalise: str
) -> None:
    """Volumes of 1 x 1 x 1 mm, as they are or at half the third axis: one patch is the whole of it."""
    data = write_dataset(tmp_path / "data", n_train=2, shape=(8, 8, 16), affine=np.eye(4), channels=2)
    size = (8, 8, 16) if spacing == "[]" else (8, 8, 8)
    recipe = small_recipe(*VOLUMES, f"data.size={list(size)}", f"data.spacing_mm={spacing}")
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"normalise": normalise})})
    cases = open_dataset(data).split("train")
    store = load_store(
        cases, (), dims=3, slice_axis=2, normalise=normalise, spacing_mm=recipe.data.spacing_mm, device=CPU
    )
    still = ViewSettings(weak=WeakSettings(turn_probability=0, rotation_probability=0))
    batches = Batches(store, size, still, BatchSizes(labelled=2), 0, CPU, unlabelled=False, patches=True)
    network = Levels(3, channels=2, dims=3)
    for case in cases:
        predictor(network, recipe)([formats.read(path) for path in case.images], case.images[0])
    seen = torch.cat(network.seen)
    trained = batches(0).x[batches.labelled(0).argsort()]
    assert trained.shape == seen.shape == (2, 2, *size)
    scale = 1.0 if normalise == "minmax" else 260.0  # grey values as stored lie below
    assert (trained - seen).abs().max() <= tolerance * scale
