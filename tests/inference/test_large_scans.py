"""A large scan at another voxel size: the same masks as from whole maps, in a small part of their memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from crossmatch.batches import resample
from crossmatch.batches.intensity import scale
from crossmatch.batches.resample import resize_maps
from crossmatch.formats import Volume, new_volume
from crossmatch.inference.predictor import Predictor
from crossmatch.inference.windows import sliding_window
from crossmatch.networks import Segmenter
from crossmatch.networks.unet import UNet, UNetSettings
from crossmatch.recipes.schema import Recipe
from untrained import Levels, small_recipe

HERE = Path("scan.nii.gz")
CPU = torch.device("cpu")
VOLUMES = ("data.sampling=patch", "data.size=[16, 16, 16]", "predict.batch=1")


def scan(*shape: int, spacing_mm: tuple[float, ...]) -> Volume:
    voxels = np.random.default_rng(0).integers(0, 200, shape, dtype=np.int16)
    return new_volume(voxels, np.diag([*spacing_mm, 1.0]))


def by_whole_maps(network: Segmenter, recipe: Recipe, volume: Volume, size: tuple[int, ...]) -> np.ndarray:
    """Labels (*S) from the maps of all classes at the scan's own size."""
    image = resize_maps(torch.from_numpy(scale(volume.voxels, "minmax"))[None, None], size)[0]
    with torch.inference_mode():
        found = sliding_window(lambda x: network(x).softmax(1), image, (16,) * 3, "even", 1)
        maps = torch.cat([values for _, values in found], 1)
    return resize_maps(maps[None], volume.shape)[0].max(0).indices.numpy()


@pytest.mark.parametrize(("wanted", "size"), [((2, 2, 2), (23, 20, 33)), ((0.8, 1, 2.5), (58, 40, 26))])
def test_masks_are_those_of_whole_maps(wanted: tuple[float, ...], size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = UNet(3, 1, 5, UNetSettings(width=4, dropout=(0.0, 0.0))).eval()
    nn.init.normal_(network.head.weight)
    volume = scan(46, 40, 33, spacing_mm=(1, 1, 2))
    recipe = small_recipe(*VOLUMES, f"data.spacing_mm={list(wanted)}")
    labels, _ = Predictor(network, recipe, 2, CPU)([volume], HERE)
    assert len(np.unique(labels)) >= 4
    assert np.array_equal(labels, by_whole_maps(network, recipe, volume, size))


def test_memory_is_far_below_that_of_the_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """14 classes at the scan's own size would take 56 bytes a voxel."""
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():
        pytest.skip("only Linux tells the peak of a part of a process")
    monkeypatch.setattr(resample, "_SLAB", resample._SLAB // 64)  # as the scan is smaller than a large one
    volume = scan(128, 128, 128, spacing_mm=(0.75, 0.75, 1))
    recipe = small_recipe(*VOLUMES, "data.spacing_mm=[1.5, 1.5, 1.5]")
    recipe = recipe.model_copy(update={"predict": recipe.predict.model_copy(update={"stride": (16, 16, 16)})})
    network = Levels(14, dims=3)
    Predictor(network, recipe, 2, CPU)([scan(8, 8, 8, spacing_mm=(1.5, 1.5, 1.5))], HERE)  # what is needed once
    network.seen.clear()
    reset.write_text("5")  # the peak is now what is held
    before = peak(status)
    labels, _ = Predictor(network, recipe, 2, CPU)([volume], HERE)
    assert len(np.unique(labels)) > 8
    grown = peak(status) - before
    assert grown < 28 * volume.voxels.size, f"{grown / volume.voxels.size:.0f} bytes a voxel"


def peak(status: Path) -> int:
    """The most bytes that this process has held."""
    return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
