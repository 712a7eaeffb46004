"""Recipes: what a run is set to, how a recipe is read, and the ones that come with the package.

>>> from crossmatch import recipes
>>> "own_2d" in recipes.recipe_names()
True
>>> recipes.load_recipe("own_2d", {"train.steps": 500}).train.steps
500
"""

from crossmatch.recipes.files import recipe_names
from crossmatch.recipes.load import load_recipe, recipe_text
from crossmatch.recipes.schema import Recipe

__all__ = ["Recipe", "load_recipe", "recipe_names", "recipe_text"]
