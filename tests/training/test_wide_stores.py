"""How much memory voxels are expected to take where a scan has one far from all others."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crossmatch import formats
from crossmatch.dataset.dataset import open_dataset
from crossmatch.recipes.load import load_recipe
from crossmatch.training.material import TrainingCases, training_cases
from tiny import write_dataset, write_nifti
from train_tiny import TINY

NONE = ["views.strong.brightness=0", "views.strong.contrast=0", "views.strong.gamma=0.5", "method.name=supervised"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_dataset(tmp_path_factory.mktemp("data") / "far", n_train=3)
    path = root / "imagesTr/case_001_0000.nii.gz"
    voxels = formats.read(path).voxels.astype(np.float32)
    voxels[0, 0, 0] = 1e9
    write_nifti(path, voxels)
    return root


@pytest.mark.parametrize(("normalise", "size"), [("zscore", 4), ("percentile", 2)])
def test_the_bytes_are_those_of_the_store(data, tmp_path, normalise, size):
    recipe = load_recipe("phantom", [*TINY, *NONE, f"data.normalise={normalise}"])
    cases: TrainingCases = training_cases(recipe, open_dataset(data), lambda done, total: None)
    store = cases.load(recipe, tmp_path, torch.device("cpu"), lambda done, total: None)
    assert store.voxels.element_size() == size
    assert cases.voxel_bytes == size * store.voxels.numel()
    assert any("far from all others: case_001" in warning for warning in cases.warnings)
