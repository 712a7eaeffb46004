"""Recipes that extend others: what is merged, what is replaced, whole chains, circles; and printing what comes out."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from crossmatch.errors import UserError
from crossmatch.importers.acdc import DESCRIPTION
from crossmatch.methods import METHODS
from crossmatch.recipes.files import extend, recipe_names
from crossmatch.recipes.load import load_recipe, recipe_text
from crossmatch.recipes.toml import to_toml


def _write(folder: Path, name: str, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


def test_differences_alone_are_stated(tmp_path: Path) -> None:
    """Tables are merged key by key; other values, lists too, replace what was there."""
    path = _write(tmp_path, "mine.toml", 'extends = "la_8"\n[data]\nlabelled = "4"\nsize = [32, 32, 32]\n')
    mine, base = load_recipe(path), load_recipe("la_8")
    assert (mine.data.labelled, mine.data.size) == ("4", (32, 32, 32))
    assert mine == base.model_copy(
        update={"data": base.data.model_copy(update={"labelled": "4", "size": (32, 32, 32)})}
    )
    assert load_recipe(path, ["method.name=bcp"]).method == load_recipe("la_8", ["method.name=bcp"]).method


def test_a_chain_of_files_each_relative_to_its_own_folder(tmp_path: Path) -> None:
    _write(tmp_path / "base", "first.toml", 'extends = "phantom"\nseed = 1\nabout = "first"\n[train]\nsteps = 1\n')
    _write(tmp_path / "base", "second.toml", 'extends = "first.toml"\n[train]\nsteps = 2\n')
    third = _write(tmp_path / "top", "third.toml", 'extends = "../base/second.toml"\nseed = 3\n')
    recipe = load_recipe(third)
    assert (recipe.about, recipe.train.steps, recipe.seed) == ("first", 2, 3)
    assert recipe.method == load_recipe("phantom").method


@pytest.mark.parametrize("links", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "../here/b"}])
def test_a_circle_is_named(tmp_path: Path, links: dict[str, str]) -> None:
    for name, other in links.items():
        _write(tmp_path / "here", f"{name}.toml", f'extends = "{other}.toml"\n')
    with pytest.raises(UserError, match=r"extend each other in a circle: .*(\w)\.toml -> .*\1\.toml\."):
        load_recipe(str(tmp_path / "here" / "a.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "la_9"', r"no recipe 'la_9': did you mean la_8\? There are acdc_1"),
        ('extends = "gone.toml"', r"gone\.toml cannot be read: No such file"),
        ("extends = 3", r"extends is the name or path of one recipe \(found 3\)"),
        ('extends = "la_8"\n[train]\nstepz = 1', r"unknown key train\.stepz"),
        ('extends = "la_8"\n[method]\nname = [1]', r"method is a table with a name and settings"),
        ('extends = "la_8"\nmethods = 3', "methods holds tables"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe(_write(tmp_path, "mine.toml", text))


def test_another_method_starts_with_its_own_table_and_the_old_one_is_kept() -> None:
    base = {"seed": 1, "method": {"name": "crossmatch", "eta": 0.6}, "methods": {"fixmatch": {"threshold": 0.5}}}
    changed = extend(base, {"method": {"name": "fixmatch", "warm_up": 0.1}})
    assert changed == {
        "seed": 1,
        "method": {"name": "fixmatch", "threshold": 0.5, "warm_up": 0.1},
        "methods": {"crossmatch": {"eta": 0.6}},
    }
    assert extend(changed, {"method": {"name": "crossmatch"}})["method"] == {"name": "crossmatch", "eta": 0.6}
    assert base["methods"] == {"fixmatch": {"threshold": 0.5}}  # what is given is left alone
    assert extend(base, {"method": {"eta": 0.1}})["method"] == {"name": "crossmatch", "eta": 0.1}


def test_another_network_starts_anew() -> None:
    base = {"network": {"name": "vnet", "width": 8, "normalisation": "group"}}
    assert extend(base, {"network": {"name": "unet"}})["network"] == {"name": "unet"}
    assert extend(base, {"network": {"width": 4}})["network"] == {**base["network"], "width": 4}


@pytest.mark.parametrize("name", recipe_names())
def test_a_printed_recipe_is_complete_and_loads_equal(name: str, tmp_path: Path) -> None:
    text = recipe_text(name)
    stated = tomllib.loads(text)
    others = stated.pop("methods", {})
    assert stated == load_recipe(name).model_dump(mode="json")
    path = _write(tmp_path, "mine.toml", text)
    assert load_recipe(path) == load_recipe(name)
    for method in {*others, *METHODS}:
        chosen = [f"method.name={method}", *(["method.teacher=run"] if method == "distillation" else [])]
        assert load_recipe(path, chosen) == load_recipe(name, chosen)


def test_a_recipe_of_ones_own_is_printed_too(tmp_path: Path) -> None:
    path = _write(tmp_path, "mine.toml", 'extends = "la_8"\nabout = "5\\" disk"\n')
    assert tomllib.loads(recipe_text(path))["about"] == '5" disk'
    with pytest.raises(UserError, match="no recipe 'mine'"):
        recipe_text("mine")


def test_recipes_for_a_dataset_are_kept_to_it() -> None:
    """By the name that the importer writes."""
    assert DESCRIPTION["name"] == "ACDC"
    found = {name: load_recipe(name).data.dataset for name in recipe_names()}
    expected = {
        "acdc": "ACDC",
        "isic": "isic_official",
        "la": "LA",
        "own": "",
        "phantom": "",
        "phantom3d": "",
        "skin": "",
    }
    for name, dataset in found.items():
        first, *rest = name.split("_")
        assert dataset == (f"Pancreas-CT {rest[0].upper()}" if first == "pancreas" else expected[first]), name


values = some.recursive(
    some.booleans() | some.integers(-(2**40), 2**40) | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(some.characters(codec="utf-8", exclude_characters="\x7f")),
    lambda inner: some.lists(inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
keys = some.from_regex(r"[A-Za-z0-9_]{1,6}", fullmatch=True)
trees = some.recursive(
    some.dictionaries(keys, values, max_size=4), lambda inner: some.dictionaries(keys, values | inner, max_size=4)
)


@given(trees)
def test_what_is_written_is_read_back(tree: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(tree)) == tree
