"""Labels of left and right, and views that swap the two."""

import json
from pathlib import Path

import pytest

from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.orientation import Frame
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.training.material import training_cases
from crossmatch.training.mirrored_sides import mirrored_sides, paired_sides
from tiny import write_dataset
from train_tiny import TINY

LUNGS = ("left_lung", "right_lung")
SIDEWAYS_FIRST: Frame = ((-1.5, 0, 0, 0), (0, -1.5, 0, 0), (0, 0, 8, 0), (0, 0, 0, 1))
SIDEWAYS_LAST: Frame = ((0, 0, 8, 0), (-1.5, 0, 0, 0), (0, -1.5, 0, 0), (0, 0, 0, 1))
KEPT_APART, AUGMENTED = "views.weak.turn_probability=0", "views.augment.labelled=true"


def recipe(*changes: str, name: str = "phantom") -> Recipe:
    return load_recipe(name, ["method.name=supervised", *changes])


def told_of(chosen: Recipe, classes: tuple[str, ...] = ("RV", "LV"), frame: Frame | None = None) -> list[str]:
    return mirrored_sides(chosen, classes, frame, 2)


@pytest.mark.parametrize(
    ("classes", "pair"),
    [
        (("left_kidney", "right_kidney", "liver"), ("left_kidney", "right_kidney")),
        (("lung_R", "lung_L"), ("lung_R", "lung_L")),
        (("LeftAtrium", "LeftVentricle"), None),
        (("LeftAtrium", "RightAtrium"), ("LeftAtrium", "RightAtrium")),
        (("hippocampus lh", "hippocampus rh"), ("hippocampus lh", "hippocampus rh")),
        (("RV", "MYO", "LV"), None),
        (("left_kidney", "right_lung"), None),
        (("vertebra_L1", "vertebra_L2"), None),
        (("liver", "tumour"), None),
        (("left", "right"), None),
    ],
)
def test_paired_sides_by_name(classes: tuple[str, ...], pair: tuple[str, str] | None) -> None:
    assert paired_sides(classes) == pair


def test_sides_that_only_the_augmentation_mirrors() -> None:
    kept_apart, on = "views.weak.turn_probability=0", "views.augment.labelled=true"
    (told,) = told_of(recipe(kept_apart, on))
    assert "become alike. Set views.augment.mirror_probability to 0 too" in told
    assert told_of(recipe(kept_apart, "method.name=supervised_strong")) == [told]
    assert told_of(recipe(kept_apart)) == []
    assert told_of(recipe(on)) == []
    assert told_of(recipe(kept_apart, on, "views.augment.mirror_probability=0")) == []


def test_labels_of_two_sides_that_weak_views_swap() -> None:
    for frame in (None, SIDEWAYS_FIRST):
        assert told_of(recipe(name="own_2d"), LUNGS, frame) == [
            "left_lung and right_lung are left and right of one structure, and views of labelled images are mirrored, "
            "so the network cannot tell them apart: set views.weak.turn_probability to 0"
        ]
    assert told_of(recipe(name="own_2d"), ("left_lung", "heart")) == []
    assert told_of(recipe(KEPT_APART, name="own_2d"), LUNGS) == []


def test_labels_of_two_sides_that_the_augmentation_swaps() -> None:
    (told,) = told_of(recipe(KEPT_APART, AUGMENTED), LUNGS)
    assert told.endswith("tell them apart: set views.augment.mirror_probability to 0")
    (told,) = told_of(recipe(AUGMENTED), LUNGS)
    assert told.endswith("apart: set views.weak.turn_probability and views.augment.mirror_probability to 0")
    assert told_of(recipe(KEPT_APART, AUGMENTED, "views.augment.mirror_probability=0"), LUNGS) == []


def test_mirrors_along_other_axes_keep_the_sides() -> None:
    """Slices from left to right, and turns of volumes in a plane without this axis."""
    assert told_of(recipe(AUGMENTED), LUNGS, SIDEWAYS_LAST) == []
    volumes = recipe("views.weak.turn_probability=1", name="phantom3d")
    assert len(told_of(volumes, LUNGS, SIDEWAYS_FIRST)) == 1
    assert told_of(volumes, LUNGS, SIDEWAYS_LAST) == []


def test_training_says_so(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    stated = json.loads((root / "dataset.json").read_text())
    stated["labels"] = {"background": 0, "left_lung": 1, "right_lung": 2}
    (root / "dataset.json").write_text(json.dumps(stated))
    tiny = load_recipe("phantom", [*TINY, "views.weak.turn_probability=0.5"])
    assert any(text.startswith("left_lung and right_lung are") for text in _warnings(tiny, root))
    kept_apart = load_recipe("phantom", [*TINY, KEPT_APART])
    assert not any("left_lung" in text for text in _warnings(kept_apart, root))


def _warnings(chosen: Recipe, root: Path) -> tuple[str, ...]:
    return training_cases(chosen, open_dataset(root), lambda done, total: None).warnings
