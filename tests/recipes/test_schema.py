"""Recipes: every bundled one loads, changes are parsed, and each mistake says what would be right."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from crossmatch.errors import UserError
from crossmatch.methods import METHODS
from crossmatch.networks import NETWORKS
from crossmatch.recipes.files import recipe_names
from crossmatch.recipes.load import load_recipe, parse_recipe
from crossmatch.recipes.schema import Recipe


def _write(folder: Path, text: str, encoding: str = "utf-8") -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding=encoding)
    return str(path)


@pytest.mark.parametrize("name", recipe_names())
def test_every_bundled_recipe_loads(name):
    recipe = load_recipe(name)
    assert recipe.about
    assert recipe.network.name in NETWORKS
    assert recipe.method.name in METHODS
    levels = len(recipe.network.settings.channels) if recipe.network.name == "unet" else 5
    assert all(n % 2 ** (levels - 1) == 0 for n in recipe.data.size)
    assert recipe.dims == len(recipe.data.size)
    again = parse_recipe(recipe.model_dump(mode="json"), "the dump")
    assert again == recipe  # a run keeps its resolved recipe, and reads it back


def test_the_recipes_that_are_promised():
    assert {"phantom", "acdc_1", "acdc_3", "acdc_7", "acdc_full", "acdc_3_small", "acdc_3_hour", "la_8_small"} <= set(
        recipe_names()
    )


@pytest.mark.parametrize(("name", "steps"), [("acdc_1", 106), ("acdc_3", 103), ("acdc_7", 98)])
def test_acdc_recipes_have_the_released_constants(name, steps):
    """The column "2D, ACDC" of the released code's constants."""
    recipe = load_recipe(name)
    assert (recipe.data.dataset, recipe.data.labelled) == ("ACDC", name.split("_")[1])
    assert recipe.data.size == (256, 256)
    assert recipe.network.settings.channels == (16, 32, 64, 128, 256)
    assert recipe.network.settings.dropout == (0.05, 0.1, 0.2, 0.3, 0.5)
    assert recipe.train.steps == 300 * steps
    assert (recipe.train.batch.labelled, recipe.train.batch.unlabelled) == (12, 12)
    assert (recipe.train.learning_rate, recipe.train.momentum) == (0.01, 0.9)
    assert (recipe.train.weight_decay, recipe.train.poly_power) == (1e-4, 0.9)
    assert (recipe.dice.background, recipe.dice.smooth) == (True, 1e-4)
    assert recipe.predict.resize == "labels"
    assert recipe.method.model_dump() == {
        "name": "crossmatch",
        "supervised_weight": 0.5,
        "image_weight": 0.25,
        "distillation_weight": 0.25,
        "eta": 0.3,
        "threshold": 0.95,
        "threshold_ramp": 0.0,
        "threshold_scale": 1.0,
        "warm_up": 0.0,
        "perturbation": "channel",
        "weak_rate": 0.25,
        "strong_rate": 0.75,
        "grouping": "released",
    }
    weak, strong, cutmix = recipe.views.weak, recipe.views.strong, recipe.views.cutmix
    assert (weak.turn_probability, weak.rotation_probability, weak.rotation_degrees) == (0.5, 0.5, 20)
    assert (strong.jitter_probability, strong.brightness, strong.contrast) == (0.8, 0.5, 0.5)
    assert (strong.blur_probability, strong.blur_sigma) == (0.5, (0.1, 2.0))
    assert (cutmix.probability, cutmix.share) == (0.5, (0.02, 0.4))
    assert cutmix.aspect == pytest.approx((0.3, 1 / 0.3))


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("train.steps=7", ("train", "steps"), 7),
        ("train.steps = 7", ("train", "steps"), 7),
        ("train.steps=1e3", ("train", "steps"), 1000),
        ("train.learning_rate=0.05", ("train", "learning_rate"), 0.05),
        ("train.batch.labelled=3", ("train", "batch", "labelled"), 3),
        ("train.precision=float32", ("train", "precision"), "float32"),
        ('train.precision="float32"', ("train", "precision"), "float32"),
        ("data.size=[64, 96]", ("data", "size"), (64, 96)),
        ("data.labelled=3", ("data", "labelled"), "3"),
        ("data.labelled=all", ("data", "labelled"), "all"),
        ("data.memory_gb=0", ("data", "memory_gb"), 0),
        ("dice.background=false", ("dice", "background"), False),
        ("seed=5", ("seed",), 5),
        ("about=with = in it", ("about",), "with = in it"),
        ("views.strong.blur_sigma=[0.5, 1]", ("views", "strong", "blur_sigma"), (0.5, 1.0)),
        ("views.cutmix.probability=0", ("views", "cutmix", "probability"), 0),
    ],
)
def test_changes(change, path, value):
    found: object = load_recipe("phantom", [change])
    for key in path:
        found = getattr(found, key)
    assert found == value


def test_a_setting_of_the_method_can_be_changed_in_every_recipe():
    """Also where the recipe leaves the method to its default."""
    for name in recipe_names():
        method = load_recipe(name).method
        if method.name == "crossmatch":
            changed = load_recipe(name, ["method.threshold=0.8"]).method
            assert changed.model_dump() == {**method.model_dump(), "threshold": 0.8}


def test_the_last_of_several_changes_wins():
    assert load_recipe("phantom", ["seed=1", "train.steps=4", "seed=2"]).seed == 2


def test_changing_the_method_drops_the_old_ones_settings():
    assert load_recipe("acdc_3").method.settings.threshold == 0.95
    assert load_recipe("acdc_3", ["method.name=supervised"]).method.model_dump() == {"name": "supervised"}
    same = load_recipe("acdc_3", ["method.name=crossmatch", "method.eta=0.6"])
    assert (same.method.settings.threshold, same.method.settings.eta) == (0.95, 0.6)
    back = load_recipe("acdc_full", ["method.eta=0.1", "method.name=crossmatch"])
    assert back.method.settings.eta == 0.1
    with pytest.raises(UserError, match=r"method\.eta; valid keys here are name\.$"):
        load_recipe("acdc_3", ["method.name=supervised", "method.eta=0.1"])


def test_the_supervised_twin_differs_in_the_method_alone():
    twin, recipe = load_recipe("acdc_3_small", ["method.name=supervised"]), load_recipe("acdc_3_small")
    assert twin.model_copy(update={"method": recipe.method}) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.learning_rate=inf", r"train\.learning_rate: Input should be a finite number \(found inf\)"),
        ("method.threshold=nan", r"method\.threshold: Input should be a finite number"),
        ("views.strong.blur_sigma=[0.1, inf]", r"views\.strong\.blur_sigma\.1: Input should be a finite number"),
        ("train.stepz=7", r"unknown key train\.stepz; did you mean train\.steps\? Valid keys here are steps, batch,"),
        (
            "trian.steps=7",
            r"unknown key trian; did you mean train\? Valid keys here are about, departures, seed, data,",
        ),
        ("train.batch.size=7", r"unknown key train\.batch\.size; valid keys here are labelled, unlabelled"),
        ("views.weak.angle=7", r"unknown key views\.weak\.angle; valid keys here are turn_probability,"),
        ("method.tau=1", r"unknown key method\.tau; valid keys here are name, supervised_weight,.*threshold"),
        ("method.name=nothing", "no method 'nothing'; there are supervised, supervised_strong, pseudo_label"),
        (
            "method.name=crosmatch",
            r"no method 'crosmatch'; did you mean crossmatch\? There are .*, crossmatch \(in Python",
        ),
        ("network.name=unett", r"no network 'unett'; did you mean unet\? There are unet, vnet"),
        ("method.name=[1]", r"no method \[1\]"),
        ("method.eta=2", r"method\.eta: Input should be less than or equal to 1 \(found 2\)"),
        ("method.perturbation=noise", r"method\.perturbation: .*'channel', 'alpha' or 'feature_alpha'"),
        ("network.name=vit", "no network 'vit'; there are unet, vnet"),
        ("network.dropout=[0.1]", r"network\.dropout: Tuple should have at least 2 items"),
        ("train.steps=many", r"train\.steps: .*integer.*found 'many'"),
        ("train.steps=", r"train\.steps: .*found ''"),
        ("train.steps=1.5", r"train\.steps: .*found 1\.5"),
        ("train.steps=true", r"train\.steps: .*give a number, not true or false"),
        ("method.eta=true", r"method\.eta: .*give a number, not true or false"),
        ("train.steps=0", r"train\.steps: Input should be greater than or equal to 1"),
        ("train.momentum=1", r"train\.momentum: Input should be less than 1"),
        ("data.size=[64, 32", r"data\.size: write it like \[64, 32\] \(found '\[64, 32'\)"),
        ("data.size=64", r"data\.size: write it like \[64, 64\] \(found 64\)"),
        ("predict.stride=[18,9", r"predict\.stride: write it like \[18, 9\] "),
        ("data.size=[64]", r"data\.size \(64,\) must have two numbers \(slices\) or three"),
        ("data.size=[60, 65]", r"data\.size \(60, 65\) must be multiples of 8 for this network; next: \(64, 72\)"),
        ("data.normalise=zscores", r"data\.normalise: .*'colour', 'zscore', 'ct' or 'none'"),
        ("data.normalise=zscore", "contrast cut grey values to .0, 1.: .*where data.normalise is zscore"),
        ("data.foreground=2", r"data\.foreground: Input should be less than or equal to 1"),
        ("data=5", r"data: .*found 5"),
        ("data.size.rows=5", r"data\.size\.rows: size is a value"),
        ("method=5", "method: .*found 5"),
        ("train.steps", "section.key=value.*got 'train.steps'"),
        ("=5", "section.key=value.*got '=5'"),
    ],
)
def test_bad_changes(change, message):
    with pytest.raises(UserError, match=message):
        load_recipe("phantom", [change])


def test_every_mistake_is_told_at_once():
    with pytest.raises(UserError, match=r"In recipe phantom: dice\.smooth: .*; train\.steps: "):
        load_recipe("phantom", ["train.steps=0", "dice.smooth=0"])


def test_an_unknown_recipe_lists_those_there_are():
    with pytest.raises(
        UserError,
        match=r"no recipe 'fantom': did you mean phantom\? There are acdc_1, .*; or give the path of a \.toml",
    ):
        load_recipe("fantom")
    with pytest.raises(UserError, match=r"no recipe 'zzz': there are acdc_1, "):
        load_recipe("zzz")


def test_a_recipe_of_ones_own(tmp_path):
    path = _write(tmp_path, 'about = "Übung"\n[train]\nsteps = 9\n[method]\neta = 0.4\n')
    recipe = load_recipe(path, ["train.steps=10"])
    assert (recipe.about, recipe.train.steps) == ("Übung", 10)
    assert (recipe.method.name, recipe.method.settings.eta) == ("crossmatch", 0.4)


@pytest.mark.parametrize("text", ["[train\nsteps = 1", "steps ="])
def test_a_broken_file_is_named(tmp_path, text):
    path = _write(tmp_path, text)
    with pytest.raises(UserError, match=r"mine\.toml is not valid TOML"):
        load_recipe(path)


def test_a_file_of_another_encoding_is_named(tmp_path):
    path = _write(tmp_path, 'about = "Übung"\n', encoding="latin-1")
    with pytest.raises(UserError, match=r"mine\.toml"):
        load_recipe(path)


def test_a_method_that_is_no_group_is_told(tmp_path):
    path = _write(tmp_path, 'method = "supervised"\n')
    for changes in ([], ["method.name=supervised"]):
        with pytest.raises(UserError, match="method"):
            load_recipe(path, changes)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"none\.toml cannot be read: No such file"):
        load_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        load_recipe(str(tmp_path / "folder.toml"))


def test_recipes_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        load_recipe("phantom").train.steps = 5  # type: ignore[misc]


def test_defaults_are_a_valid_recipe():
    recipe = parse_recipe({}, "nothing")
    assert recipe == Recipe()
    assert recipe.method.name == "crossmatch"


@pytest.mark.parametrize("name", recipe_names())
def test_bundled_recipes_state_no_unknown_or_unread_key(name):
    """Each key of the file is in the resolved recipe, with its value."""
    resolved = load_recipe(name).model_dump(mode="json")
    path = Path(__file__).parents[2] / "src" / "crossmatch" / "recipes" / f"{name}.toml"
    pending = [(tomllib.loads(path.read_text(encoding="utf-8")), resolved)]
    pending[0][0].pop("extends", None)
    pending += [
        (
            s,
            load_recipe(
                name, [f"method.name={m}", *(["method.teacher=run"] * (m == "distillation"))]
            ).method.model_dump(),
        )
        for m, s in pending[0][0].pop("methods", {}).items()
    ]
    while pending:
        stated, found = pending.pop()
        for key, value in stated.items():
            if isinstance(value, dict):
                pending.append((value, found[key]))
            else:
                assert found[key] == value, key


@pytest.mark.parametrize("change", ["views.strong.blur_sigma=[3, 1]", "views.cutmix.share=[0.5, 0.1]"])
def test_a_range_has_its_lower_end_first(change: str) -> None:
    with pytest.raises(UserError, match=change.partition("=")[0].replace(".", r"\.") + ": give the lower end first"):
        load_recipe("acdc_3", [change])
