"""Recipes of volumes and patches: axes, voxel size, stride, plane, and each network's own settings."""

import math

import pytest

from crossmatch.errors import UserError
from crossmatch.methods import METHODS
from crossmatch.networks.unet import UNetSettings
from crossmatch.networks.vnet import VNetSettings
from crossmatch.recipes.load import load_recipe, parse_recipe
from crossmatch.recipes.schema import Recipe

VOLUMES = ("data.sampling=patch", "data.size=[16, 32, 16]")
VNET = ("network.name=vnet", *VOLUMES)


def test_three_numbers_make_a_recipe_of_volumes() -> None:
    recipe = load_recipe("phantom", VOLUMES)
    assert (recipe.dims, recipe.data.size, recipe.data.spacing_mm, recipe.predict.stride) == (
        3,
        (16, 32, 16),
        (),
        "even",
    )
    assert load_recipe("phantom", [*VOLUMES, "data.spacing_mm=[1, 0.5, 2]"]).data.spacing_mm == (1.0, 0.5, 2.0)
    assert load_recipe("phantom", [*VOLUMES, "predict.stride=[16, 1, 4]"]).predict.stride == (16, 1, 4)
    assert load_recipe("phantom", [*VOLUMES, "views.weak.plane=[1, 2]"]).views.weak.plane == (1, 2)
    whole = load_recipe("phantom", ["data.size=[16, 32, 16]"])  # volumes may be resized as slices are
    assert (whole.dims, whole.data.sampling) == (3, "resize")


def test_patches_of_slices() -> None:
    recipe = load_recipe("phantom", ["data.sampling=patch", "data.spacing_mm=[1, 1]", "predict.stride=[32, 64]"])
    assert (recipe.dims, recipe.data.size, recipe.predict.stride) == (2, (64, 64), (32, 64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data.size=[64, 64, 64, 64]"], r"data\.size \(64, 64, 64, 64\) must have two numbers .* or three"),
        (["data.spacing_mm=[1, 1]"], r"data\.spacing_mm has no effect where data\.sampling is resize: leave it out"),
        (["data.sampling=patch", "data.spacing_mm=[1, 1, 1]"], r"must have as many numbers as data\.size \(64, 64\)"),
        ([*VOLUMES, "data.spacing_mm=[1, 1]"], r"data\.spacing_mm \(1\.0, 1\.0\) must have as many numbers as"),
        ([*VOLUMES, "data.spacing_mm=[1, 1, 0]"], r"data\.spacing_mm\.2: Input should be greater than 0 \(found 0\)"),
        (["data.sampling=patches"], r"data\.sampling: Input should be 'resize' or 'patch' \(found 'patches'\)"),
        (["views.weak.plane=[0, 2]"], r"views\.weak\.plane \(0, 2\) names an axis that data\.size \(64, 64\) lacks"),
        ([*VOLUMES, "views.weak.plane=[2, 3]"], r"views\.weak\.plane\.1: Input should be less than or equal to 2"),
        ([*VOLUMES, "views.weak.plane=[1, 1]"], r"views\.weak\.plane: name two different axes"),
        ([*VOLUMES, "predict.stride=half"], r"predict\.stride\.word: Input should be 'even' \(found 'half'\)"),
        ([*VOLUMES, "predict.stride=[]"], r"the stride \(\) must have 3 numbers, each from 1"),
        (["predict.stride=[8, 8]"], r"a stride has no effect where whole images are resized"),
        ([*VOLUMES, "predict.stride=[8, 8]"], r"stride \(8, 8\) must have 3 numbers, each from 1 to .*\(16, 32, 16\)"),
        ([*VOLUMES, "predict.stride=[16, 33, 16]"], r"the stride \(16, 33, 16\) must have 3 numbers, each from 1 to"),
        (
            [*VOLUMES, "predict.stride=[0, 8, 8]"],
            r"predict\.stride\.numbers\.0: Input should be greater than or equal to 1",
        ),
        ([*VOLUMES, "predict.stride=[8, 8, 1.5]"], r"predict\.stride\.numbers\.2: .*found 1\.5"),
        (["data.sampling=patch", "data.size=[60, 64]"], r"must be multiples of 8 for this network; next: \(64, 64\)"),
        ([*VNET, "data.size=[112, 120, 80]"], r"must be multiples of 16 for this network; next: \(112, 128, 80\)"),
        ([*VNET, "data.size=[1, 17, 16]"], r"data\.size \(1, 17, 16\) must be .* of 16 .*; next: \(16, 32, 16\)"),
        ([*VNET, "network.filters=4"], r"unknown key network\.filters; valid keys here are name, width,"),
        ([*VNET, "network.width=0"], r"network\.width: Input should be greater than or equal to 1"),
        ([*VNET, "network.dropout=1"], r"network\.dropout: Input should be less than 1"),
        ([*VNET, "network.normalisation=layer"], r"'batch', 'instance', 'group' or 'none' \(found 'layer'\)"),
        ([*VNET, "network.normalisation=group", "network.width=3"], r"3 neither divide 16 nor are a multiple of it"),
        (["network.filters=8"], r"unknown key network\.filters; valid keys here are name, width, normalisation"),
        (["network.name=[1]"], r"no network \[1\]; there are unet, vnet"),
        (["network=5"], r"network: .*found 5"),
        (["method.threshold_scale=0"], r"method\.threshold_scale: Input should be greater than 0"),
        (["method.threshold_ramp=-1"], r"method\.threshold_ramp: Input should be greater than or equal to 0"),
        (["train.poly_horizon=0.5"], r"train\.poly_horizon: Input should be greater than or equal to 1"),
    ],
)
def test_bad_changes(changes: list[str], message: str) -> None:
    with pytest.raises(UserError, match=rf"In recipe phantom: .*{message}"):
        load_recipe("phantom", changes)


def test_the_v_net_has_the_released_constants_by_default() -> None:
    recipe = load_recipe("phantom", VNET)
    assert recipe.network.model_dump() == {"name": "vnet", "width": 16, "normalisation": "batch", "dropout": 0.5}
    assert recipe.network.settings.multiple == 16


def test_changing_the_network_drops_the_old_ones_settings() -> None:
    plain = load_recipe("phantom")
    assert plain.network.model_dump() == {"name": "unet", "width": 8, "normalisation": "batch", "dropout": (0.0,) * 4}
    assert plain.network.settings.channels == (8, 16, 32, 64)
    assert load_recipe("phantom", ["network.name=vnet"]).network.settings == VNetSettings()
    assert load_recipe("phantom", ["network.name=unet"]) == plain  # the one it has: nothing is dropped
    there = load_recipe("la_8_small", ["network.name=unet"]).network
    assert (there.name, there.settings) == ("unet", UNetSettings())
    order = load_recipe("phantom", ["network.width=2", "network.name=vnet"])
    assert order.network.settings.width == 2


def test_networks_and_methods_are_chosen_apart() -> None:
    twin, recipe = load_recipe("la_8_small", ["method.name=supervised"]), load_recipe("la_8_small")
    assert twin.method.model_dump() == {"name": "supervised"}
    assert twin.model_copy(update={"method": recipe.method}) == recipe


def test_a_run_keeps_its_network_and_reads_it_back() -> None:
    recipe = load_recipe("phantom", [*VNET, "network.width=2", "data.spacing_mm=[1, 1, 2]", "predict.stride=[4,4,4]"])
    again = parse_recipe(recipe.model_dump(mode="json"), "the dump")
    assert again == recipe
    assert Recipe().network.name == "unet"


@pytest.mark.parametrize("labelled", [4, 8, 16])
def test_la_recipes_have_the_released_constants(labelled: int) -> None:
    """The column "3D, LA" of the released code's constants; horizons are 17,000 of 14,000 steps."""
    recipe = load_recipe(f"la_{labelled}")
    assert recipe.data.labelled == str(labelled)
    assert (recipe.data.size, recipe.data.sampling, recipe.data.normalise) == ((112, 112, 80), "patch", "none")
    assert recipe.network.model_dump() == {"name": "vnet", "width": 16, "normalisation": "batch", "dropout": 0.5}
    assert recipe.method.model_dump() == {
        "name": "crossmatch",
        "supervised_weight": 0.5,
        "image_weight": 0.25,
        "distillation_weight": 0.5,
        "eta": 0.3,
        "threshold": 0.75,
        "threshold_ramp": pytest.approx(17 / 14),
        "threshold_scale": pytest.approx(math.log(2)),
        "warm_up": 0.0,
        "grouping": "released",
        "perturbation": "channel",
        "weak_rate": 0.25,
        "strong_rate": 0.75,
    }
    assert (recipe.dice.background, recipe.dice.smooth) == (False, 1e-5)
    assert recipe.train.steps == 14_000
    assert (recipe.train.batch.labelled, recipe.train.batch.unlabelled) == (2, 2)
    assert (recipe.train.optimizer, recipe.train.learning_rate, recipe.train.weight_decay) == ("adamw", 1e-3, 1e-4)
    assert (recipe.train.poly_power, recipe.train.poly_horizon) == (0.9, pytest.approx(17 / 14))
    weak, strong = recipe.views.weak, recipe.views.strong
    assert (weak.turn_probability, weak.rotation_probability, weak.plane) == (1, 0, (0, 1))
    assert (strong.brightness, strong.contrast, strong.bias, strong.gamma) == (0, 0, 0.5, 0.5)
    assert (strong.blur_sigma, strong.blur_each_axis) == ((0.1, 2.0), True)
    assert recipe.predict.stride == (18, 18, 4)


@pytest.mark.parametrize("variant", ["a", "b"])
@pytest.mark.parametrize("labelled", [6, 12])
def test_pancreas_recipes_turn_and_flip_nothing(variant: str, labelled: int) -> None:
    recipe = load_recipe(f"pancreas_{variant}_{labelled}")
    assert (recipe.data.labelled, recipe.data.size) == (str(labelled), (96, 96, 96))
    assert (recipe.views.weak.turn_probability, recipe.views.weak.rotation_probability) == (0, 0)
    assert recipe.predict.stride == ((16, 16, 16) if variant == "a" else (16, 16, 4))


def test_settings_that_do_not_go_together() -> None:
    """Brightness and contrast cut to [0, 1], labels are enlarged where whole slices were resized: refused elsewhere."""
    with pytest.raises(UserError, match=r"views\.strong\.brightness and contrast cut grey values"):
        load_recipe("la_8_small", ["views.strong.contrast=0.5"])
    with pytest.raises(UserError, match=r"brightness and contrast"):
        load_recipe("phantom", ["data.normalise=none"])
    with pytest.raises(UserError, match=r"predict\.resize=labels is for data\.sampling=resize and"):
        load_recipe("la_8_small", ["predict.resize=labels"])


RELEASED_3D = {
    "mcnet": {"supervised_weight": 0.5, "unlabelled_weight": 1.0, "warm_up": 6000 / 15000, "dice_power": 1},
    "ssnet": {"unlabelled_weight": 1.0, "warm_up": 6000 / 15000, "change": 10.0, "dice_power": 1},
    "cml": {"pretraining": 2 / 17, "unlabelled_weight": 1.0, "discrepancy_weight": 0.2, "edge": 2 / 3},
    "admt": {"threshold": 0.8, "pseudo_loss": "cross_entropy", "warm_up": 6000 / 15000, "copying": 80 / 15000},
}


@pytest.mark.parametrize("name", RELEASED_3D)
def test_rivals_have_their_released_3d_constants(name):
    turn = {"la_8": {"longest_turn": 19}, "pancreas_a_6": {"longest_turn": 14}}
    for recipe in ("la_8", "pancreas_a_6"):
        expected = METHODS[name].Settings(**RELEASED_3D[name], **(turn[recipe] if name == "admt" else {}))
        assert load_recipe(recipe, [f"method.name={name}"]).method.settings == expected


@pytest.mark.parametrize(
    ("recipe", "sassnet", "caml", "dmd"),
    [("la_4", 0.015, 0.4, 2), ("la_8", 0.015, 0.2, 2), ("la_16", 0.01, 0.15, 1.93)],
)
def test_rivals_constants_of_each_number_of_labels(recipe, sassnet, caml, dmd):
    settings = {
        name: load_recipe(recipe, [f"method.name={name}"]).method.settings for name in ("sassnet", "caml", "dmd")
    }
    assert settings["sassnet"].unlabelled_weight == sassnet
    assert settings["caml"].warm_up == caml
    assert settings["dmd"].temperature == dmd
