"""Learning in 3D, end to end: CrossMatch finds held-out atria after an eighth of the recipe's steps.

At this length it still warms up and need not be ahead of supervised learning; docs/results has the runs that show what
it brings. Dice was 0.71 when this was written.
"""

from pathlib import Path

import pytest

from crossmatch.dataset.check import check
from crossmatch.inference.predict import predict
from crossmatch.phantom.phantom import make_phantom
from crossmatch.recipes.load import load_recipe
from crossmatch.scoring.evaluate import evaluate
from crossmatch.training.fit import fit
from train_tiny import Quiet

REDUCED = ["train.steps=60", "train.precision=float32", "data.size=[32, 32, 32]", "seed=4"]
REDUCED += ["data.spacing_mm=[2.4, 2.4, 2.4]", "train.checkpoint_every=60", "train.validate_every=60"]


@pytest.mark.slow
def test_held_out_atria_are_found_soon(tmp_path: Path) -> None:
    """One seed of `phantom3d`, 60 steps in coarser voxels."""
    data, run = tmp_path / "data", tmp_path / "run"
    make_phantom(data, "atrium", train=12, val=0, test=3, seed=4)
    check(data)
    assert fit(load_recipe("phantom3d", REDUCED), data, run, Quiet()) == 60
    predict(run, data / "imagesTs", run / "test")
    assert evaluate(run / "test", data / "labelsTs").statistics()["dice"].mean > 0.5
