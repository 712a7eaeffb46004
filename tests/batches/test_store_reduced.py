"""Photographs in a store at a stated size: means of their pixels, labels by nearest neighbour, read in threads."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from crossmatch import formats
from crossmatch.batches import store as store_file
from crossmatch.batches.resample import resize_image, resize_labels
from crossmatch.batches.store import Store, load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import Dataset
from crossmatch.errors import UserError
from crossmatch.importers.isic import import_isic
from crossmatch.inference.predictor import Predictor
from crossmatch.networks import NETWORKS
from crossmatch.recipes.load import load_recipe
from isic_folders import inputs, training_names, write_isic, write_pair

CPU = torch.device("cpu")
SIZE = (8, 6)
STILL = {"weak": {"turn_probability": 0, "rotation_probability": 0}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five pictures, each of another size."""
    folder = tmp_path_factory.mktemp("isic")
    source = write_isic(folder / "src", training=5)
    for number, name in enumerate(training_names(5)):
        write_pair(source, "Training", name, (13 + number, 31 - 2 * number))
    return import_isic(source, folder / "out").only("train")


def load(data: Dataset, **more: object) -> Store:
    cases = data.split("train")
    arguments = {"dims": 2, "slice_axis": 2, "normalise": "colour", "size": SIZE, "device": CPU, **more}
    return load_store(cases[:3], cases[3:], **arguments)


def test_pictures_are_means_and_labels_nearest(data: Dataset) -> None:
    """The plain view of a stored item is the picture at the stored size, to one of 65,535 levels."""
    store = load(data)
    assert store.size.tolist() == [list(SIZE)] * 5
    assert store.colours
    views = ViewSettings.model_validate(STILL)
    batches = Batches(store, SIZE, views, BatchSizes(labelled=3, unlabelled=1), 0, CPU, unlabelled=False)
    batch, order = batches(0), batches.labelled(0)
    for k, case in enumerate([data.split("train")[int(n)] for n in order]):
        channels = formats.read_channels(case.images)
        wanted = np.stack([resize_image(one.voxels / 255, SIZE) for one in channels])
        np.testing.assert_allclose(batch.x[k].numpy(), wanted, atol=1 / 65535)
        assert np.array_equal(batch.y[k].numpy(), resize_labels(formats.read(case.label).voxels, SIZE))


def test_prediction_sees_what_training_saw(data: Dataset) -> None:
    """The network is given the same image, to the store's rounding."""
    recipe = load_recipe(
        "isic_26", {"data.size": list(SIZE), "network.dropout": [0.0] * 2, "train.precision": "float32"}
    )
    seen = []
    network = NETWORKS["unet"](2, 3, 2, recipe.network.settings).eval()
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    predictor = Predictor(network, recipe, 2, CPU)
    batches = Batches(
        load(data), SIZE, ViewSettings.model_validate(STILL), BatchSizes(labelled=3), 0, CPU, unlabelled=False
    )
    batch = batches(0)
    for k, number in enumerate(batches.labelled(0)):
        case = data.split("train")[int(number)]
        channels = formats.read_channels(case.images)
        labels, _ = predictor(channels, case.images[0])
        assert labels.shape == channels[0].shape  # its own size
        torch.testing.assert_close(seen[-1][0], batch.x[k], rtol=0, atol=2e-5)


@pytest.mark.parametrize("native", [(200, 90), (33, 61), (5, 300)])
def test_masks_lie_where_they_were_seen(native: tuple[int, int]) -> None:
    """Reduced and enlarged, a ramp comes back where it was: a network that says what it sees finds its quarter."""
    recipe = load_recipe("isic_26", {"data.size": [16, 16], "network.dropout": [0.0] * 2, "train.precision": "float32"})

    class Says(torch.nn.Module):
        classes = 2

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            share = x[:, :1].clamp(1e-6, 1 - 1e-6)
            return torch.cat([(1 - share).log(), share.log()], 1)  # the softmax of these is the share again

    for axis in (0, 1):
        ramp = (np.arange(native[axis]) + 0.5) / native[axis]
        share = np.float32(0.5 + 0.5 * (ramp - 0.25))  # a half at a quarter of the axis
        whole = np.broadcast_to(share.reshape((-1, 1) if axis == 0 else (1, -1)), native)
        image = formats.new_volume(np.ascontiguousarray(whole))
        labels, _ = Predictor(Says(), recipe, 2, CPU)([image] * 3, Path("ramp.png"))
        differ = labels != (whole > 0.5)
        assert np.abs(whole[differ] - 0.5).max(initial=0) < 1e-3  # rounding alone


def test_threads_change_nothing(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[None] = []
    several = load(data, progress=lambda: told.append(None))
    assert len(told) == 5
    monkeypatch.setattr(store_file, "WORKERS", 1)
    one = load(data)
    assert torch.equal(several.voxels, one.voxels)
    assert torch.equal(several.labels, one.labels)
    assert torch.equal(several.factor, one.factor)


def test_several_threads_read(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    names, original = set(), formats.read_channels

    def read(paths):
        names.add(threading.current_thread().name)
        return original(paths)

    monkeypatch.setattr(formats, "read_channels", read)
    load(data)
    assert all(name.startswith("prefetch") for name in names)


def test_a_picture_that_is_damaged_since_is_named(tmp_path: Path) -> None:
    source = write_isic(tmp_path / "src", training=3)
    data = import_isic(source, tmp_path / "out", link=True)
    path = inputs(source) / f"{training_names(2)[1]}.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    cases = data.split("train")
    with pytest.raises(UserError, match="cannot be read: it is truncated"):
        load_store(cases, (), dims=2, slice_axis=2, normalise="colour", size=SIZE, device=CPU)


def test_labels_are_not_enlarged_as_such() -> None:
    """That is the published protocol of ACDC, on another grid."""
    with pytest.raises(
        UserError, match=r"predict\.resize=labels is for data\.sampling=resize and interpolation=nearest"
    ):
        load_recipe("isic_26", ["predict.resize=labels"])


def test_patches_are_not_resized() -> None:
    with pytest.raises(UserError, match=r"data\.interpolation has no effect where data\.sampling is patch"):
        load_recipe("isic_26", ["data.sampling=patch"])
