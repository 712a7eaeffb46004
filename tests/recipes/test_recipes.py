"""Every recipe that comes with the package takes two steps, shrunk to tiny data of its rank."""

from pathlib import Path

import numpy as np
import pytest

from crossmatch.errors import UserError
from crossmatch.methods import METHODS
from crossmatch.recipes.files import recipe_names
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run
from crossmatch.training.fit import fit
from crossmatch.training.mirrored_sides import mirrored_sides
from tiny import write_dataset
from train_tiny import Quiet

# fewer filters, fewer levels; all other settings are the recipe's
SMALLER = {
    "unet": ("network.width=2", "network.dropout=[0.1, 0.0]"),
    "vnet": ("network.width=1",),
}
SHAPES = {2: (20, 18, 3), 3: (36, 20, 18)}
SIZES = {2: "data.size=[32, 16]", 3: "data.size=[32, 16, 16]"}  # not 16: of one voxel there is no batch statistic


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Path]:
    """(axes, channels) -> dataset."""
    folder = tmp_path_factory.mktemp("data")
    return {
        (dims, channels): write_dataset(
            folder / f"{dims}d{channels}", n_train=2, shape=SHAPES[dims], channels=channels, affine=np.eye(4)
        )
        for dims, channels in ((2, 1), (3, 1), (2, 3))
    }


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("method", METHODS)
def test_what_a_recipe_says_of_other_methods_fits_them(name: str, method: str) -> None:
    teacher = ["method.teacher=RUN"] if method == "distillation" else []
    recipe = load_recipe(name, [f"method.name={method}", *teacher])
    assert recipe.method.name == method
    assert recipe.model_copy(update={"method": None}) == load_recipe(name).model_copy(update={"method": None})


def test_other_methods_have_the_settings_of_their_tables() -> None:
    assert load_recipe("phantom", ["method.name=fixmatch"]).method.settings.threshold == 0.5
    assert load_recipe("phantom", ["method.name=fixmatch", "method.threshold=0.9"]).method.settings.threshold == 0.9
    assert load_recipe("acdc_3", ["method.name=fixmatch"]).method.settings.threshold == 0.95


@pytest.mark.parametrize("method", METHODS)
def test_a_loaded_recipe_sets_other_methods_as_its_file_does(method: str) -> None:
    """Also on a second change, back to the first method."""
    changes = {"method.name": method, **({"method.teacher": "RUN"} if method == "distillation" else {})}
    whole = load_recipe("phantom")
    assert load_recipe(whole, changes).method == load_recipe("phantom", changes).method
    there = load_recipe(whole, {"method.name": "fixmatch"})
    assert load_recipe(there, changes).method == load_recipe("phantom", changes).method
    assert load_recipe(load_recipe(whole, changes), {"method.name": "crossmatch"}).method == whole.method


def test_tables_of_other_methods_are_no_part_of_a_run() -> None:
    recipe = load_recipe("phantom")
    assert recipe.methods["fixmatch"]["threshold"] == 0.5
    assert "crossmatch" not in recipe.methods
    assert "methods" not in recipe.settings()


@pytest.mark.parametrize("name", recipe_names())
def test_no_recipe_mirrors_what_its_weak_views_keep_apart(name: str) -> None:
    assert mirrored_sides(load_recipe(name, ["method.name=supervised_strong"]), ["RV", "LV"], None, 2) == []


@pytest.mark.parametrize("name", recipe_names())
def test_two_steps(name: str, datasets: dict[tuple[int, int], Path], tmp_path: Path) -> None:
    whole = load_recipe(name)
    changes = [*SMALLER[whole.network.name], SIZES[whole.dims], "data.labelled=1", "data.dataset=tiny"]
    changes += ["train.steps=2", "train.batch.labelled=1", "train.batch.unlabelled=1", "train.precision=float32"]
    if whole.data.early_size:
        changes += ["data.early_size=[16, 16]", "data.early_share=0.5"]
    if whole.predict.stride != "even":
        changes.append("predict.stride=[16, 8, 16]")
    recipe = load_recipe(name, changes)
    assert (recipe.method, recipe.views, recipe.dice) == (whole.method, whole.views, whole.dice)
    channels = 3 if recipe.data.normalise == "colour" else 1
    assert fit(recipe, datasets[whole.dims, channels], tmp_path / "run", Quiet()) == 2
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert all(np.isfinite(list(line["train"].values())).all() for line in lines if "train" in line)
    assert [line["step"] for line in lines if "validation" in line] == [2]
    assert open_run(tmp_path / "run").load_network()[1].facts["step"] == 2


def test_tables_of_other_methods(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[method]\nname = "crossmatch"\n[methods.fixmatch]\nthreshold = 0.7\nspeed = 1\n')
    assert load_recipe(str(path)).method.name == "crossmatch"
    with pytest.raises(UserError, match=r"unknown key method\.speed"):
        load_recipe(str(path), ["method.name=fixmatch"])
    path.write_text("[methods.fixmatsch]\nthreshold = 0.7\n")
    with pytest.raises(UserError, match=r"no method 'fixmatsch'; did you mean fixmatch\?"):
        load_recipe(str(path))
    path.write_text("methods = 3\n")
    with pytest.raises(UserError, match="methods holds tables"):
        load_recipe(str(path))


def test_a_change_of_one_method_holds_for_it_alone() -> None:
    change = "methods.fixmatch.threshold=0.6"
    assert load_recipe("phantom", [change]) == load_recipe("phantom")
    assert load_recipe("phantom", ["method.name=fixmatch", change]).method.settings.threshold == 0.6
    own = load_recipe("phantom", ["methods.crossmatch.eta=0.9"]).method
    assert own == load_recipe("phantom", ["method.eta=0.9"]).method
    with pytest.raises(UserError, match=r"unknown key method\.speed"):
        load_recipe("phantom", ["methods.crossmatch.speed=1"])
    for wrong in ("methods.crossmatch.name=fixmatch", "methods.crossmatch=1", "methods.nobody.eta=1"):
        with pytest.raises(UserError, match=r"write methods\.NAME\.key"):
            load_recipe("phantom", [wrong])
