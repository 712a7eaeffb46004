"""Settings that have no effect beside the others of a recipe: told, so that nobody believes to have tried them."""

from collections.abc import Iterable

from crossmatch.recipes.schema import Recipe

_OF_COLOURS = ("views.strong.saturation", "views.strong.hue", "views.strong.grey_probability")


def idle(recipe: Recipe, keys: Iterable[str]) -> dict[str, str]:
    """The settings among `keys` that change nothing, each with the reason.

    >>> from crossmatch.recipes.load import load_recipe
    >>> idle(load_recipe("phantom"), ["data.foreground_steps", "train.steps"])
    {'data.foreground_steps': 'data.foreground is 0'}
    """
    found = {}
    for key in keys:
        if why := _why(recipe, key):
            found[key] = why
    return found


def _why(recipe: Recipe, key: str) -> str | None:
    """Why a setting has no effect; None where it has one, or where that is not known."""
    data, train, method = recipe.data, recipe.train, recipe.method.name
    if key == "train.momentum" and train.optimizer == "adamw":
        return "train.optimizer is adamw"
    if key == "data.foreground_steps" and not data.foreground:
        return "data.foreground is 0"
    if key in ("train.poly_power", "train.poly_horizon") and recipe.method.settings.rate_share(0.0) is not None:
        return f"the learning rate has the schedule of {method}"
    if key in _OF_COLOURS and data.normalise != "colour":
        return f"data.normalise is {data.normalise}, not colour"
    if key.startswith("views.augment.") and key != "views.augment.labelled":
        augmented = recipe.method_class.augmented or recipe.views.augment.labelled
        return None if augmented else "views.augment.labelled is false"
    of_unlabelled = key.startswith(("views.strong.", "views.cutmix.")) or key == "train.batch.unlabelled"
    if of_unlabelled and not recipe.method_class.needs_unlabelled:
        return f"{method} learns from labelled images alone"
    return None
