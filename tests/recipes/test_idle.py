"""Settings without effect: those that are named change no weight, and those that count are not named."""

from pathlib import Path

import pytest
import torch

from crossmatch.benchmark.cells import plan_cells
from crossmatch.errors import UserError
from crossmatch.recipes.idle import idle
from crossmatch.recipes.load import load_recipe
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

SUPERVISED, STRONG, BCP = ("method.name=supervised", "method.name=supervised_strong", "method.name=bcp")
PAIRS = [  # the other settings, a change, the other settings with which it counts
    (("train.optimizer=adamw",), "train.momentum=0.5", ()),
    (("data.foreground=0",), "data.foreground_steps=1", ("data.foreground=1",)),
    ((BCP, "method.rate_falls=1"), "train.poly_power=3", (BCP, "method.rate_falls=0")),
    ((SUPERVISED,), "views.augment.noise_probability=1", (STRONG,)),
    ((SUPERVISED,), "views.augment.scaling_probability=1", (SUPERVISED, "views.augment.labelled=true")),
    ((SUPERVISED,), "views.strong.blur_sigma=[0.1, 3]", ()),
    ((SUPERVISED,), "views.cutmix.probability=1", ()),
    ((SUPERVISED,), "train.batch.unlabelled=1", ()),
    ((), "views.strong.grey_probability=1", ("data.normalise=colour",)),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, n_val=0, channels=3)


@pytest.mark.parametrize(("others", "change", "counting"), PAIRS, ids=[change for _, change, _ in PAIRS])
def test_what_is_named_changes_no_weight(others, change, counting, data, tmp_path):
    key = change.partition("=")[0]

    def trained(name: str, *settings: str) -> dict[str, torch.Tensor]:
        recipe = load_recipe("phantom", [*TINY, "train.steps=3", *settings])
        assert list(idle(recipe, [key])) == ([key] if name in ("without", "with") else [])
        fit(recipe, data, tmp_path / name, Quiet())
        return weights(tmp_path / name)

    without, changed = trained("without", *others), trained("with", *others, change)
    assert all(torch.equal(without[name], changed[name]) for name in without)
    without, changed = trained("plain", *counting), trained("counting", *counting, change)
    assert any(not torch.equal(without[name], changed[name]) for name in without)


def test_a_benchmark_refuses_a_grid_over_them():
    choice = {"labelled": ["2"], "seeds": [0]}
    grid = [("views.augment.noise_probability", ["0", "1"])]
    both = ["supervised", "supervised_strong"]
    with pytest.raises(UserError, match=r"has no effect with supervised: .* Leave supervised out"):
        plan_cells("phantom", "data", **choice, methods=both, grid=grid)
    assert len(plan_cells("phantom", "data", **choice, methods=["supervised_strong"], grid=grid)) == 2
    changes = ["views.augment.noise_probability=1"]  # a table may be made method by method
    assert len(plan_cells("phantom", "data", **choice, methods=["supervised"], changes=changes)) == 1
