"""Training on patches of volumes: it learns, resumes bit for bit, pads, resamples, and predicts as it validates."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crossmatch.batches.batch import Batch
from crossmatch.inference.predict import predict
from crossmatch.methods.crossmatch import CrossMatch
from crossmatch.methods.supervised import Supervised
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run
from crossmatch.scoring.evaluate import evaluate
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

# float32: on CPUs PyTorch 2.13 leaves weight gradients of 3D convolutions of bfloat16 undefined where an image has two
# voxels along its first axis, as these patches have in the V-Net
VOLUMES = ["data.sampling=patch", "data.size=[16, 16, 16]", "views.weak.turn_probability=1", "predict.batch=2"]
VOLUMES += ["train.precision=float32"]
UNET = [*TINY, *VOLUMES, "network.width=2", "network.dropout=[0.0, 0.0]"]
VNET = [*(change for change in TINY if not change.startswith("network.")), *VOLUMES]
VNET += ["network.name=vnet", "network.width=1"]
SPACING = (1.0, 1.0, 2.0)


def recipe(*changes: str) -> Recipe:
    return load_recipe("phantom", [*UNET, *changes])


def vnet(*changes: str) -> Recipe:
    return load_recipe("phantom", [*VNET, *changes])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes larger than the patch on two axes, one voxel smaller on the third."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    return write_dataset(root, n_train=3, n_val=1, shape=(24, 20, 15), affine=np.diag([*SPACING, 1.0]))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["supervised", "crossmatch"])
def test_it_learns_the_tiny_boxes(data: Path, tmp_path: Path, method: str) -> None:
    display = Quiet()
    settings = ["train.steps=60", "train.optimizer=adamw", "train.learning_rate=0.02", "network.width=4"]
    settings += ["data.labelled=2", "train.batch.labelled=4"]
    fit(recipe(*settings, f"method.name={method}", "train.validate_every=60"), data, tmp_path / "run", display)
    assert display.last["validation"] > 0.7


@pytest.mark.parametrize("build", [recipe, vnet])
def test_ten_steps_are_five_and_resume_and_five(data: Path, tmp_path: Path, build) -> None:
    """With strong views of volumes; the V-Net also draws its dropout anew in each step."""
    chosen = build("views.strong.bias=0.5", "views.strong.gamma=0.5", "train.ema=0.9", "train.optimizer=adamw")
    assert fit(chosen, data, tmp_path / "whole", Quiet()) == 10
    assert fit(chosen, data, tmp_path / "parts", Quiet(interrupt_at=5)) == 5
    assert fit(chosen, data, tmp_path / "parts", Quiet(), resume=True) == 10
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert any(key.startswith("optimizer/") for key in whole)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.parametrize("spacing_mm", ["[]", "[1, 1, 1]"])
def test_voxels_on_disk_train_the_same(data: Path, tmp_path: Path, spacing_mm: str) -> None:
    for name, memory in (("memory", "4"), ("disk", "0")):
        chosen = recipe(f"data.memory_gb={memory}", f"data.spacing_mm={spacing_mm}", "train.steps=5")
        fit(chosen, data, tmp_path / name, Quiet())
    assert read_metrics(tmp_path / "memory/metrics.jsonl") == read_metrics(tmp_path / "disk/metrics.jsonl")
    memory, disk = (weights(tmp_path / name) for name in ("memory", "disk"))
    assert all(torch.equal(memory[key], disk[key]) for key in memory)


def test_another_voxel_size_trains_otherwise(data: Path, tmp_path: Path) -> None:
    for name, spacing_mm in (("stored", "[]"), ("same", "[1, 1, 2]"), ("other", "[1, 1, 1]")):
        fit(recipe(f"data.spacing_mm={spacing_mm}", "train.steps=2"), data, tmp_path / name, Quiet())
    head = [weights(tmp_path / name)["method/network.head.weight"] for name in ("stored", "same", "other")]
    assert torch.equal(head[0], head[1])
    assert not torch.equal(head[0], head[2])


def test_the_supervised_twin_sees_the_same_labelled_patches(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[Batch]] = {"supervised": [], "crossmatch": []}
    for kind, name in ((Supervised, "supervised"), (CrossMatch, "crossmatch")):

        def watch(self, batch, progress, kind=kind.loss, name=name):
            seen[name].append(batch)
            return kind(self, batch, progress)

        monkeypatch.setattr(kind, "loss", watch)
        fit(recipe(f"method.name={name}", "train.steps=3"), data, tmp_path / name, Quiet())
    assert len(seen["supervised"]) == len(seen["crossmatch"]) == 3
    for alone, both in zip(*seen.values(), strict=True):
        assert alone.x.shape == (2, 1, 16, 16, 16)
        assert torch.equal(alone.x, both.x)
        assert torch.equal(alone.y, both.y)
        assert alone.u is None
        assert both.u is not None
    assert not torch.equal(seen["supervised"][0].x, seen["supervised"][1].x)


def test_a_patch_longer_than_the_volume_is_padded(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 voxels at a patch of 16: of each labelled patch a face is 0, and masks have the volume's own size."""
    seen: list[torch.Tensor] = []
    loss = Supervised.loss

    def watch(self, batch, progress):
        seen.append(batch.x)
        return loss(self, batch, progress)

    monkeypatch.setattr(Supervised, "loss", watch)
    plain = ("data.normalise=none", "views.strong.brightness=0", "views.strong.contrast=0")
    fit(recipe("method.name=supervised", "train.steps=3", *plain), data, tmp_path / "run", Quiet())
    for patches in seen:
        faces = patches.abs().sum((1, 2, 3))  # (B, third axis)
        assert ((faces == 0).sum(1) == 1).all()
        assert ((faces[:, 0] == 0) | (faces[:, -1] == 0)).all()
    (written,) = predict(tmp_path / "run", data / "imagesTs", tmp_path / "masks")
    scores = evaluate(written, data / "labelsTs" / written.name, labels={"RV": 1, "MYO": 2})
    assert len(scores.rows) == 2


@pytest.mark.parametrize("changes", [["predict.stride=[8, 4, 16]"], ["data.spacing_mm=[1, 1, 1]"]])
def test_a_run_repeats_its_own_validation(data: Path, tmp_path: Path, changes: list[str]) -> None:
    quick = ["train.optimizer=adamw", "train.learning_rate=0.05", "method.name=supervised", "network.width=4"]
    fit(recipe(*quick, *changes), data, tmp_path / "run", Quiet())
    told = [line["validation"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "validation" in line][-1]
    predict(tmp_path / "run", data / "imagesTr" / "case_004_0000.nii.gz", tmp_path / "masks")
    found = evaluate(
        tmp_path / "masks" / "case_004.nii.gz", data / "labelsTr" / "case_004.nii.gz", labels={"RV": 1, "MYO": 2}
    )
    assert 0 < told["mean"] < 1
    assert {name: found.statistics(name)["dice"].mean for name in ("RV", "MYO")} == pytest.approx(
        {name: told[name] for name in ("RV", "MYO")}, abs=1e-9
    )


def test_a_recipe_of_slices_takes_volumes_slice_by_slice(data: Path, tmp_path: Path) -> None:
    """Patches of 16 x 16 from slices of 24 x 20, resampled in their plane alone."""
    changes = ["data.size=[16, 16]", "data.spacing_mm=[2, 1]", "train.steps=2", "train.batch.labelled=15"]
    fit(recipe(*changes), data, tmp_path / "run", Quiet())
    network, _ = open_run(tmp_path / "run").load_network()
    assert network.dims == 2
    (written,) = predict(tmp_path / "run", data / "imagesTs", tmp_path / "masks")
    assert written.name == "case_005.nii.gz"


def test_the_rate_and_the_threshold_follow_their_horizons(data: Path, tmp_path: Path) -> None:
    """Steps 1 to 4 of 4, logged after each: the rate by hand; the share of confident voxels only falls."""
    schedule = ["train.steps=4", "train.log_every=1", "train.poly_horizon=2", "train.poly_power=1"]
    chosen = recipe(*schedule, "method.threshold=0", "method.threshold_ramp=0.75", "method.threshold_scale=1.01")
    fit(chosen, data, tmp_path / "run", Quiet())
    lines = [line["train"] for line in read_metrics(tmp_path / "run/metrics.jsonl") if "train" in line]
    assert [line["learning_rate"] for line in lines] == pytest.approx([0.01 * (1 - k / 8) for k in range(4)])
    assert lines[0]["confident"] == 1
    assert lines[3]["confident"] == 0  # above 1: nothing is
