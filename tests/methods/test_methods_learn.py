"""Every method learns: held-out Dice on a small phantom, beside a network that has every label.

Slow. Settings are those of the phantom's recipe but for size, batch and length.
"""

from functools import cache
from pathlib import Path

import pytest

from crossmatch.dataset.check import check
from crossmatch.methods import METHODS
from crossmatch.phantom.phantom import make_phantom
from crossmatch.recipes.load import load_recipe
from crossmatch.training.fit import fit
from train_tiny import Quiet

pytestmark = pytest.mark.slow

SMALL = [
    "data.size=[32, 32]",
    "network.width=8",
    "network.dropout=[0.0, 0.0, 0.0]",
    "views.strong.blur_sigma=[0.02, 0.3]",
    "train.batch.labelled=8",
    "train.batch.unlabelled=8",
]
SHARE = 0.8  # of the Dice with every label in the fewer steps
STEPS = 160
# of methods that in so few steps came to 39 to 82 % of the Dice with every label; the others come to 86 % and more
MORE_STEPS = {"distillation": 400, "self_distillation": 300, "bcp": 300, "sdcl": 300, "cml": 300}
# Averages of the weights look back over 10 steps, not over 100, in runs that have a fifth of the recipe's.
SHORTER = {name: ["method.decay=0.9"] for name in ("mean_teacher", "bcp", "sdcl")}
SHORTER["admt"] = ["method.decay=0.9", "method.longest_turn=10"]
SHORTER["cml"] = ["method.unlabelled_weight=0.5"]  # released; the recipe's 1.5 wants its 600 steps


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("learn")
    make_phantom(root / "data", train=12, val=4, test=0, seed=5)
    names = "".join(f"train{n:03d}\n" for n in range(8))
    (root / "data/splits/train_8_label.txt").write_text(names)
    check(root / "data")
    return root


@cache
def dice(folder: Path, name: str, labelled: str, steps: int) -> float:
    """Mean Dice of the held-out cases after training in `folder`/name_labelled_steps."""
    length = [f"train.steps={steps}", f"train.validate_every={steps}"]
    changes = [*SMALL, *length, f"method.name={name}", f'data.labelled="{labelled}"', *SHORTER.get(name, [])]
    if name == "distillation":
        dice(folder, "supervised", labelled, STEPS)
        changes.append(f"method.teacher={folder}/supervised_{labelled}_{STEPS}")
    display = Quiet()
    fit(load_recipe("phantom", changes), folder / "data", folder / f"{name}_{labelled}_{steps}", display)
    return display.last["validation"]


# CAML takes a minute; it comes above the mark, too.
@pytest.mark.parametrize("name", [name for name in METHODS if name != "caml"])
def test_held_out_dice_comes_near_that_of_full_supervision(name: str, folder: Path) -> None:
    steps = MORE_STEPS.get(name, STEPS)
    assert dice(folder, name, "8", steps) > SHARE * dice(folder, "supervised", "all", STEPS)
