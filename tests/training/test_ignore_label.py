"""A training whose labels say `ignore` at some voxels: checked, sampled, learned from and scored without them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import crossmatch
from crossmatch import formats
from crossmatch.batches.foreground import Foreground
from crossmatch.batches.store import load_store
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.plan.facts import training_facts
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.scoring.evaluate import evaluate
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels 0, 1, 2 and, in half of each slice, 3: ignore."""
    root = write_dataset(tmp_path_factory.mktemp("ignore") / "data")
    stated = json.loads((root / "dataset.json").read_text())
    stated["labels"]["ignore"] = 3
    (root / "dataset.json").write_text(json.dumps(stated))
    for path in root.glob("labelsT*/*.nii.gz"):
        label = formats.read(path)
        voxels = label.voxels.copy()
        voxels[:8] = 3
        formats.write(path, voxels, like=label)
    return root


def test_counts_boxes_and_samples_are_those_of_the_structures(data: Path) -> None:
    dataset = open_dataset(data)
    for found in check(data).cases:
        assert len(found.label_voxels) == 3
        assert found.box is None or found.box[0] <= 8  # half of 16
    assert training_facts(dataset, "all").classes == ("RV", "MYO")
    labelled, unlabelled = dataset.only("train").labelled("all")
    store = load_store(
        labelled,
        unlabelled,
        dims=2,
        slice_axis=2,
        normalise="minmax",
        labels=dataset.drawn,
        device=torch.device("cpu"),
    )
    assert sorted(np.unique(store.labels).tolist()) == [0, 1, 2, 3]
    shown = [store.labels[voxels].unique().tolist() for voxels in Foreground(store, 1.0, 0).voxels]
    assert shown == [[1], [2]]


@pytest.mark.parametrize("normalise", ["minmax", "ct"])
def test_it_learns_and_scores_without_them(data: Path, tmp_path: Path, normalise: str) -> None:
    changes = [*TINY, "train.steps=4", "train.validate_every=4", "data.foreground=0.5", f"data.normalise={normalise}"]
    changes += ["views.strong.brightness=0", "views.strong.contrast=0"]
    assert fit(load_recipe("phantom", changes), data, tmp_path / "run", Quiet()) == 4
    told = read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["validation"]
    (case,) = open_dataset(data).split("val")
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / f"{case.id}_0000.nii.gz").symlink_to(case.images[0])
    crossmatch.load(tmp_path / "run").predict_files(tmp_path / "scans", tmp_path / "masks", progress=False)
    (tmp_path / "references" / "labels").mkdir(parents=True)
    (tmp_path / "references" / "dataset.json").write_text((data / "dataset.json").read_text())
    (tmp_path / "references" / "labels" / f"{case.id}.nii.gz").symlink_to(case.label)
    found = evaluate(tmp_path / "masks", tmp_path / "references" / "labels")
    assert {row.name: row.scores["dice"] for row in found.rows} == pytest.approx(
        {name: value for name, value in told.items() if name != "mean"}
    )
