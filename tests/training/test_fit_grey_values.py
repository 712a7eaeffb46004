"""Grey values by one window for the whole dataset: where its numbers come from, and that prediction uses them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crossmatch import formats
from crossmatch.api import load
from crossmatch.errors import UserError
from crossmatch.inference.predict import predict
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.run import open_run
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet

STRONG = ["views.strong.brightness=0", "views.strong.contrast=0", "views.strong.gamma=0.5"]


def recipe(*changes: str) -> Recipe:
    return load_recipe("phantom", [*TINY, *STRONG, "train.steps=2", *changes])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, channels=2)


def test_ct_takes_its_numbers_from_the_labelled_training_cases(data, tmp_path):
    fit(recipe("data.normalise=ct"), data, tmp_path / "run", Quiet())
    run = open_run(tmp_path / "run")
    shown = formats.read(data / "labelsTr/case_001.nii.gz").voxels > 0
    for channel, found in enumerate(run.fixed_windows):
        values = formats.read(data / f"imagesTr/case_001_{channel:04d}.nii.gz").voxels[shown]
        expected = (*np.percentile(values, [0.5, 99.5]), values.mean(), values.std())
        assert found == pytest.approx(expected)


def test_prediction_uses_the_numbers_of_the_run(data, tmp_path):
    """A scan of doubled contrast is another one to the network, which scales of each scan's own would not see."""
    fit(recipe("data.normalise=ct"), data, tmp_path / "run", Quiet())
    model = load(tmp_path / "run", device="cpu")
    seen: list[torch.Tensor] = []
    model.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    scan = np.stack([formats.read(data / f"imagesTr/case_004_{k:04d}.nii.gz").voxels for k in (0, 1)])
    model.predict(scan)
    model.predict(scan + 50)
    _, high, zero, unit = model.run.fixed_windows[0]
    assert float(seen[0][:, 0].max()) <= (high - zero) / unit + 1e-5
    assert float(seen[1][:, 0].mean()) > float(seen[0][:, 0].mean()) + 10 / unit
    masks = predict(tmp_path / "run", data / "imagesTr", tmp_path / "masks")
    assert np.array_equal(formats.read(masks[3]).voxels, model.predict(scan))


def test_a_run_by_ct_and_zscore_resumes_bit_for_bit(data, tmp_path):
    for normalise in ("ct", "zscore"):
        chosen = recipe(f"data.normalise={normalise}", "train.steps=4", "data.foreground=0.5")
        fit(chosen, data, tmp_path / f"{normalise}-whole", Quiet())
        fit(chosen, data, tmp_path / f"{normalise}-parts", Quiet(interrupt_at=2))
        fit(chosen, data, tmp_path / f"{normalise}-parts", Quiet(), resume=True)
        whole, parts = (load(tmp_path / f"{normalise}-{name}", device="cpu").network for name in ("whole", "parts"))
        assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


def test_without_a_labelled_structure_ct_is_refused(tmp_path):
    data = write_dataset(tmp_path / "data")
    label = formats.read(data / "labelsTr/case_001.nii.gz")
    formats.write(data / "labelsTr/case_001.nii.gz", np.zeros_like(label.voxels), label)
    with pytest.raises(UserError, match=r"no training label shows one: label a case, or choose --set data\.normalise"):
        fit(recipe("data.normalise=ct"), data, tmp_path / "run", Quiet())
    assert not (tmp_path / "run").exists()


def test_slices_are_resampled_in_plane_and_masks_come_back_at_native_size(tmp_path):
    """Slices of 1.5 mm to patches of 3 mm: what is read has half the voxels, the mask has all of them."""
    data = write_dataset(tmp_path / "data", n_train=3, shape=(32, 28, 4))
    chosen = load_recipe("phantom", [*TINY, "train.steps=60", "train.learning_rate=0.05", "network.dropout=[0.0, 0.0]"])
    chosen = load_recipe(chosen, ["data.sampling=patch", "data.spacing_mm=[3, 3]", "method.name=supervised"])
    display = Quiet()
    fit(chosen, data, tmp_path / "run", display)
    assert display.last["validation"] > 0.6
    (mask,) = predict(tmp_path / "run", data / "imagesTs", tmp_path / "masks")
    found, reference = formats.read(mask), formats.read(data / "labelsTs/case_005.nii.gz")
    assert found.shape == (32, 28, 4)
    assert np.allclose(found.affine, reference.affine)
    assert (found.voxels == reference.voxels).mean() > 0.7
