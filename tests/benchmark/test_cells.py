"""Which cells a benchmark has, in which order, and which mistakes are told before the first one trains."""

from pathlib import Path

import pytest

from crossmatch.benchmark.cells import Cell, parse_grid, plan_cells
from crossmatch.errors import UserError

CHOICE = {"methods": ["supervised", "crossmatch"], "labelled": ["1", "2"], "seeds": [0, 1]}


def _plan(*, recipe: str = "phantom", data: str = "data", **choice: object) -> list[Cell]:
    return plan_cells(recipe, data, **{**CHOICE, **choice})  # type: ignore[arg-type]


def test_every_method_with_every_number_of_labels_and_every_seed_the_first_seed_first():
    cells = _plan()
    assert [(c.seed, c.labelled, c.method) for c in cells] == [
        (0, "1", "supervised"),
        (0, "1", "crossmatch"),
        (0, "2", "supervised"),
        (0, "2", "crossmatch"),
        (1, "1", "supervised"),
        (1, "1", "crossmatch"),
        (1, "2", "supervised"),
        (1, "2", "crossmatch"),
    ]
    assert cells[3].folder == Path("cells/crossmatch/2_labels/seed0")
    assert str(cells[3]) == "crossmatch, 2 labels, seed 0"
    recipe = cells[-1].recipe
    assert (recipe.method.name, recipe.data.labelled, recipe.seed) == ("crossmatch", "2", 1)
    assert len({cell.folder for cell in cells}) == len(cells)


def test_a_grid_of_one_method_leaves_the_others_one_cell_and_shares_the_teacher():
    cells = _plan(
        methods=["supervised", "distillation", "fixmatch"],
        labelled=["2"],
        seeds=[0],
        grid=[("methods.distillation.temperature", ["1", "2"]), ("train.steps", ["4", "5"])],
        changes=["methods.fixmatch.threshold=0.7"],
    )
    assert [(c.method, dict(c.grid)) for c in cells if c.method != "distillation"] == [
        (method, {"train.steps": steps}) for steps in ("4", "5") for method in ("supervised", "fixmatch")
    ]
    pupils = [cell for cell in cells if cell.method == "distillation"]
    assert [cell.recipe.method.settings.temperature for cell in pupils] == [1, 1, 2, 2]
    assert [str(cell.teacher) for cell in pupils] == [
        f"cells/supervised/2_labels/train.steps={steps}/seed0" for steps in (4, 5, 4, 5)
    ]
    assert {cell.recipe.method.settings.threshold for cell in cells if cell.method == "fixmatch"} == {0.7}


def test_a_grid_is_every_combination_and_its_values_reach_the_recipe():
    cells = _plan(
        methods=["crossmatch"],
        labelled=["2"],
        seeds=[5],
        grid=[("method.eta", ["0", "0.3"]), ("method.perturbation", ["channel", "alpha"])],
        changes=["train.steps=7"],
    )
    found = [(c.recipe.method.settings.eta, c.recipe.method.settings.perturbation, c.recipe.train.steps) for c in cells]
    assert found == [(0.0, "channel", 7), (0.0, "alpha", 7), (0.3, "channel", 7), (0.3, "alpha", 7)]
    assert cells[1].grid == (("method.eta", "0"), ("method.perturbation", "alpha"))
    assert cells[1].folder == Path("cells/crossmatch/2_labels/method.eta=0,method.perturbation=alpha/seed5")


def test_the_seed_may_choose_the_data():
    assert [cell.data for cell in _plan(data="fold{seed}/data", methods=["supervised"], labelled=["1"])] == [
        Path("fold0/data"),
        Path("fold1/data"),
    ]


def test_distillation_learns_from_the_supervised_cell_beside_it():
    cells = _plan(methods=["supervised", "distillation"], labelled=["2"], seeds=[3], grid=[("train.steps", ["4", "5"])])
    pupils = {cell.folder.name: cell for cell in cells if cell.method == "distillation"}
    assert len(pupils) == 1
    for pupil in (cell for cell in cells if cell.method == "distillation"):
        teacher = next(c for c in cells if c.method == "supervised" and c.grid == pupil.grid)
        assert pupil.teacher == teacher.folder
        assert pupil.recipe.method.settings.teacher == str(teacher.folder)
    assert all(cell.teacher is None for cell in cells if cell.method == "supervised")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("method.eta=0,0.3,1", ("method.eta", ["0", "0.3", "1"])),
        ("data.size=[64,64],[32, 32]", ("data.size", ["[64,64]", "[32, 32]"])),
        (" method.perturbation = channel , alpha ", ("method.perturbation", ["channel", "alpha"])),
    ],
)
def test_values_of_a_grid(text: str, expected: tuple[str, list[str]]):
    assert parse_grid(text) == expected


@pytest.mark.parametrize("text", ["method.eta", "method.eta=", "=1,2", "method.eta=1,,2", "data.size=[64,64", ""])
def test_a_grid_without_key_or_value(text: str):
    with pytest.raises(UserError, match=r"--grid takes section\.key=value,value"):
        parse_grid(text)


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"methods": ["supervised", "fixmatsch"]}, "no method 'fixmatsch'; there are supervised, .*crossmatch"),
        ({"methods": []}, "--methods is empty"),
        ({"methods": ["supervised", "supervised"]}, "--methods has supervised twice"),
        ({"seeds": [1, 1]}, "--seeds has 1 twice"),
        ({"labelled": ["1", "1"]}, "--labelled has 1 twice"),
        ({"grid": [("method.eta", ["0", "0"])], "methods": ["crossmatch"]}, r"--grid method\.eta has 0 twice"),
        ({"grid": [("train.steps", ["1"]), ("train.steps", ["2"])]}, r"--grid names train\.steps twice"),
        ({"grid": [("method.eta", ["0", "1"])]}, r"unknown key method\.eta"),  # supervised has none
        ({"grid": [("train.steps", ["1"])], "changes": ["train.steps=2"]}, r"train\.steps is in --grid and in --set"),
        ({"changes": ["method.name=crossmatch"]}, r"method\.name is chosen with --methods"),
        ({"grid": [("data.labelled", ["1", "2"])]}, r"data\.labelled is chosen with --labelled"),
        ({"changes": ["seed=3"]}, "seed is chosen with --seeds"),
        ({"changes": ["train.steps=0"]}, r"train\.steps"),
        ({"recipe": "phantoom"}, "no recipe 'phantoom'"),
        ({"labelled": []}, "--labelled is empty"),
        ({"changes": ["methods.fixmatsch.threshold=1"]}, "--set methods.fixmatsch.threshold: write methods.NAME.key"),
        ({"methods": ["distillation"]}, "add supervised to --methods"),
    ],
)
def test_mistakes_are_told_before_anything_runs(choice: dict[str, object], told: str):
    with pytest.raises(UserError, match=told):
        _plan(**choice)
